package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInStrictOrderAUserWhoMovesAndLosesConnectionsGetsAllInOrder(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		strict := with("PUSHGATE_DELIVERY_ORDER", "strict")
		a, b := d.node("a", strict), d.node("b", strict)
		backlog, ids := messages("42", "waits", 20)
		d.send(backlog...)
		require.True(t, poll(20*time.Second, func() bool { return a.metric("pushgate_waiting")+b.metric("pushgate_waiting") == 20 }), "they wait")

		r := roam(t, "42", a, b)
		for i := range 60 {
			id := fmt.Sprintf("m-%d", i)
			d.send(message{id: id, user: "42"})
			ids = append(ids, id)
			if i%15 == 5 {
				r.hop()
			}
			if i == 30 {
				a.kill() // custodian and gateway
				a = a.again(d, strict)
			}
		}
		require.True(t, poll(60*time.Second, func() bool { return len(r.missing(ids)) == 0 }), "missing: %v", clipped(r.missing(ids)))
		assert.Equal(t, ids, r.firsts())
		t.Logf("repeats: %d", r.repeats())
		d.audit(len(ids))
	})
}

func TestInStrictOrderOneMissingAcknowledgementHoldsUpOnlyItsUser(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a", with("PUSHGATE_DELIVERY_ORDER", "strict"), with("PUSHGATE_SESSION_ACK_TIMEOUT", "1s"))
		stuck := connect(t, n, "42", silent)
		other := connect(t, n, "43")
		d.send(message{id: "a", user: "42"}, message{id: "b", user: "42"}, message{id: "c", user: "43"})
		other.waitFor(10*time.Second, "c")
		require.True(t, poll(10*time.Second, func() bool { return len(stuck.got()) >= 2 }), "offered again")
		assert.Equal(t, []string{"a"}, stuck.ids(), "the next has not been shown")
		stuck.leave()
		good := connect(t, n, "42")
		good.waitFor(10*time.Second, "a", "b")
		assert.Equal(t, []string{"a", "b"}, good.ids())
		assert.Equal(t, 1, good.got()[len(good.got())-1].Attempt, "the second is offered for the first time")
	})
}
