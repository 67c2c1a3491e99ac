package simulation

import (
	"time"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// hearing is what a custodian has heard last of a node.
type hearing struct {
	epoch, readThrough int64
	called, goodbye    bool
	at                 time.Time
}

// judgement is what a custodian has to go by when nobody claims a request, where
// clocks agree.
type judgement struct {
	nodes  map[string]hearing
	readAt map[int64]time.Time
}

func (c *custodian) weighs() bool { return c.w.nature.routing == mixed && !c.w.nature.skewed }

// hears notes how a gateway takes requests, and how far it has read.
func (c *custodian) hears(r *push.Receipt) {
	if !c.weighs() {
		return
	}
	if c.judges.nodes == nil {
		c.judges.nodes = make(map[string]hearing)
	}
	h, known := c.judges.nodes[r.Node]
	if known && r.Epoch < h.epoch {
		return
	}
	through := r.ReadThrough
	if known && r.Epoch == h.epoch && r.Called == h.called {
		through = max(through, h.readThrough)
	}
	c.judges.nodes[r.Node] = hearing{
		epoch: r.Epoch, readThrough: through, called: r.Called, at: c.w.now,
		goodbye: r.Presence == push.Goodbye,
	}
}

// weighsFrom notes when a request was read.
func (c *custodian) weighsFrom(offset int64) {
	if !c.weighs() {
		return
	}
	if c.judges.readAt == nil {
		c.judges.readAt = make(map[int64]time.Time)
	}
	c.judges.readAt[offset] = c.w.now
}

// checkOutwaited: a machine takes the user of an offering for absent. What it has
// observed goes on in steps of a third of the window at most.
func (c *custodian) checkOutwaited(a *custody.Action) {
	if !c.weighs() || a.Kind != custody.MakeWait || a.Reason != push.Offline || a.Attempt == 0 || a.FromRetry {
		return
	}
	since := c.w.now.Add(-c.w.policy().Custody.Window * 2 / 3)
	read, ok := c.judges.readAt[a.Origin]
	if !ok || read.Before(since) {
		return
	}
	for node, h := range c.judges.nodes {
		if h.goodbye || h.at.Before(since) || h.called && c.courier != nil || !h.called && h.readThrough > a.Origin {
			continue
		}
		c.w.broken(outwaited, c.p.requests[a.Origin].message, "offering %d/%d waits, and %s has not read it", c.p.number, a.Origin, node)
	}
}
