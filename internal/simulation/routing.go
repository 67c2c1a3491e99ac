package simulation

import (
	"math/rand/v2"
	"time"

	"pushgate/internal/push"
	"pushgate/internal/targeted"
)

// routing is how requests come to gateways.
type routing uint8

const (
	// broadcast: gateways read them.
	broadcast routing = iota
	// called: custodians call gateways with them, which read only until they have
	// found out.
	called
	// mixed: some custodians and some nodes do one, some the other, and it changes.
	mixed
)

// ways is what is drawn of a history in which gateways are called.
type ways struct {
	routing routing
	router  targeted.Policy
	// remembers: gateways know what they have delivered, and do not write it again.
	remembers bool
	// forgets: the directory loses entries, or all, or is away.
	forgets bool
	// shaky: look-ups fail now and then.
	shaky bool
	// lossy: calls and answers get lost.
	lossy bool
	// crowded: most sessions take one type of messages, and several messages are
	// produced at a time.
	crowded bool
}

// drawWays draws it from a source of its own: a history in which nobody is called is
// what it was before there were calls.
func drawWays(seed uint64, n *nature) {
	rng := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // it must be the same each time
	one := func(of int) bool { return rng.IntN(of) == 0 }
	switch rng.IntN(8) {
	case 0, 1, 2:
		n.routing = called
	case 3:
		n.routing = mixed
	default:
		return
	}
	n.router = targeted.Policy{CallMessages: 100, CallBytes: 1 << 20, MaxQueued: 1000}
	if !one(4) {
		n.router.Cache = time.Second
	}
	if one(2) {
		n.router.CallMessages = 1 + rng.IntN(2)
	}
	if one(8) {
		n.router.CallBytes = 200
	}
	n.remembers = one(2)
	if !n.steady {
		n.forgets, n.lossy = one(2), one(2)
		if one(8) {
			n.router.MaxQueued = 1
		}
	}
	n.shaky, n.crowded = one(3), one(2)
	if n.crowded {
		n.users = 1 + rng.IntN(2)
	}
	if !n.steady && !n.policy.Strict && one(2) {
		n.policy.Custody.MaxInFlight = 2 + rng.IntN(2) // a successor answers for the partition before it has read all
	}
	n.steps += n.steps / 2
}

// routed says whether gateways may be called.
func (n *nature) routed() bool { return n.routing != broadcast }

// route lets something happen that happens only where gateways are called.
func (w *World) route() {
	switch n := w.rng.IntN(100); {
	case n < 65:
		if c := w.partitions[w.rng.IntN(len(w.partitions))].custodian; c != nil && !c.begun {
			c.courier.goOn(1 + w.rng.IntN(4))
		}
	case n < 85:
		if g := w.anyGateway(); g != nil && !g.stopped(w) {
			g.keep()
		}
	case n < 95:
		if g := w.anyGateway(); g != nil && !g.stopped(w) {
			g.poll()
			g.change(g.workers[w.rng.IntN(len(g.workers))])
		}
	case n < 97 && w.nature.forgets:
		w.directory.upset(w)
	case n < 98:
		w.killCalled()
	case len(w.visits) > 0:
		w.lateVisit()
	}
}

// killCalled kills a gateway that has been called and whose answer is not heard yet.
func (w *World) killCalled() {
	c := w.partitions[w.rng.IntN(len(w.partitions))].custodian
	if w.nature.steady || c == nil || c.courier == nil {
		return
	}
	for _, call := range c.courier.calls {
		if call.visit != nil && !call.visit.g.dead {
			call.visit.g.kill()
			return
		}
	}
}

// drawMode says whether a custodian that takes over calls gateways.
func (w *World) drawMode() bool {
	return w.nature.routing == called || w.nature.routing == mixed && w.one(2)
}

// allCall says whether all custodians call gateways; it is not known while one is
// missing.
func (w *World) allCall() (all, known bool) {
	all = true
	for _, p := range w.partitions {
		if p.custodian == nil {
			return false, false
		}
		all = all && p.custodian.start.Policy.Targeted
	}
	return all, true
}

// poll lets a gateway find out whether it is called.
func (g *gateway) poll() {
	all, known := g.w.allCall()
	if !known {
		return
	}
	if now := all && g.node.targeted; now != g.called {
		g.called = now
		g.w.happens(g.who, map[bool]string{true: "is to be called", false: "is to read"}[now])
	}
}

// change lets a worker begin to be called, or to read.
func (g *gateway) change(wk *worker) {
	w, p := g.w, g.w.partitions[wk.number]
	switch {
	case wk.unnamed:
		g.name(wk)
		return
	case g.called == wk.ledger.Called(), wk.reading && (g.stuck || g.laggingUntil > w.step && !w.healed):
		return
	case wk.reading:
		g.read(wk, int(wk.batchEnd-wk.position))
	}
	if g.called {
		wk.ledger.Call()
		w.happens(g.who, "is called from now on")
	} else {
		wk.position = p.committed.Requests
		wk.ledger.Restart(wk.position)
		wk.owned, wk.listed, wk.told = nil, 0, 0
		w.happens(g.who, "reads from now on")
	}
	wk.stints++
	wk.unnamed, wk.stintFrom = true, -1
	if w.healed || !w.one(4) {
		g.name(wk)
	}
}

// name names all sessions of users who are at home in a worker's partition.
func (g *gateway) name(wk *worker) {
	wk.unnamed = false
	var here []push.Binding
	for _, list := range g.sessions {
		for _, s := range list {
			if g.homeOf(s.user) == wk {
				here = append(here, s.binding())
			}
		}
	}
	wk.ledger.Name(here)
}

// settleModes lets everybody find out who is called, and brings the directory up to
// date.
func (w *World) settleModes() {
	if !w.nature.routed() {
		return
	}
	for _, g := range w.gateways {
		g.keepAll()
		g.poll()
		for _, wk := range g.workers {
			g.change(wk)
			if wk.unnamed {
				g.name(wk)
			}
		}
	}
}
