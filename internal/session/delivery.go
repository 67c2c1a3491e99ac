package session

import (
	"time"

	"pushgate/internal/push"
	"pushgate/internal/ws"
)

// delivery is one message on its way to the client: queued, then, where the
// client acknowledges, written.
type delivery struct {
	session *Session
	write   ws.Write
	verdict Verdict
	// more are verdicts on later offerings of the message that came while this
	// one was pending: it is written once, and its end is theirs.
	more []*Verdict

	tail       uint64 // of the id
	prev, next *delivery
	listed     bool
	written    bool
	deadline   time.Time // of the acknowledgement, once written
}

// Completed implements ws.Completer.
func (d *delivery) Completed(_ *ws.Write, err error) { d.session.completed(d, err) }

// tell tells the verdict of d and those attached to it. The caller has taken more
// under the lock of the session and released that.
func tell(d *delivery, more []*Verdict, s push.Status, r push.Reason) {
	d.verdict.Tell(s, r)
	for _, v := range more {
		v.Tell(s, r)
	}
}

// indexFrom is how many pending deliveries are looked through one by one; beyond
// it there is a map.
const indexFrom = 16

// pendingList holds what is not settled yet in the order of the writes: those
// written, then those queued, because writes complete in order. Deadlines are
// therefore in order too.
type pendingList struct {
	first, last *delivery
	n           int32
	byID        map[string]*delivery // nil while n is small
}

func (l *pendingList) add(d *delivery) {
	d.listed, d.prev = true, l.last
	d.tail = tailOf([]byte(d.verdict.m.ID))
	if l.last == nil {
		l.first = d
	} else {
		l.last.next = d
	}
	l.last = d
	l.n++
	switch {
	case l.byID != nil:
		l.byID[d.verdict.m.ID] = d
	case l.n > indexFrom:
		l.byID = make(map[string]*delivery, 2*indexFrom)
		for e := l.first; e != nil; e = e.next {
			l.byID[e.verdict.m.ID] = e
		}
	}
}

func (l *pendingList) remove(d *delivery) {
	if d.prev == nil {
		l.first = d.next
	} else {
		d.prev.next = d.next
	}
	if d.next == nil {
		l.last = d.prev
	} else {
		d.next.prev = d.prev
	}
	d.listed, d.prev, d.next = false, nil, nil
	l.n--
	if l.n == 0 {
		l.byID = nil
	} else if l.byID != nil {
		delete(l.byID, d.verdict.m.ID)
	}
}

// find returns the pending delivery of a message, nil if there is none.
func (l *pendingList) find(id []byte) *delivery {
	if l.byID != nil {
		return l.byID[string(id)]
	}
	if l.first == nil {
		return nil
	}
	tail := tailOf(id)
	for d := l.first; d != nil; d = d.next {
		if d.tail == tail && d.verdict.m.ID == string(id) {
			return d
		}
	}
	return nil
}

// tailOf is the end of an id, where ids differ most often: whoever looks for one need
// not look at the messages of the others, which nobody has looked at for long.
func tailOf(id []byte) (tail uint64) {
	for i := max(0, len(id)-8); i < len(id); i++ {
		tail = tail<<8 | uint64(id[i])
	}
	return tail
}

// maxLate bounds how many deliveries that timed out are remembered for an
// acknowledgement that comes after all.
const maxLate = 1024

// lateList remembers the latest deliveries whose acknowledgement did not come in
// time. It costs nothing until the first one.
type lateList struct {
	byID  map[string]*delivery
	order []*delivery
}

func (l *lateList) add(d *delivery) {
	if l.byID == nil {
		l.byID = make(map[string]*delivery)
	}
	if old := l.byID[d.verdict.m.ID]; old != nil {
		// The same message timed out again: one word is for both.
		d.more = append(append(d.more, &old.verdict), old.more...)
	}
	l.byID[d.verdict.m.ID] = d
	l.order = append(l.order, d)
	for len(l.order) > maxLate {
		l.forget(l.order[0])
		l.order[0] = nil
		l.order = l.order[1:]
	}
}

// forget drops d unless a later delivery took its place.
func (l *lateList) forget(d *delivery) {
	if l.byID[d.verdict.m.ID] == d {
		delete(l.byID, d.verdict.m.ID)
	}
}

// take removes and returns the delivery of a message, nil if there is none.
func (l *lateList) take(id []byte) *delivery {
	d := l.byID[string(id)]
	if d != nil {
		delete(l.byID, string(id))
	}
	return d
}
