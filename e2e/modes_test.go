package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readsBecauseOf returns the nodes that a node's log names last as those whose routing
// is another than its own.
func (n *node) readsBecauseOf() (nodes []string) {
	for line := range strings.Lines(n.out.String()) {
		var l struct {
			Message string   `json:"msg"`
			Level   string   `json:"level"`
			Nodes   []string `json:"nodes"`
		}
		if json.Unmarshal([]byte(line), &l) == nil && strings.HasPrefix(l.Message, "routing.mode is targeted here") && l.Level == "warn" {
			nodes = l.Nodes
		}
	}
	return nodes
}

// restarted ends a node as an operator would, and starts it with another setting.
func (d *deployment) restarted(n *node, change func(map[string]string)) *node {
	d.t.Helper()
	n.signal(syscall.SIGTERM)
	require.Zero(d.t, n.exit(20*time.Second))
	n = n.again(d, change, with("PUSHGATE_DRAIN_TIMEOUT", "1s"))
	n.ready(30 * time.Second)
	return n
}

// carriedAndRead are how many messages nodes were brought, and how many they read.
func carriedAndRead(nodes ...*node) (carried, read float64) {
	for _, n := range nodes {
		carried += n.metric("pushgate_carried_total", `"delivered"`) + n.metric("pushgate_carried_total", `"held"`) + n.metric("pushgate_carried_total", `"queued"`)
		read += n.metric("pushgate_requests_read_total")
	}
	return carried, read
}

func TestARollingRestartSwitchesTheRoutingAndBackUnderLoadAndNothingIsLost(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		broadcast, targeted := with("PUSHGATE_ROUTING_MODE", "broadcast"), with("PUSHGATE_ROUTING_MODE", "targeted")
		a, b := d.node("a", broadcast, with("PUSHGATE_DRAIN_TIMEOUT", "1s")), d.node("b", broadcast, with("PUSHGATE_DRAIN_TIMEOUT", "1s"))
		load := startLoad(t, d, 30, a, b)
		names := func(n, other *node) func() bool {
			return func() bool { return slices.Equal(n.readsBecauseOf(), []string{d.prefix + other.id}) }
		}
		load.during(time.Second, func() {
			a = d.restarted(a, targeted)
			require.True(t, poll(10*time.Second, names(a, b)), "the warning names the node that differs, not %v", a.readsBecauseOf())
			assert.False(t, a.isCalled(), "b does not call")
			b = d.restarted(b, targeted)
			began := time.Now()
			require.True(t, poll(20*time.Second, func() bool { return a.isCalled() && b.isCalled() }), "both are called")
			t.Logf("called %s after the last of them was ready", time.Since(began).Round(10*time.Millisecond))

			// What was being read when it changed is counted within the same moment.
			wait(300 * time.Millisecond)
			carried, read := carriedAndRead(a, b)
			wait(1500 * time.Millisecond)
			carriedLater, readLater := carriedAndRead(a, b)
			assert.Equal(t, read, readLater, "nobody reads requests any more") //nolint:testifylint // counts
			assert.Greater(t, carriedLater, carried+100, "they are brought")

			a = d.restarted(a, broadcast)
			require.True(t, poll(10*time.Second, names(b, a)), "the warning names the node that differs, not %v", b.readsBecauseOf())
			require.True(t, poll(10*time.Second, func() bool { return !b.isCalled() }), "b reads again")
			_, read = carriedAndRead(b)
			require.True(t, poll(10*time.Second, func() bool { _, now := carriedAndRead(b); return now > read }), "b reads again")
			b = d.restarted(b, broadcast)
		})
		load.complete(40 * time.Second)
	})
}
