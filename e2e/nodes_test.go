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

	"pushgate/internal/fleet"
	"pushgate/internal/groups"
)

// nodes are those that pushgate nodes shows, by id without the deployment's prefix.
func (d *deployment) nodes() map[string]fleet.Node {
	d.t.Helper()
	found := make(map[string]fleet.Node)
	for line := range strings.Lines(finished(d.t, 0, d.env(), "nodes", "--output", "json")) {
		if strings.HasPrefix(line, "warning: ") {
			continue
		}
		var n fleet.Node
		require.NoError(d.t, json.Unmarshal([]byte(line), &n), line)
		found[strings.TrimPrefix(n.Node, d.prefix)] = n
	}
	return found
}

// groups are those that a command shows, by node without the deployment's prefix; the
// custodians' has none.
func (d *deployment) groups(args ...string) map[string]groups.Group {
	d.t.Helper()
	found := make(map[string]groups.Group)
	for line := range strings.Lines(finished(d.t, 0, d.env(), append([]string{"groups"}, append(args, "--output", "json")...)...)) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var g groups.Group
		require.NoError(d.t, json.Unmarshal([]byte(line), &g), line)
		// On a broker that tests share, there are groups of other deployments.
		if g.Name == d.prefix+"custodians" || strings.HasPrefix(g.Node, d.prefix) {
			found[strings.TrimPrefix(g.Node, d.prefix)] = g
		}
	}
	return found
}

func custodyOf(nodes map[string]fleet.Node) (held []int32) {
	for _, n := range nodes {
		if n.State == fleet.Alive {
			for _, h := range n.Custody {
				held = append(held, h.Partition)
			}
		}
	}
	slices.Sort(held)
	return held
}

func TestNodesAreSeenByWhatTheyReportAndOnlyTheGroupOfOneThatIsGoneIsPruned(t *testing.T) {
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		a, b, c := d.node("a"), d.node("b"), d.node("c")
		alice := connect(t, a, "alice")
		sent, ids := messages("alice", "m", 50)
		d.send(sent...)
		alice.waitFor(10*time.Second, ids...)
		var seen map[string]fleet.Node
		require.True(t, poll(20*time.Second, func() bool {
			seen = d.nodes()
			return len(seen) == 3 && seen["a"].Ready && len(custodyOf(seen)) == partitions && seen["a"].Counters.Delivered == 50
		}), "%+v", seen)
		assert.Equal(t, []int32{0, 1, 2, 3}, custodyOf(seen))
		assert.Equal(t, a.gateway, seen["a"].Gateway)
		assert.Equal(t, 1, seen["a"].Sessions)
		assert.Equal(t, 1, seen["a"].Users)
		assert.Zero(t, seen["b"].Sessions)
		assert.Len(t, seen["a"].Reading, partitions)
		assert.Positive(t, seen["a"].RSS)
		assert.Positive(t, seen["a"].CPU)
		var outcomes int64
		for _, n := range seen {
			outcomes += n.Counters.Outcomes["delivered"]
		}
		assert.EqualValues(t, 50, outcomes)

		c.signal(syscall.SIGTERM)
		require.Zero(t, c.exit(15*time.Second))
		seen = d.nodes()
		assert.Equal(t, fleet.Stopped, seen["c"].State, "at once")
		b.kill()
		killed := time.Now()
		assert.Equal(t, fleet.Alive, d.nodes()["b"].State, "not yet known")
		c = c.again(d)
		c.ready(30 * time.Second)
		require.True(t, poll(30*time.Second, func() bool { return d.nodes()["b"].State == fleet.Silent }))
		assert.Greater(t, time.Since(killed), 8*time.Second)
		require.True(t, poll(20*time.Second, func() bool {
			seen = d.nodes()
			return seen["c"].State == fleet.Alive && len(custodyOf(seen)) == partitions
		}), "others have taken over: %+v", seen)
		table := finished(t, 0, d.env(), "nodes")
		assert.Contains(t, table, "silent")
		assert.Contains(t, finished(t, 0, d.env(), "nodes", d.prefix+"a"), "check delivery")
		finished(t, 1, d.env(), "nodes", d.prefix+"nobody")

		// The group of the one that is gone, and of no other.
		listed := d.groups("list", "--gone-for", "10s")
		require.Len(t, listed, 4)
		assert.False(t, listed[""].Gone)
		assert.False(t, listed["a"].Gone, listed["a"].Why)
		assert.True(t, listed["b"].Gone, listed["b"].Why)
		assert.False(t, listed["c"].Gone, listed["c"].Why)
		assert.False(t, d.groups("list")["b"].Gone, "not for an hour")
		require.Len(t, d.groups("prune", "--gone-for", "10s"), 1)
		require.Len(t, d.groups("list"), 4, "that was a dry run")
		finished(t, 2, d.env(), "groups", "prune", "--gone-for", "1s", "--yes")
		finished(t, 1, d.env(), "groups", "prune", "--gone-for", "10s", "--node", d.prefix+"a", "--yes")
		require.Contains(t, finished(t, 0, d.env(), "groups", "prune", "--gone-for", "10s", "--node", d.prefix+"b", "--yes"), "recorded as operation")
		listed = d.groups("list")
		assert.Len(t, listed, 3)
		assert.NotContains(t, listed, "b")

		// It comes back after all.
		b = b.again(d)
		b.ready(30 * time.Second)
		bob := connect(t, b, "bob")
		sent, ids = messages("bob", "n", 20)
		d.send(sent...)
		bob.waitFor(10*time.Second, ids...)
		assert.Contains(t, d.groups("list"), "b")
	})
}
