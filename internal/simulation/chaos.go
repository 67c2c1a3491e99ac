package simulation

import (
	"time"
)

// upset ends something, or starts a gateway.
func (w *World) upset() {
	if w.nature.steady {
		if w.one(3) {
			w.commitAll()
		}
		return
	}
	switch w.rng.IntN(10) {
	case 0, 1, 2:
		w.custodianDies()
	case 3:
		w.stopOrLag()
	case 4, 5:
		w.restartOne()
	case 6:
		if g := w.anyGateway(); g != nil && w.one(2) {
			g.laggingUntil = 0
			g.goodbye()
		}
	case 7, 8:
		if g := w.anyGateway(); g != nil {
			g.kill()
		}
	default:
		w.restartAll()
	}
}

func (w *World) anyGateway() *gateway {
	if len(w.gateways) == 0 {
		return nil
	}
	return w.gateways[w.rng.IntN(len(w.gateways))]
}

// custodianDies ends a custodian between any two steps of what it does.
func (w *World) custodianDies() {
	c := w.partitions[w.rng.IntN(len(w.partitions))].custodian
	if c == nil {
		return
	}
	if c.begun {
		c.die()
		return
	}
	switch w.rng.IntN(4) {
	case 0:
		if c.carryOut(dying) {
			return
		}
	case 1:
		if w.nature.strays && c.carryOut(tooLate) {
			return
		}
	}
	c.die()
}

// stopOrLag stops a gateway, as with a signal, or keeps it from reading.
func (w *World) stopOrLag() {
	g := w.anyGateway()
	if g == nil {
		return
	}
	until := w.step + 10 + w.rng.IntN(40)
	if w.one(2) {
		g.asleepUntil = until
		w.happens(g.who, "is stopped")
		return
	}
	g.laggingUntil = until
	w.happens(g.who, "does not read")
}

func (w *World) restartOne() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if n.process == nil || w.nature.namesakes && w.one(3) {
		w.start(n)
	}
}

// restartSome starts the nodes that are not there, but for one now and then that
// stays away.
func (w *World) restartSome() {
	if len(w.gateways) == 0 || w.one(3) {
		w.restartAll()
		return
	}
	for _, n := range w.nodes[1:] {
		if n.process == nil {
			w.start(n)
		}
	}
}

func (w *World) restartAll() {
	for _, n := range w.nodes {
		if n.process == nil {
			w.start(n)
		}
	}
}

// odd is what happens seldom.
func (w *World) odd() {
	if w.nature.steady {
		return
	}
	switch w.rng.IntN(6) {
	case 0:
		w.silence()
	case 1:
		w.clockSteps()
	case 2:
		w.grow()
	case 3:
		if c := w.partitions[w.rng.IntN(len(w.partitions))].custodian; c != nil && !c.begun {
			c.carryOut(rejected)
		}
	default:
		if len(w.late) > 0 {
			w.arrive()
		}
	}
}

// arrive lets a write arrive that was given up.
func (w *World) arrive() {
	arrives := w.late[0]
	w.late = w.late[1:]
	w.happens("world", "a write that was given up arrives")
	arrives()
}

func (w *World) clockSteps() {
	if !w.nature.skewed {
		return
	}
	if g := w.anyGateway(); g != nil && w.one(2) {
		g.skew = w.skew()
		w.happens(g.who, "a clock steps")
		return
	}
	if c := w.partitions[w.rng.IntN(len(w.partitions))].custodian; c != nil {
		c.skew = w.skew()
		w.happens(c.who, "a clock steps")
	}
}

// grow adds a partition.
func (w *World) grow() {
	if !w.nature.grows || len(w.partitions) > 1 {
		return
	}
	w.partitions = append(w.partitions, &partition{number: w.count()})
	w.happens("world", "the request topic has another partition")
}

// zombieActs lets a custodian that was replaced go on. It cannot commit.
func (w *World) zombieActs() {
	i := w.rng.IntN(len(w.zombies))
	z := w.zombies[i]
	if z.life--; z.life < 0 {
		w.zombies = append(w.zombies[:i], w.zombies[i+1:]...)
		return
	}
	switch w.rng.IntN(6) {
	case 0:
		z.readRequests(1 + w.rng.IntN(3))
	case 1:
		z.readReceipts(1 + w.rng.IntN(4))
	case 2:
		z.hearNothing()
	case 3:
		if z.courier != nil {
			z.courier.goOn(1 + w.rng.IntN(4))
			return
		}
		z.carryOut(knowing)
	default:
		z.carryOut(knowing)
	}
}

// second is how much time passes in a healed world that has nothing else to do.
const second = time.Second
