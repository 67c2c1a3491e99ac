package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// logLine is what these tests look at in a node's log.
type logLine struct {
	Time    time.Time `json:"time"`
	Message string    `json:"msg"`
	Waiting int       `json:"waiting"`
}

// takeover returns how long a node needed, from being assigned its partitions, to
// answer for the last of them, and how much waits in all.
func (n *node) takeover() (took time.Duration, waiting, answered int) {
	var assigned time.Time
	for line := range strings.Lines(n.out.String()) {
		var l logLine
		if json.Unmarshal([]byte(line), &l) != nil {
			continue
		}
		switch l.Message {
		case "taking over partitions":
			assigned, waiting, answered = l.Time, 0, 0
		case "answering for partition":
			took = l.Time.Sub(assigned)
			waiting += l.Waiting
			answered++
		}
	}
	return took, waiting, answered
}

func TestANewCustodianAnswersWithinTwoSecondsThough100000MessagesWait(t *testing.T) {
	const waits, users, bound = 100_000, 1000, 2 * time.Second
	onEachBroker(t, func(t *testing.T, d *deployment) {
		big := with("PUSHGATE_KAFKA_SESSION_TIMEOUT", "6s")
		n := d.node("a", big)
		list := make([]message, 0, waits)
		for i := range waits {
			list = append(list, message{id: fmt.Sprint("m-", i), user: fmt.Sprint("away-", i%users)})
		}
		began := time.Now()
		d.send(list...)
		require.True(t, poll(60*time.Second, func() bool { return n.metric("pushgate_waiting") == waits }), "they wait")
		t.Logf("%d messages wait %s after the first was sent", waits, time.Since(began).Round(time.Millisecond))
		n.kill()

		n = n.again(d, big)
		var took time.Duration
		require.True(t, poll(60*time.Second, func() bool {
			_, waiting, answered := n.takeover()
			return answered == partitions && waiting == waits
		}), "a successor has found all that waits")
		took, _, _ = n.takeover()
		t.Logf("answering %s after assignment", took.Round(time.Millisecond))
		assert.LessOrEqual(t, took, bound)
		n.ready(10 * time.Second)
		began = time.Now()
		connect(t, n, "away-7").waitFor(20*time.Second, "m-7", "m-99007")
		t.Logf("100 waiting messages of a user arrived %s after connecting", time.Since(began).Round(time.Millisecond))
	})
}
