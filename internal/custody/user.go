package custody

// user is what is known of one user who has entries, or places in a window.
type user struct {
	name string
	// first and last of the user's entries: as they came, and where order is kept,
	// in that order.
	first, last ref
	waiting     int32   // waits, and waits being written
	windows     *window // those in use
	touched     bool    // see Machine.touch
}

func (m *Machine) userOf(e *entry) *user { return m.users.at(e.owner) }

// named returns the user, nil if nothing is known of them.
func (m *Machine) named(name string) *user {
	r := m.byName.find(name)
	if r == none {
		return nil
	}
	return m.users.at(r)
}

// link adds an entry to its user's list.
func (m *Machine) link(e *entry, name string) {
	r := m.byName.find(name)
	if r == none {
		var u *user
		r, u = m.users.take()
		u.name = name
		m.byName.put(r)
	}
	e.owner = r
	u := m.users.at(r)
	m.insert(u, e, m.placeOf(u, e))
}

// placeOf returns behind which of the user's entries a new one belongs. What was not
// offered yet is among the last, an offering among the first.
func (m *Machine) placeOf(u *user, e *entry) ref {
	if !m.policy.Strict {
		return u.last
	}
	if e.attempt == 0 {
		before := u.last
		for before != none && m.entries.at(before).order > e.order {
			before = m.entries.at(before).prev
		}
		return before
	}
	before, next := none, u.first
	for next != none && m.entries.at(next).order <= e.order {
		before, next = next, m.entries.at(next).next
	}
	return before
}

// insert puts an entry behind another of its user, or in front of all.
func (m *Machine) insert(u *user, e *entry, before ref) {
	e.prev, e.next = before, u.first
	if before == none {
		u.first = e.self
	} else {
		b := m.entries.at(before)
		e.next, b.next = b.next, e.self
	}
	if e.next == none {
		u.last = e.self
	} else {
		m.entries.at(e.next).prev = e.self
	}
}

// unlink takes an entry off its user's list.
func (m *Machine) unlink(e *entry) {
	if e.owner == none {
		return
	}
	u := m.userOf(e)
	if e.prev == none {
		u.first = e.next
	} else {
		m.entries.at(e.prev).next = e.next
	}
	if e.next == none {
		u.last = e.prev
	} else {
		m.entries.at(e.next).prev = e.prev
	}
	owner := e.owner
	e.owner, e.prev, e.next = none, none, none
	m.touch(owner, e.typ)
}

// turnOf is a user, and a type, of whom something may have its turn.
type turnOf struct{ owner, typ ref }

// touch has a user looked at when the event that is being taken in is over: what
// waits for its turn may have it, and of whom nothing is left is forgotten. Not
// at once, because whoever calls is in the middle of changing the user's entries.
func (m *Machine) touch(owner, typ ref) {
	m.users.at(owner).touched = true
	m.touched = append(m.touched, turnOf{owner, typ})
}

// afterwards ends the taking in of an event.
func (m *Machine) afterwards() {
	for i := 0; i < len(m.touched); i++ { // it may grow
		m.turn(m.touched[i].owner, m.touched[i].typ)
	}
	for _, t := range m.touched {
		if m.users.used > 0 {
			m.forgetIdle(t.owner)
		}
	}
	m.touched = m.touched[:0]
	m.rewriteOld()
}

// forgetIdle closes the windows of a user that are not in use, and forgets a user
// of whom nothing is known any more.
func (m *Machine) forgetIdle(r ref) {
	u := m.users.at(r)
	if !u.touched {
		return
	}
	u.touched = false
	for at := &u.windows; *at != nil; {
		if w := *at; w.offered == 0 && w.ready == 0 {
			*at = w.next
			m.types.release(w.typ)
		} else {
			at = &w.next
		}
	}
	if u.first == none && u.windows == nil {
		m.byName.remove(u.name)
		m.users.give(r)
	}
}
