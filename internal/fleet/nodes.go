package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// State of a node.
type State string

// States of nodes.
const (
	Alive   State = "alive"
	Silent  State = "silent"  // it has not reported for a while, and did not say that it would stop
	Stopped State = "stopped" // it said so
)

// Node is a process with what it said last.
type Node struct {
	Report
	State State `json:"state"`
	// Since is when a node that is alive started, and when one that is not was heard
	// of last. Of one that has been gone for longer than the view looks back, that may
	// be up to ten minutes too early.
	Since time.Time `json:"since"`
	// LastReport is when its last report was written, on the brokers' clock.
	LastReport time.Time `json:"last_report"`
	// SharedID: another process that is alive has the same node id.
	SharedID bool `json:"shared_id,omitempty"`
}

// Fleet is all nodes at one time.
type Fleet struct {
	At time.Time `json:"at"`
	// Known: the reports have been read. Until then the rest is empty.
	Known bool `json:"known"`
	// Nodes by id. One id stands for several processes where SharedID says so, the one
	// that was heard of first comes last.
	Nodes []Node `json:"nodes"`
	// Uncustodied are partitions of the request topic that no node that is alive has in
	// custody: what is sent there waits in the log. Empty where their number is not known.
	Uncustodied []int32 `json:"uncustodied"`
	// Warnings are what is wrong with the whole, in words: settings that have to be the
	// same and are not, ids used twice, clocks, partitions nobody answers for.
	Warnings []string `json:"warnings"`
	// Malformed counts records of the topic that were no reports.
	Malformed int64 `json:"malformed"`
}

// Fleet returns all nodes as they are now. It does not block.
func (v *View) Fleet() Fleet {
	v.mu.RLock()
	defer v.mu.RUnlock()
	now := v.now()
	f := Fleet{
		At: now, Known: v.caughtUp, Nodes: []Node{}, Uncustodied: []int32{}, Warnings: []string{}, Malformed: v.malformed,
	}
	if !f.Known {
		return f
	}
	lives := v.byNode()
	for _, name := range slices.Sorted(maps.Keys(lives)) {
		shown := current(lives[name], now)
		for _, l := range shown {
			n := Node{Report: *l.report, State: l.state(now), Since: l.last, LastReport: l.last, SharedID: len(shown) > 1}
			if n.State == Alive {
				n.Since = n.Started
			}
			f.Nodes = append(f.Nodes, n)
		}
	}
	f.Uncustodied = f.uncustodied(v.p.Partitions())
	f.warn()
	return f
}

// now is the time on the brokers' clock. The caller holds mu.
func (v *View) now() time.Time { return time.Now().Add(v.skew).UTC() }

// byNode returns the processes of each node, the one heard of last comes first.
func (v *View) byNode() map[string][]*life {
	lives := make(map[string][]*life)
	for id, l := range v.lives {
		lives[id.node] = append(lives[id.node], l)
	}
	for _, list := range lives {
		slices.SortFunc(list, func(a, b *life) int {
			return cmp.Or(b.first.Compare(a.first), cmp.Compare(b.report.Life, a.report.Life))
		})
	}
	return lives
}

// current are those of a node's processes that are shown: the last one, and each that
// is alive beside it. One that has not reported since the last one began has been
// replaced by it.
func current(lives []*life, now time.Time) []*life {
	shown := lives[:1:1]
	for _, l := range lives[1:] {
		if l.state(now) == Alive && l.last.After(lives[0].first) {
			shown = append(shown, l)
		}
	}
	return shown
}

func (f *Fleet) uncustodied(partitions int32) []int32 {
	held := make(map[int32]bool)
	for i := range f.Nodes {
		if f.Nodes[i].State == Alive {
			for _, h := range f.Nodes[i].Custody {
				held[h.Partition] = true
			}
		}
	}
	missing := []int32{}
	for p := range partitions {
		if !held[p] {
			missing = append(missing, p)
		}
	}
	return missing
}

// warn says what is wrong with the whole.
func (f *Fleet) warn() {
	f.differ("routing.mode", "until it is the same on all, gateways read every request", func(r *Report) string { return r.Routing })
	f.differ("delivery.order", "until it is the same on all, the order of a user's messages is not kept", func(r *Report) string { return r.Order })
	for i := range f.Nodes {
		n := &f.Nodes[i]
		if n.SharedID && (i == 0 || f.Nodes[i-1].Node != n.Node) {
			f.Warnings = append(f.Warnings, fmt.Sprintf("two processes have the node id %s: give each node a node.id of its own", n.Node))
		}
		f.wrongClock(n)
	}
	if len(f.Uncustodied) > 0 {
		f.Warnings = append(f.Warnings, fmt.Sprintf(
			"no node that reports has partition %s in custody: messages there are not judged, and nobody offers them again, until a custodian takes over "+
				"(nodes of older releases do not report: see their /readyz)",
			Partitions(f.Uncustodied)))
	}
}

// differ warns where a setting is not the same on all nodes that are alive.
func (f *Fleet) differ(key, consequence string, of func(*Report) string) {
	nodes := make(map[string][]string)
	for i := range f.Nodes {
		if n := &f.Nodes[i]; n.State == Alive && of(&n.Report) != "" {
			nodes[of(&n.Report)] = append(nodes[of(&n.Report)], n.Node)
		}
	}
	if len(nodes) < 2 {
		return
	}
	var parts []string
	for _, value := range slices.Sorted(maps.Keys(nodes)) {
		parts = append(parts, value+" on "+strings.Join(nodes[value], ", "))
	}
	f.Warnings = append(f.Warnings, fmt.Sprintf("%s differs: %s; %s", key, strings.Join(parts, "; "), consequence))
}

// wrongClock warns of a clock that is ahead, which is certain, or so far behind that
// the way to the brokers cannot have taken that long.
func (f *Fleet) wrongClock(n *Node) {
	const ahead, behind = 2 * time.Second, 10 * time.Second
	if n.State != Alive {
		return
	}
	switch d := n.At.Sub(n.LastReport); {
	case d > ahead:
		f.Warnings = append(f.Warnings, fmt.Sprintf("the clock of %s is %s ahead of the brokers': keep clocks in step (NTP)", n.Node, d.Round(time.Second)))
	case d < -behind:
		f.Warnings = append(f.Warnings, fmt.Sprintf("the clock of %s is %s behind the brokers', or its reports take that long", n.Node, (-d).Round(time.Second)))
	}
}

// Partitions writes numbers as people do: 0-3,7.
func Partitions(numbers []int32) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(numbers[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", numbers[i], numbers[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}
