package custody

import "pushgate/internal/push"

// window bounds what of a user's waiting messages is offered at a time. All of it
// at once would only overflow the session's buffer, and use up attempts, of a
// client that reads as fast as it can.
//
// A place in it (a token) is taken when a wait is offered, goes on to the offering
// once that is read, and is given back when the offering ends or waits again.
type window struct {
	offered, bytes int
	ready          int // entries that wait for their turn
}

func (w *window) has(c WaitingConfig, size int32) bool {
	return w.offered == 0 || w.offered < c.OfferMessages && w.bytes+int(size) <= c.OfferBytes
}

func (w *window) take(size int32) {
	w.offered++
	w.bytes += int(size)
}

func (w *window) giveBack(size int32) {
	w.offered--
	w.bytes -= int(size)
}

// offerInTurn offers a message again as soon as its user's window has room.
func (m *Machine) offerInTurn(e *entry) {
	switch {
	case e.owner.window.has(m.policy.Waiting, e.size):
		m.offer(e)
	case e.retryAt == notInRetry:
		// It needs a place to wait for its turn; wanted, it is ready at once.
		e.wanted = true
		reason := e.reason
		if reason == push.ReasonNone {
			reason = push.Offline
		}
		m.wait(e, reason, 0)
	default:
		e.enter(waiting)
		e.setReady(true)
		m.timers.add(e)
	}
}

func (e *entry) setReady(ready bool) {
	if e.ready == ready {
		return
	}
	e.ready = ready
	if ready {
		e.owner.window.ready++
	} else {
		e.owner.window.ready--
	}
}

// takeToken gives an entry a place in its user's window.
func (m *Machine) takeToken(e *entry) {
	if !e.token {
		e.token = true
		e.owner.window.take(e.size)
	}
}

// giveToken gives an entry's place back, and offers what was waiting for it.
func (m *Machine) giveToken(e *entry) {
	if !e.token {
		return
	}
	e.token = false
	e.owner.window.giveBack(e.size)
	m.turn(e.owner)
}

// turn offers what of a user's messages waits for its turn, as far as there is
// room.
func (m *Machine) turn(u *userEntries) {
	if !m.restored {
		return
	}
	for next := u.first; next != nil && u.window.ready > 0; next = next.next {
		if !next.ready {
			continue
		}
		if !u.window.has(m.policy.Waiting, next.size) {
			return
		}
		m.leaveWaiting(next)
	}
}

// passToken moves the token of a wait that is offered to the place its offering
// has in the log, or to the offering if that was read already.
func (m *Machine) passToken(e *entry, at int64) {
	if !e.token {
		return
	}
	if at >= m.next {
		e.token = false
		m.inLog[at] = place{e.owner, e.size}
		return
	}
	offering := m.flights[at]
	if offering == nil || offering.token || offering.owner != e.owner {
		m.giveToken(e)
		return
	}
	e.token, offering.token = false, true
	offering.size = e.size // what was taken is given back
}

// place in a user's window, of an offering that is in the log and was not read
// yet.
type place struct {
	owner *userEntries
	size  int32
}

// inheritToken gives an offering that was read the token of the wait it came
// from.
func (m *Machine) inheritToken(e, from *entry) {
	left, ok := m.inLog[e.origin]
	switch {
	case ok && left.owner == e.owner:
		delete(m.inLog, e.origin)
		e.token, e.size = true, left.size
	case from != nil && from.token:
		from.token, e.token = false, true
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
	left.owner.window.giveBack(left.size)
	m.turn(left.owner)
}
