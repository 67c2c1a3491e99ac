package simulation

import (
	"slices"
	"time"

	"pushgate/internal/push"
)

// whoIsMuteIsFound lets a user come while messages for them are being stored, to a
// gateway that enters them in the directory and does not get to say so: the custodian
// finds them all the same. Now and then it is its successor that has to.
func (w *World) whoIsMuteIsFound() {
	if w.failure != nil || w.nature.routing != called || w.nature.policy.Strict || w.reading() < len(w.gateways) {
		return
	}
	user := users[w.rng.IntN(w.nature.users)]
	n := numberOf(user)
	w.leaveTheDeaf()
	w.untilItRests() // where it is calm, nobody leaves for whom something is under way
	for _, g := range w.gateways {
		for _, s := range slices.Clone(g.sessions[n]) {
			g.leave(s)
		}
	}
	w.untilItRests()
	p, g := w.partitions[push.Home(user, w.count())], w.gateways[w.rng.IntN(len(w.gateways))]
	for range 2 + w.rng.IntN(3) {
		m := message{user: user, typ: types[w.rng.IntN(len(types))], valid: true, offset: -1, expires: w.now.Add(1000 * time.Hour).Truncate(time.Millisecond)}
		w.write(p.number, m)
	}
	w.happens(g.who, "has nothing said of whom it enters")
	const longEnough = 200
	comes, replaces := w.rng.IntN(longEnough/4), !w.nature.steady && w.one(2)
	var s *session
	stored := int64(0) // the waits below it may have been looked after before the session was there
	for i := 0; i < longEnough && w.failure == nil; i++ {
		switch c := p.custodian; {
		case s == nil && (i >= comes || len(c.courier.found) > 0 && w.one(4)):
			s, stored = w.entersUnsaid(g, user), int64(len(p.retry))
		case s != nil && replaces:
			w.replace(p)
			replaces, stored = false, 0
		case w.one(4):
			c.readRequests(1 + w.rng.IntN(3))
		case w.one(3):
			c.carryOut(knowing)
		default:
			c.courier.goOn(1)
		}
	}
	w.settleUnsaid(p, s, stored)
}

// replace lets a custodian die, and another take over.
func (w *World) replace(p *partition) {
	if p.custodian.die(); p.custodian == nil {
		w.takeOver(p)
	}
	if p.custodian.begun {
		p.custodian.restoreWaits()
	}
}

// entersUnsaid opens a session and enters it.
func (w *World) entersUnsaid(g *gateway, user string) *session {
	g.connect(user, push.AllTypes, false)
	n := numberOf(user)
	s := g.sessions[n][len(g.sessions[n])-1]
	s.entered, s.enteredAt = true, w.step
	w.directory.entries[n] = append(w.directory.entries[n], g.entryOf(s))
	return s
}

// settleUnsaid lets all come to rest; of the session nothing is said yet. What is
// offered at a time is bounded, so that one message that arrives is enough.
func (w *World) settleUnsaid(p *partition, s *session, from int64) {
	for range 3 {
		if w.failure != nil {
			return
		}
		p.custodian.readAll()
		w.gatewaysAct()
	}
	// What is in flight may have to outwait a gateway that has died, for which no time has
	// passed; where no more may be in flight, nothing is read until then.
	if w.failure != nil || s.wrote || p.custodian.full() {
		return
	}
	for at := range p.requests {
		if r := &p.requests[at]; r.msg.User == s.user && r.waitAt >= from && !r.ended && p.retry[r.waitAt].entry.Reason == push.Offline {
			w.broken(soughtAgain, r.message, "offering %d/%d waits", p.number, at)
			return
		}
	}
}
