package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/admin/api"
)

// whereIs asks a node where a user is connected.
func (n *node) whereIs(user string) (found api.User) {
	n.t.Helper()
	code, body, err := get(n.t.Context(), "http://"+n.admin+"/v1/users/"+user)
	require.NoError(n.t, err)
	require.Equal(n.t, http.StatusOK, code, body)
	require.NoError(n.t, json.Unmarshal([]byte(body), &found))
	return found
}

// awaitFound waits until a user is found with so many sessions.
func (n *node) awaitFound(user string, sessions int) {
	n.t.Helper()
	require.True(n.t, poll(10*time.Second, func() bool { return len(n.whereIs(user).Sessions) == sessions }),
		"%s is found as %+v", user, n.whereIs(user))
}

// custodian makes a node that is no gateway; gateway makes one that is no custodian.
func custodian() func(map[string]string) { return with("PUSHGATE_NODE_ROLES", "custodian") }
func gateway() func(map[string]string)   { return with("PUSHGATE_NODE_ROLES", "gateway") }

func TestUsersWhoMoveBetweenLookUpAndCallMissNothing(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		a, b := d.node("a"), d.node("b")
		load := startLoad(t, d, 60, a, b)
		moves := 0
		load.during(500*time.Millisecond, func() {
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); moves++ {
				load.users[fmt.Sprint("user-", rand.N(60))].hop()
				wait(5 * time.Millisecond)
			}
		})
		load.complete(30 * time.Second)
		absent := a.metric("pushgate_carried_total", "absent") + b.metric("pushgate_carried_total", "absent")
		t.Logf("%d moves; %g messages were brought to a node that the user had left", moves, absent)
		assert.Positive(t, absent, "nobody moved between look-up and call: the test is too slow")
	})
}

func TestEachDeviceGetsEachMessageWhicheverNodeItIsOn(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		a, b := d.node("a"), d.node("b")
		phone, laptop := connect(t, a, "42"), connect(t, b, "42")
		a.awaitFound("42", 2)
		list, ids := messages("42", "both", 50)
		d.send(list...)
		phone.waitFor(10*time.Second, ids...)
		laptop.waitFor(10*time.Second, ids...)
		assert.Equal(t, ids, phone.ids(), "in order")
		assert.Equal(t, ids, laptop.ids(), "in order")
		assert.Len(t, append(phone.got(), laptop.got()...), 2*len(ids), "once each")

		phone.leave()
		list, more := messages("42", "one", 50)
		d.send(list...)
		laptop.waitFor(10*time.Second, more...)
		assert.Len(t, laptop.got(), len(ids)+len(more), "once each")
		d.audit(len(ids) + len(more))
	})
}

// Thousands of users are on a node that is killed. For as long as its lease lasts, the
// directory names it as well as the node they have fled to.
func TestThousandsOfUsersOfAKilledNodeGetAllOnTheNodeTheyFleeTo(t *testing.T) {
	const users, lease = 3000, 6 * time.Second // directory.lease
	byTargeted(t, func(t *testing.T, d *deployment) {
		usual := func(env map[string]string) {
			delete(env, "PUSHGATE_RETRY_BACKOFF_INITIAL")
			delete(env, "PUSHGATE_RETRY_BACKOFF_MAX")
			delete(env, "PUSHGATE_LOG_LEVEL")
		}
		c := d.node("c", custodian(), usual)
		a, b := d.node("a", gateway(), usual), d.node("b", gateway(), usual)
		crowd := make([]*roamer, users)
		connect(t, a, "stays-away")
		const wave = 250 // who connect at the same time, and do not lose patience
		for i := range crowd {
			crowd[i] = roam(t, fmt.Sprint("user-", i), a, b)
			if (i+1)%wave == 0 {
				require.True(t, poll(20*time.Second, func() bool { return a.metric("pushgate_directory_bound") == float64(i+2) }),
					"%d of %d are on a", int(a.metric("pushgate_directory_bound")), i+2)
			}
		}

		round := func(prefix string) {
			var list []message
			for i := range crowd {
				list = append(list, message{id: fmt.Sprint(prefix, i), user: fmt.Sprint("user-", i)})
			}
			d.send(list...)
		}
		round("before-")
		a.kill()
		killed := time.Now()
		round("after-")
		d.send(message{id: "waits", user: "stays-away"})
		lost := 0
		poll(90*time.Second, func() bool {
			lost = 0
			for i, r := range crowd {
				lost += len(r.missing([]string{fmt.Sprint("before-", i), fmt.Sprint("after-", i)}))
			}
			return lost == 0
		})
		assert.Zero(t, lost, "of %d", 2*users)
		var last time.Time
		repeats := 0
		for _, r := range crowd {
			repeats += r.repeats()
			if r.lastSeen().After(last) {
				last = r.lastSeen()
			}
		}
		t.Logf("%d messages to %d users of the killed node; the last arrived %s after the kill; %d repeats",
			2*users, users, last.Sub(killed).Round(10*time.Millisecond), repeats)

		require.True(t, poll(lease+3*time.Second-time.Since(killed), func() bool { return len(c.whereIs("stays-away").Sessions) == 0 }),
			"an entry of the dead node counts %s after it was killed", time.Since(killed).Round(time.Millisecond))
		require.True(t, poll(30*time.Second, func() bool { return c.metric("pushgate_waiting") == 1 }), "it waits")
		connect(t, b, "stays-away").waitFor(10*time.Second, "waits")
		d.audit(2*users + 1)
	})
}

func TestANodeThatStandsStillDelaysItsOwnUsersOnly(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		short := with("PUSHGATE_ROUTING_CALL_TIMEOUT", "1s")
		d.node("c", custodian(), short)
		a, b := d.node("a", gateway()), d.node("b", gateway())
		mine, theirs := sameHome("42"), "42"
		lively, stuck := connect(t, a, mine), connect(t, b, theirs)
		a.awaitFound(mine, 1)
		a.awaitFound(theirs, 1)

		b.signal(syscall.SIGSTOP)
		stopped := time.Now()
		var ids, others []string
		var slowest time.Duration
		for i := 0; time.Since(stopped) < 8*time.Second; i++ { // longer than the lease
			ids, others = append(ids, fmt.Sprint("a-", i)), append(others, fmt.Sprint("b-", i))
			began := time.Now()
			d.send(message{id: others[i], user: theirs}, message{id: ids[i], user: mine})
			lively.waitFor(10*time.Second, ids[i])
			slowest = max(slowest, time.Since(began))
			wait(20 * time.Millisecond)
		}
		b.signal(syscall.SIGCONT)
		began := time.Now()
		stuck.waitFor(30*time.Second, others...)
		t.Logf("slowest of %d messages to a neighbour on another node: %s; all of the node's own had come %s after it went on",
			len(ids), slowest.Round(time.Millisecond), time.Since(began).Round(10*time.Millisecond))
		assert.Less(t, slowest, time.Second)
		assert.Len(t, lively.got(), len(ids), "once each")
		d.audit(len(ids) + len(others))
	})
}
