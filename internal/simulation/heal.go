package simulation

import (
	"slices"

	"pushgate/internal/push"
)

// patience is how many seconds a healed world has to become quiet: far more than
// all backoffs take, and far less than the slow timer.
const patience = 90

// heal ends whatever fails, and lets the world run until it is quiet.
func (w *World) heal() {
	w.healed = true
	for len(w.late) > 0 && w.failure == nil {
		w.arrive()
	}
	for len(w.visits) > 0 && w.failure == nil {
		w.lateVisit()
	}
	w.zombies = nil
	for _, g := range slices.Clone(w.gateways) {
		if g.node.process != g {
			g.goodbye()
		}
	}
	w.restartSome()
	for _, p := range w.partitions {
		if p.custodian == nil {
			w.takeOver(p)
		}
		if p.custodian.begun {
			p.custodian.restoreWaits()
		}
		p.custodian.tick()
	}
	for _, g := range w.gateways {
		g.look()
	}
	w.oneIsStuck()
	w.happens("world", "everything works again")
	w.settleModes()
	w.absentAreAbsent()
	w.whoIsMuteIsFound()
	w.operatorIsObeyed()
	w.everyoneConnects()
	w.calmDown()
	if w.failure == nil && w.revenant && !w.quiet() {
		w.now = w.now.Add(2 * w.policy().Custody.OfflineRecheck)
		w.calmDown()
	}
	w.commitAll()
}

// calmDown lets the world run until it is quiet, or for as long as patience lasts.
func (w *World) calmDown() {
	for seconds, rounds := 0, 0; w.failure == nil && seconds < patience; rounds++ {
		grew := w.round()
		if w.failure != nil || w.quiet() {
			return
		}
		if w.nature.routed() && rounds > restlessAfter {
			w.broken(comesToRest, everybody, "it goes on for %d rounds, in which no time passes", rounds)
		}
		if !grew {
			rounds = 0
			seconds++
			w.now = w.now.Add(second)
		}
	}
}

// oneIsStuck lets a gateway, now and then, never read again: its clients leave it,
// and what is to be read goes on without it.
func (w *World) oneIsStuck() {
	if w.nature.steady || len(w.gateways) < 2 || !w.one(8) {
		return
	}
	g := w.anyGateway()
	for _, list := range g.sessions {
		for _, s := range list {
			g.leave(s)
		}
	}
	// The others come first: clients connect to these.
	w.gateways = append(slices.DeleteFunc(w.gateways, func(o *gateway) bool { return o == g }), g)
	g.stuck = true
	w.happens(g.who, "never reads again")
}

// everyoneConnects sees to it that every user has a session for everything. Who
// has one need not connect again.
func (w *World) everyoneConnects() {
	for n, user := range users[:w.nature.users] {
		has := false
		for _, g := range w.gateways {
			for _, s := range slices.Clone(g.sessions[n]) {
				if s.deaf {
					g.leave(s)
				}
			}
			has = has || slices.ContainsFunc(g.sessions[n], func(s *session) bool { return s.typ == push.AllTypes })
		}
		if !has {
			w.gateways[w.rng.IntN(w.reading())].connect(user, push.AllTypes, w.one(2))
		}
	}
}

// round lets everybody do what there is to do. It says whether a log has grown by
// more than heartbeats.
func (w *World) round() bool {
	before := w.lengths()
	w.settleModes()
	w.gatewaysAct()
	for _, p := range w.partitions {
		p.custodian.readAll()
	}
	for _, p := range w.partitions {
		if w.failure == nil {
			p.custodian.tick()
		}
	}
	return w.lengths() != before
}

// gatewaysAct lets gateways and their clients do what there is to do, and say it.
func (w *World) gatewaysAct() {
	for _, g := range w.gateways {
		for _, wk := range g.workers {
			g.readAll(wk)
		}
		for n := range g.sessions {
			for _, s := range g.sessions[n] {
				for !s.idle() {
					s.write(w)
					s.ack()
				}
			}
		}
		for _, wk := range g.workers {
			g.sayAll(wk)
		}
	}
}

// lengths adds up the logs that grow only when something is done.
func (w *World) lengths() int {
	n := 0
	for _, p := range w.partitions {
		n += len(p.requests) + len(p.retry)
	}
	return n
}

// quiet says whether nothing is left to do.
func (w *World) quiet() bool {
	for _, p := range w.partitions {
		s := p.custodian.m.Stats()
		if !p.custodian.courier.idle() {
			return false
		}
		if s.InFlight+s.Waiting+s.Pending > 0 || s.Next < int64(len(p.requests)) {
			return false
		}
		for _, g := range w.gateways[:w.reading()] {
			if wk := g.workers[p.number]; !wk.ledger.Called() && wk.position < int64(len(p.requests)) || wk.ledger.UnderWay() > 0 {
				return false
			}
		}
	}
	return true
}

// reading counts the gateways that read: the first ones.
func (w *World) reading() int {
	if n := len(w.gateways); n > 0 && w.gateways[n-1].stuck {
		return n - 1
	}
	return len(w.gateways)
}

func (w *World) commitAll() {
	for _, g := range w.gateways {
		g.commit()
	}
	for _, p := range w.partitions {
		if c := p.custodian; c != nil && !c.begun && w.failure == nil {
			c.stage = 0
			c.commit(3)
		}
	}
}
