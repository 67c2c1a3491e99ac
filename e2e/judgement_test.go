package e2e

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestThatAUserIsAbsentIsKnownByEvidenceWithin200Milliseconds(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		d.node("a")
		d.node("b")
		const many = 20
		for i := range many {
			d.send(message{id: fmt.Sprint("m-", i), user: fmt.Sprint("away-", i)})
			wait(50 * time.Millisecond)
		}
		waits := d.read("retry", 20*time.Second, func(all []*kgo.Record) bool { return len(all) >= many })
		require.Len(t, waits, many)
		var took []time.Duration
		for _, w := range waits {
			require.Equal(t, "offline", header(w, "pushgate-reason"))
			written, err := time.Parse(time.RFC3339Nano, header(w, "pushgate-first-seen"))
			require.NoError(t, err)
			took = append(took, w.Timestamp.Sub(written))
		}
		slices.Sort(took)
		t.Logf("from the request to its wait, by the broker's clock: median %s, longest %s", took[many/2], took[many-1])
		assert.Less(t, took[many/2], 200*time.Millisecond)
	})
}

func TestAGatewayThatStopsForLessThanTheWindowCausesNoRepeat(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		a := d.node("a")
		b := d.node("b", with("PUSHGATE_NODE_ROLES", "gateway"))
		c := connect(t, a, "42")
		pausing := connect(t, b, "43")
		list, ids := messages("42", "m", 100)
		others, otherIDs := messages("43", "o", 100)
		for i := range list {
			if i%50 == 25 {
				b.signal(syscall.SIGSTOP)
				wait(1500 * time.Millisecond)
				b.signal(syscall.SIGCONT)
			}
			d.send(list[i], others[i])
		}
		c.waitFor(20*time.Second, ids...)
		pausing.waitFor(20*time.Second, otherIDs...)
		assert.Len(t, c.got(), len(ids), "nothing came twice")
		assert.Len(t, pausing.got(), len(otherIDs), "nothing came twice")
		d.audit(len(ids) + len(otherIDs))
	})
}
