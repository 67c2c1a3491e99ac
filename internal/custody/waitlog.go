package custody

import (
	"cmp"
	"time"

	"pushgate/internal/push"
)

// waitLog knows the waits in the order of their records in the retry log: what a
// successor has to read begins at the oldest.
type waitLog struct {
	entries        *slab[entry]
	oldest, newest ref
	next           int64 // every record below was read or is known to be written
	rewriting      int   // waits that are being written anew
}

// add takes in the record of a wait. Offsets must grow.
func (l *waitLog) add(e *entry, at int64) {
	e.retryAt = at
	e.older, e.newer = l.newest, none
	if l.newest == none {
		l.oldest = e.self
	} else {
		l.entries.at(l.newest).newer = e.self
	}
	l.newest = e.self
	l.advance(at + 1)
}

// remove takes a wait out, if it is in.
func (l *waitLog) remove(e *entry) {
	if l.oldest != e.self && e.older == none {
		return
	}
	if e.older == none {
		l.oldest = e.newer
	} else {
		l.entries.at(e.older).newer = e.newer
	}
	if e.newer == none {
		l.newest = e.older
	} else {
		l.entries.at(e.newer).older = e.older
	}
	e.older, e.newer = none, none
}

func (l *waitLog) advance(next int64) { l.next = max(l.next, next) }

// committable is the offset from which a successor has to read.
func (l *waitLog) committable() int64 {
	if l.oldest == none {
		return l.next
	}
	return l.entries.at(l.oldest).retryAt
}

// span is how many records a successor has to read to know what waits.
func (l *waitLog) span() int64 { return l.next - l.committable() }

const (
	// spanPerWait bounds what a successor has to read by what waits. When the span
	// is three times that, two of three records in it are of no use: then each wait
	// that is written anew at the head takes three off the tail, so that the log
	// grows by at most half (the usual reckoning for the cleaning of logs; Rosenblum
	// and Ousterhout: The Design and Implementation of a Log-Structured File System,
	// 1992).
	spanPerWait = 3
	// leastSpan is not worth writing for, unless the policy says otherwise: it is read
	// within milliseconds.
	leastSpan = 1000
	// maxRewriting is how many waits are being written anew at a time.
	maxRewriting = 256
)

// rewriteOld writes the oldest waits anew at the head of the retry log, so that
// what a takeover has to read stays within a small multiple of what waits.
func (m *Machine) rewriteOld() {
	l := &m.waitLog
	least := cmp.Or(m.policy.LeastSpan, leastSpan)
	if !m.restored || l.span() <= least {
		return
	}
	limit := max(spanPerWait*int64(m.waits.n), least)
	e := m.entry(l.oldest)
	for looked := 0; e != nil && l.next-e.retryAt > limit && l.rewriting < maxRewriting && looked < 2*maxRewriting; looked++ {
		if e.state == waiting && !e.unmovable && !e.isMisnamed() {
			m.rewrite(e)
		}
		e = m.entry(e.newer)
	}
}

// rewrite writes a wait once more. Its old record counts until the new one is
// durable, and nothing from then on: see RestoreWait.
func (m *Machine) rewrite(e *entry) {
	m.timers.remove(e)
	if e.ready {
		e.wanted = true
	}
	m.enter(e, rewritePending)
	m.waitLog.rewriting++
	m.act(e, Action{Kind: MakeWait, Reason: e.reason, Due: time.UnixMilli(e.due)})
}

// rewritten: the wait stands at the head.
func (m *Machine) rewritten(e *entry, at int64) {
	m.waitLog.rewriting--
	m.waitLog.remove(e)
	m.waitLog.add(e, at)
	m.waitsOn(e)
}

// notRewritten: the broker does not take it. It is safe where it is.
func (m *Machine) notRewritten(e *entry) {
	m.waitLog.rewriting--
	e.unmovable = true
	m.waitsOn(e)
}

// waitWritten: the message is safe in the retry log, its offering settles.
func (m *Machine) waitWritten(e *entry, at int64) {
	m.waitLog.add(e, at)
	m.flights.remove(e.origin)
	m.waits.put(e.self)
	m.settle(e.origin)
	e.busy().claims = nil
	m.waitsOn(e)
}

// waitsOn goes on with a wait that was written.
func (m *Machine) waitsOn(e *entry) {
	var w work
	if e.work != nil {
		w = *e.work
		e.work.late = push.ReasonNone
	}
	switch {
	case w.ended:
		m.endWait(e)
	case w.over:
		m.conclude(e, push.Delivered, push.ReasonNone, w.overBy)
	case w.discard != "" && m.restored:
		m.die(e, push.Discarded, w.discard)
	case e.foreign && m.restored:
		m.moveHome(e, w.home)
	case e.wanted && m.restored:
		m.offerInTurn(e)
	default:
		m.enter(e, waiting)
		if m.restored {
			m.timers.add(e)
		}
		m.failedLate(nil, e, w.late) // its receipt is held already
		e.rest()
	}
}
