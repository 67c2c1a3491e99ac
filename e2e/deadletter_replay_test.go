package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lettersBy runs a list of dead letters and returns it, by message id.
func (d *deployment) lettersBy(args ...string) map[string]shownLetter {
	d.t.Helper()
	args = append([]string{"deadletter", "list", "--output", "json"}, args...)
	found := make(map[string]shownLetter)
	for line := range strings.Lines(finished(d.t, 0, d.env(), args...)) {
		var l shownLetter
		if json.Unmarshal([]byte(line), &l) == nil { // a word on standard error is none
			found[l.ID] = l
		}
	}
	return found
}

// shownLetter is what the test needs to know of a dead letter.
type shownLetter struct {
	ID      string `json:"id"`
	Reason  string `json:"reason"`
	State   string `json:"state"`
	Replays int    `json:"replays"`
	Again   bool   `json:"again"`
}

func TestADeadLetterIsReplayedDeliveredAndKeptFromDyingInCircles(t *testing.T) {
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		n := d.node("a", with("PUSHGATE_RETRY_MAX_ATTEMPTS", "2"), with("PUSHGATE_SESSION_ACK_TIMEOUT", "200ms"))
		env := d.env()
		deaf := connect(t, n, "42", silent)
		d.send(message{id: "order-1", user: "42", kind: "order"}, message{id: "chat-1", user: "42", kind: "chat"})
		require.True(t, poll(20*time.Second, func() bool { return len(d.lettersBy("--reason", "exhausted")) == 2 }), "both die")

		// A dry run changes nothing.
		said := finished(t, 0, env, "deadletter", "replay", "--user", "42")
		assert.Contains(t, said, "2 letters match, 2 would be replayed")
		assert.Contains(t, said, "dry run")
		assert.Len(t, d.lettersBy(), 2)

		// One is replayed while nobody acknowledges yet: it dies again, for the same
		// reason, and a broad filter leaves it alone.
		said = finished(t, 0, env, "deadletter", "replay", "--type", "order", "--yes", "--by", "alice")
		assert.Contains(t, said, "1 of 1 letters replayed")
		require.True(t, poll(20*time.Second, func() bool { return d.lettersBy()["order-1"].Again }), "it dies again")
		assert.Equal(t, 1, d.lettersBy()["order-1"].Replays)
		assert.Equal(t, "replayed", d.lettersBy("--state", "replayed")["order-1"].State, "its first letter is handled")

		deaf.leave()
		good := connect(t, n, "42")
		said = finished(t, 0, env, "deadletter", "replay", "--user", "42", "--yes", "--by", "alice")
		assert.Contains(t, said, "1 of 3 letters replayed, 2 left out")
		good.waitFor(20*time.Second, "chat-1")
		assert.Equal(t, []string{"chat-1"}, good.ids(), "and not what died in circles")
		assert.Equal(t, 1, good.got()[0].Attempt, "it has its attempts again")

		finished(t, 0, env, "deadletter", "replay", "--user", "42", "--again", "--yes", "--by", "bob")
		good.waitFor(20*time.Second, "order-1")
		assert.Empty(t, d.lettersBy())

		// What nobody wants any more is put away, for a reason.
		d.send(message{id: "too-late", user: "43", ttl: 300 * time.Millisecond})
		require.True(t, poll(20*time.Second, func() bool { return d.lettersBy()["too-late"].Reason == "expired" }), "it expires")
		assert.Contains(t, finished(t, 0, env, "deadletter", "replay", "--id", "too-late", "--yes"), "0 of 1 letters replayed")
		assert.Contains(t, finished(t, 2, env, "deadletter", "discard", "--id", "too-late", "--yes"), "--why")
		finished(t, 0, env, "deadletter", "discard", "--id", "too-late", "--why", "nobody waits for it", "--yes", "--by", "bob")
		assert.Empty(t, d.lettersBy())
		shown := finished(t, 0, env, "deadletter", "show", "too-late")
		assert.Contains(t, shown, "of bob")
		assert.Contains(t, shown, "nobody waits for it")

		// All of it is on record.
		list := finished(t, 0, env, "operations", "list")
		t.Log("\n" + list)
		assert.Equal(t, 2, strings.Count(list, "alice"))
		assert.Equal(t, 2, strings.Count(list, "bob"))
		assert.Equal(t, 5, strings.Count(list, "done"), list)
	})
}

func TestAnInterruptedReplaySaysHowToGoOnAndRepeatsNothing(t *testing.T) {
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		d.node("a")
		env := d.env()
		const many = 40
		var broken []message
		for i := range many {
			broken = append(broken, message{id: fmt.Sprint("m-", i), user: fmt.Sprint("user-", i), data: "{"})
		}
		d.send(broken...)
		require.True(t, poll(20*time.Second, func() bool { return len(d.lettersBy("--reason", "invalid")) == many }))
		until := time.Now()
		// They die again, later than that.
		replay := []string{
			"deadletter", "replay", "--reason", "invalid", "--since", "1h", "--until", until.UTC().Format(time.RFC3339Nano), "--rate", "10/s", "--yes",
		}
		first := run(t, "replay", env, replay...)
		require.True(t, poll(20*time.Second, func() bool { return len(d.lettersBy("--state", "replayed")) > 0 }), "it is under way")
		assert.Contains(t, finished(t, 1, env, replay...), "runs over the same partitions", "one at a time")
		first.signal(syscall.SIGINT)
		require.Equal(t, 1, first.exit(20*time.Second), first.out)
		assert.Contains(t, first.out.String(), "cancelled before the end")
		command := regexp.MustCompile(`type: pushgate (deadletter replay .*)`).FindStringSubmatch(first.out.String())
		require.Len(t, command, 2, first.out)
		done := len(d.lettersBy("--state", "replayed"))
		assert.Less(t, done, many)

		said := finished(t, 0, env, append(strings.Fields(command[1]), "--rate=1000")...)
		assert.Contains(t, said, fmt.Sprintf("%d of %d letters replayed, %d left out", many-done, many, done))
		requests := d.read("requests", 20*time.Second, func(all []*kgo.Record) bool { return len(all) >= 2*many })
		assert.Len(t, requests, 2*many, "each was written twice: by its producer, and by one replay")
	})
}
