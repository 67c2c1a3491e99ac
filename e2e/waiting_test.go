package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// waitRow is a line of pushgate retry list --output json.
type waitRow struct {
	ID, User, Type, Reason string
	Attempt                int
	Data                   json.RawMessage
}

// rows are the objects that a command has printed, one a line.
func rows[T any](t *testing.T, said string) (list []T) {
	t.Helper()
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var one T
		require.NoError(t, json.Unmarshal([]byte(line), &one), line)
		list = append(list, one)
	}
	return list
}

// waiting lists what waits, with further arguments.
func (d *deployment) waiting(args ...string) []waitRow {
	d.t.Helper()
	return rows[waitRow](d.t, finished(d.t, 0, d.env(), append([]string{"retry", "list", "--output", "json"}, args...)...))
}

func (d *deployment) awaitWaiting(n, attempt int, args ...string) {
	d.t.Helper()
	var last []waitRow
	ok := poll(15*time.Second, func() bool {
		last = d.waiting(args...)
		if len(last) != n {
			return false
		}
		for _, w := range last {
			if w.Attempt != attempt {
				return false
			}
		}
		return true
	})
	require.True(d.t, ok, "not %d waits after attempt %d: %+v", n, attempt, last)
}

func TestWhatWaitsIsListedReleasedAndDiscarded(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		env := d.env()
		d.send(
			message{id: "o1", user: "42", kind: "order"}, message{id: "o2", user: "42", kind: "order"},
			message{id: "ad", user: "42", kind: "ads"}, message{id: "other", user: "43", kind: "order"},
		)
		d.awaitWaiting(4, 1)
		assert.Len(t, d.waiting("--user", "42", "--type", "order"), 2)
		assert.Empty(t, d.waiting("--reason", "ack_timeout"))
		assert.Empty(t, d.waiting("--older-than", "1h"))
		assert.Contains(t, finished(t, 0, env, "retry", "list", "--summary"), "offline")
		shown := finished(t, 0, env, "retry", "show", "ad")
		assert.Contains(t, shown, `"id": "ad"`)
		assert.Contains(t, finished(t, 1, env, "retry", "show", "none"), "nothing waits with the id none")
		assert.Contains(t, finished(t, 2, env, "retry", "release", "--yes"), "--all")

		assert.Contains(t, finished(t, 0, env, "retry", "release", "--user", "42"), "3 would be released; nothing was done")
		d.awaitWaiting(4, 1)
		assert.Contains(t, finished(t, 0, env, "retry", "release", "--user", "42", "--yes", "--by", "alice"), "3 of 3 released")
		d.awaitWaiting(3, 2, "--user", "42") // still away
		d.awaitWaiting(1, 1, "--user", "43")

		assert.Contains(t, finished(t, 2, env, "retry", "discard", "--type", "ads", "--yes"), "reason")
		assert.Contains(t, finished(t, 0, env, "retry", "discard", "--type", "ads", "--why", "campaign is over", "--yes", "--by", "alice"), "1 of 1 discarded")
		require.True(t, poll(10*time.Second, func() bool {
			return strings.Contains(finished(t, 0, env, "deadletter", "list", "--reason", "discarded", "--since", "1m"), "campaign is over")
		}))
		d.awaitWaiting(2, 2, "--user", "42")

		c := connect(t, n, "42")
		c.waitFor(10*time.Second, "o1", "o2")
		assert.NotContains(t, c.ids(), "ad")
		require.True(t, poll(10*time.Second, func() bool { return len(d.waiting("--user", "42")) == 0 }))

		recorded := finished(t, 0, env, "operations", "list", "--output", "json")
		assert.Contains(t, recorded, `"discard_waiting"`)
		assert.Contains(t, recorded, `"campaign is over"`)
		assert.Contains(t, recorded, `"alice"`)
	})
}

func TestWhatIsReleasedWithoutACustodianIsReleasedByTheNextOne(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		env := d.env()
		d.send(message{id: "m", user: "42"}, message{id: "ad", user: "42", kind: "ads"})
		d.awaitWaiting(2, 1)
		n.kill()
		said := finished(t, 1, env, "retry", "release", "--user", "42", "--type", "default", "--yes", "--patience", "1s")
		assert.Contains(t, said, "0 of 1 released")
		assert.Contains(t, said, "custodian")
		finished(t, 1, env, "retry", "discard", "--user", "42", "--type", "ads", "--why", "over", "--yes", "--patience", "1s")

		n = n.again(d)
		n.ready(30 * time.Second)
		d.awaitWaiting(1, 2, "--user", "42")
		require.True(t, poll(10*time.Second, func() bool {
			return strings.Contains(finished(t, 0, env, "deadletter", "list", "--reason", "discarded", "--since", "1m"), "over")
		}))
	})
}
