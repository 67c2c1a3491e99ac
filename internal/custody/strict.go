package custody

import "pushgate/internal/push"

// Strict order (Policy.Strict): of one user and type, a message is offered only
// when all earlier ones are settled. Gateways then pass over what producers wrote
// and deliver what custodians offered, so that each message is written to the
// request topic twice, and of one user and type only one is under way at a time.
//
// A message that was not offered yet (attempt 0) is queued. In flight, as long as
// what is in front of it is under way; as a wait, once that waits.

// queued says whether an entry in flight was not offered yet.
func (m *Machine) queued(e *entry) bool {
	return m.policy.Strict && e.attempt == 0 && e.state == inFlight && !e.foreign
}

// isNext says whether order allows an entry to be offered: always, unless it is
// strict and an earlier message of the type is not settled.
func (m *Machine) isNext(e *entry) bool { return !m.policy.Strict || m.before(e) == nil }

// before returns the nearest earlier entry of the user and type, nil if there is
// none. Where that waits, all of those between would, too: see followers.
func (m *Machine) before(e *entry) *entry {
	for r := e.prev; r != none; {
		earlier := m.entries.at(r)
		if earlier.typ == e.typ {
			return earlier
		}
		r = earlier.prev
	}
	return nil
}

// enqueue offers a message that was not offered yet, or lets it wait for its turn.
func (m *Machine) enqueue(e *entry) {
	earlier := m.before(e)
	switch {
	case earlier == nil && m.window(e.owner, e.typ).roomFor(&m.policy, e.size):
		m.offer(e)
	case earlier != nil && earlier.state.countsAsWaiting() > 0:
		m.waitBehind(e, earlier.reason)
	case m.crowded():
		m.waitBehind(e, push.Offline)
	}
}

// crowded says whether what is queued must not stay in flight: what it waits for
// may stand further on in the log, which is not read while too many are in flight.
func (m *Machine) crowded() bool { return m.flights.n > m.policy.Custody.MaxInFlight/2 }

// waitBehind makes a queued message wait for its turn. One that would be too many
// stays queued where its user is there: it is safe in the request log, and what is
// in front of it will be settled before long.
func (m *Machine) waitBehind(e *entry, reason push.Reason) {
	if m.overflows(e) && reason != push.Offline && !m.crowded() {
		return
	}
	e.wanted = true
	m.writeWait(e, reason, 0)
}

// beginQueue sees to a message that was read while restoring.
func (m *Machine) beginQueue(e *entry) {
	switch {
	case e.state != inFlight || e.attempt != 0:
	case e.foreign: // partitions were added meanwhile
		m.moveHome(e, e.work.home)
	default:
		m.enqueue(e)
	}
}

// followers makes those wait that are queued behind a message that begins to, if it
// does.
func (m *Machine) followers(e *entry) {
	if !m.policy.Strict || e.state != waitPending {
		return
	}
	for r := e.next; r != none; {
		later := m.entries.at(r)
		r = later.next
		if later.typ == e.typ && m.queued(later) {
			m.waitBehind(later, e.reason)
		}
	}
}

// nextIsReady: a message was delivered, so its user is there, and the next one need
// not wait for anything but its turn.
func (m *Machine) nextIsReady(e *entry) {
	for r := e.next; r != none; {
		next := m.entries.at(r)
		r = next.next
		if next.typ != e.typ {
			continue
		}
		if next.state == waiting && !next.ready && next.reason == push.Offline && m.restored {
			m.timers.remove(next)
			m.setReady(next, true)
			m.timers.add(next)
		}
		return
	}
}

// turnInOrder offers the first of a user's messages of a type, if it waits only
// for its turn.
func (m *Machine) turnInOrder(owner, typ ref) {
	for r := m.users.at(owner).first; r != none; {
		e := m.entries.at(r)
		r = e.next
		if e.typ != typ {
			continue
		}
		switch {
		case !m.window(owner, typ).roomFor(&m.policy, e.size):
		case e.ready:
			m.leaveWaiting(e)
		case m.queued(e) && m.expired(e):
			m.expire(e)
		case m.queued(e):
			m.offer(e)
		}
		return
	}
}

// supersede forgets a message that is queued, or the wait it became, because it
// turns out that a predecessor has offered it.
func (m *Machine) supersede(offering *Request) {
	if !m.policy.Strict || offering.Order == 0 || offering.Attempt != 1 || offering.EndsWait >= 0 {
		return
	}
	queued := func(e *entry) bool { return e != nil && m.isOf(e, offering, 1) }
	origin := offering.Order - 1
	if e := m.flight(origin); queued(e) {
		switch e.state {
		case inFlight:
			m.report(e, push.OutcomeNone, e.reason, "")
			m.leave(e)
		case waitPending:
			e.work.ended = true
		default:
			// Its own offering, which ends it.
		}
	}
	if w := m.waitOf(origin); queued(w) {
		m.endBefore(w, offering.Offset)
	}
}

// orderOf returns the place of a request among those of its user and type: that
// of its first record in the partition, counted from one.
func (m *Machine) orderOf(r *Request) int64 {
	switch {
	case !m.policy.Strict:
		return 0
	case r.Attempt == 0:
		return r.Offset + 1
	}
	return r.Order
}
