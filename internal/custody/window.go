package custody

import "pushgate/internal/push"

// window bounds what of a user's waiting messages is offered at a time. All of it
// at once would only overflow the session's buffer, and use up attempts, of a
// client that reads as fast as it can. Where the order of messages is strict there
// is one window for each type, and it has one place.
//
// A place in it (a token) is taken when a message is offered, goes on to the
// offering once that is read, and is given back when the offering ends or waits
// again.
type window struct {
	typ            ref // none where the window is for all types
	next           *window
	offered, bytes int
	ready          int // entries that wait for their turn
}

func (w *window) take(size int32) {
	w.offered++
	w.bytes += int(size)
}

// roomFor says whether one more of the size may be offered. A nil window is one
// that nothing has been offered in.
func (w *window) roomFor(p *Policy, size int32) bool {
	switch {
	case w == nil || w.offered == 0:
		return true
	case p.Strict:
		return false
	}
	return w.offered < p.Waiting.OfferMessages && w.bytes+int(size) <= p.Waiting.OfferBytes
}

// windowType is what tells the windows of one user apart.
func (m *Machine) windowType(typ ref) ref {
	if m.policy.Strict {
		return typ
	}
	return none
}

// window returns the window of a user for a type, nil if it is not in use.
func (m *Machine) window(owner, typ ref) *window {
	w := m.users.at(owner).windows
	for t := m.windowType(typ); w != nil && w.typ != t; {
		w = w.next
	}
	return w
}

// openWindow returns it, in use or not.
func (m *Machine) openWindow(owner, typ ref) *window {
	w := m.window(owner, typ)
	if w == nil {
		u := m.users.at(owner)
		w = &window{typ: m.windowType(typ), next: u.windows}
		m.types.hold(w.typ)
		u.windows = w
	}
	return w
}

// offerInTurn offers a message again as soon as its user's window has room.
func (m *Machine) offerInTurn(e *entry) {
	switch {
	case m.isNext(e) && m.window(e.owner, e.typ).roomFor(&m.policy, e.size):
		m.offer(e)
	case e.retryAt == notInRetry:
		// It needs a place to wait for its turn; wanted, it is ready at once.
		e.wanted = true
		reason := e.reason
		if reason == push.ReasonNone {
			reason = push.Offline
		}
		m.makeWait(e, reason, 0)
	default:
		m.enter(e, waiting)
		m.setReady(e, true)
		m.timers.add(e)
		e.rest()
	}
}

func (m *Machine) setReady(e *entry, ready bool) {
	if e.ready == ready {
		return
	}
	e.ready = ready
	w := m.openWindow(e.owner, e.typ)
	if ready {
		w.ready++
	} else {
		w.ready--
		m.touch(e.owner, e.typ)
	}
}

// takeToken gives an entry a place in its user's window.
func (m *Machine) takeToken(e *entry) {
	if !e.hasToken() {
		e.busy().token = true
		m.openWindow(e.owner, e.typ).take(e.size)
	}
}

// giveToken gives an entry's place back, to what was waiting for it.
func (m *Machine) giveToken(e *entry) {
	if e.hasToken() {
		e.work.token = false
		m.giveBackPlace(place{e.owner, e.typ, e.size})
	}
}

func (m *Machine) giveBackPlace(p place) {
	w := m.openWindow(p.owner, p.typ)
	w.offered--
	w.bytes -= int(p.size)
	m.touch(p.owner, p.typ)
}

// turn offers what of a user's messages waits for its turn, as far as there is
// room.
func (m *Machine) turn(owner, typ ref) {
	if !m.restored {
		return
	}
	if m.policy.Strict {
		m.turnInOrder(owner, typ)
		return
	}
	w := m.window(owner, typ)
	for r := m.users.at(owner).first; r != none && w != nil && w.ready > 0; {
		e := m.entries.at(r)
		r = e.next
		if !e.ready {
			continue
		}
		if !w.roomFor(&m.policy, e.size) {
			return
		}
		m.leaveWaiting(e)
	}
}

// place in a user's window, of an offering that is in the log and was not read
// yet.
type place struct {
	owner, typ ref
	size       int32
}

// passToken moves the token of an entry that was offered to the place its offering
// has in the log, or to the offering if that was read already.
func (m *Machine) passToken(e *entry, at int64) {
	if !e.hasToken() {
		return
	}
	if at >= m.next {
		e.work.token = false
		m.types.hold(e.typ)
		m.inLog[at] = place{e.owner, e.typ, e.size}
		return
	}
	offering := m.flight(at)
	if offering == nil || offering.state != inFlight || offering.hasToken() || offering.owner != e.owner || offering.typ != e.typ {
		m.giveToken(e)
		return
	}
	e.work.token = false
	offering.busy().token = true
	offering.size = e.size // what was taken is given back
}

// inheritToken gives an offering that was read the token of the wait it came
// from.
func (m *Machine) inheritToken(e, from *entry) {
	left, ok := m.inLog[e.origin]
	switch {
	case ok && left.owner == e.owner && left.typ == e.typ:
		delete(m.inLog, e.origin)
		m.types.release(left.typ)
		e.busy().token = true
		e.size = left.size
	case from != nil && from.hasToken():
		from.work.token = false
		e.busy().token = true
		e.size = from.size
	case from != nil:
		m.takeToken(e)
	}
}

// forfeit gives back the place of an offering that nothing will come of.
func (m *Machine) forfeit(at int64) {
	left, ok := m.inLog[at]
	if !ok {
		return
	}
	delete(m.inLog, at)
	m.giveBackPlace(left)
	m.types.release(left.typ)
}
