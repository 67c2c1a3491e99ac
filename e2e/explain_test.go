package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// story is what pushgate explain --output json prints.
type story struct {
	User     string
	Messages []struct {
		ID, User, Type, Outcome string
		Events                  []struct {
			Time              time.Time
			Kind, Where, Text string
		}
	}
	Gaps []string
}

func (d *deployment) explain(args ...string) story {
	d.t.Helper()
	found := rows[story](d.t, finished(d.t, 0, d.env(), append([]string{"explain", "--output", "json"}, args...)...))
	require.Len(d.t, found, 1)
	return found[0]
}

// kinds of the events of the only message of a story.
func (s story) kinds(t *testing.T) (all []string) {
	t.Helper()
	require.Len(t, s.Messages, 1, "%+v", s)
	for _, e := range s.Messages[0].Events {
		all = append(all, e.Kind)
	}
	return all
}

// assertInOrder fails unless all of want occur in got, in that order.
func assertInOrder(t *testing.T, got []string, want ...string) {
	t.Helper()
	at := 0
	for _, w := range want {
		i := slices.Index(got[at:], w)
		if !assert.GreaterOrEqual(t, i, 0, "%s is missing, or comes too early, in %v", w, got) {
			return
		}
		at += i + 1
	}
}

func TestExplainTellsTheStoryOfAMessageFromItsProducerToItsUser(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		env := d.env()
		d.send(message{id: "m", user: "42", kind: "order"})
		d.awaitWaiting(1, 1)
		s := d.explain("--user", "42")
		assertInOrder(t, s.kinds(t), "produced", "waiting")
		assert.Equal(t, "waiting", s.Messages[0].Outcome)
		if d.redis == "" {
			assertInOrder(t, s.kinds(t), "produced", "not_held", "waiting")
		}

		finished(t, 0, env, "retry", "release", "--user", "42", "--yes", "--by", "alice")
		d.awaitWaiting(1, 2)
		assertInOrder(t, d.explain("--id", "m").kinds(t), "produced", "waiting", "operator", "offered", "waiting")

		connect(t, n, "42").waitFor(10*time.Second, "m")
		require.True(t, poll(10*time.Second, func() bool { return d.explain("--user", "42").Messages[0].Outcome == "delivered" }))
		s = d.explain("--user", "42", "--id", "m")
		// "written" stands between where a receipt was sent between write and acknowledgement.
		assertInOrder(t, s.kinds(t), "produced", "waiting", "operator", "offered", "waiting", "connected", "offered", "delivered")
		for _, e := range s.Messages[0].Events {
			switch e.Kind {
			case "connected", "written", "delivered":
				assert.Equal(t, d.prefix+"a", e.Where, e.Kind)
			case "produced":
				assert.Contains(t, e.Where, d.topic("requests")+"/")
				assert.Contains(t, e.Text, "order")
			}
		}
		table := finished(t, 0, env, "explain", "--user", "42")
		assert.Contains(t, table, "message m for user 42, type order: delivered")
		assert.Contains(t, table, "alice asked the custodian to release it")
		assert.Contains(t, table, "Not known:")
		t.Log("\n" + table)
	})
}

func TestExplainTellsWhyAMessageDied(t *testing.T) {
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		n := d.node("a", with("PUSHGATE_RETRY_MAX_ATTEMPTS", "2"), with("PUSHGATE_SESSION_ACK_TIMEOUT", "200ms"))
		env := d.env()
		connect(t, n, "42", silent)
		d.send(message{id: "unheard", user: "42"})
		require.True(t, poll(20*time.Second, func() bool {
			s := d.explain("--user", "42")
			return len(s.Messages) == 1 && s.Messages[0].Outcome == "dead_lettered"
		}))
		assertInOrder(t, d.explain("--user", "42").kinds(t),
			"produced", "written", "failed", "waiting", "offered", "written", "failed", "dead_letter")

		d.send(message{id: "ad", user: "43", kind: "ads"})
		d.awaitWaiting(1, 1, "--user", "43")
		finished(t, 0, env, "retry", "discard", "--id", "ad", "--why", "campaign is over", "--yes", "--by", "alice")
		require.True(t, poll(10*time.Second, func() bool { return d.explain("--id", "ad").Messages[0].Outcome == "dead_lettered" }))
		s := d.explain("--id", "ad")
		assertInOrder(t, s.kinds(t), "produced", "waiting", "operator", "dead_letter")
		last := s.Messages[0].Events[slices.Index(s.kinds(t), "dead_letter")]
		assert.Contains(t, last.Text, "discarded by alice: campaign is over")

		assert.Contains(t, finished(t, 0, env, "explain", "--user", "nobody"), "no message was found")
		assert.Contains(t, finished(t, 2, env, "explain"), "--user")
		assert.Contains(t, finished(t, 2, env, "explain", "--user", ".."), "user id")
	})
}
