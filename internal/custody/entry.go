package custody

import (
	"cmp"
	"slices"
	"time"

	"pushgate/internal/push"
)

// notInRetry is the retry offset of an entry that has no wait record.
const notInRetry int64 = -1

// state is where an entry stands. Every state named "…Pending" waits for an
// action to become durable.
type state uint8

const (
	gone state = iota
	inFlight
	waitPending
	waiting
	rewritePending // its wait is written anew at the head of the retry log
	offerPending
	deathPending
	movePending
	endPending
	outcomePending
)

// countsAsWaiting is 1 for what counts against its user's limit, else 0. What is
// on its way out does not count: its next offering would count twice.
func (s state) countsAsWaiting() int32 {
	switch s {
	case waitPending, waiting, rewritePending:
		return 1
	case gone, inFlight, offerPending, deathPending, movePending, endPending, outcomePending:
	}
	return 0
}

// entry is one offering that is not settled: in flight, or waiting. What merely
// waits is this and nothing more: a partition may have a million of it.
type entry struct {
	origin  int64
	retryAt int64 // offset of its wait record
	// order of the message among those of its user and type, where that is kept.
	order        int64
	expires, due int64 // Unix milliseconds
	work         *work // nil while it merely waits

	self, owner  ref
	prev, next   ref // the other entries of the user
	older, newer ref // the other waits, by retryAt
	timer        int32
	typ          ref
	size         int32

	attempt, failures uint16
	reason            push.Reason
	state             state

	// wanted: a session for it was opened that has not seen it.
	wanted bool
	// ready: it waits for nothing but its turn in its user's window.
	ready bool
	// restored: it is a wait of a predecessor's, who may have concluded it.
	restored bool
	// repeat: the message may go on as another offering, too.
	repeat bool
	// unmovable: the broker did not take its wait a second time.
	unmovable bool
	// foreign: the user's home is another partition, since partitions were added.
	foreign bool
}

// work is what has to be known of an entry while something is going on about it.
type work struct {
	readAt time.Duration // in observed time
	claims []*gateway
	// gaveUp are gateways that have failed it: what they say of it after that, a
	// receipt that comes a second time says.
	gaveUp []life
	blocks []int64 // offerings that settle when this wait has ended
	mark   *receiptMark
	// detail is what an outcome says beyond the entry; nil where outcomes are not
	// written, and once the message waits: then its record has it.
	detail *detail
	home   int32 // where a foreign user lives

	// token: it has a place in its user's window.
	token bool
	// returned: it is among those that gateways gave up.
	returned bool
	// failed: an attempt of this offering failed, for entry.reason.
	failed bool
	// over: it was delivered while its wait was being written.
	over   bool
	overBy string // by which node
	// ended: its wait has to end as soon as it is written.
	ended bool
	// late: it failed at a gateway while its wait was being written.
	late push.Reason
	// misnamed: another request stands at its origin now.
	misnamed bool
	// discard is why an operator wants it dead, empty unless one does.
	discard string
}

// detail of an offering in flight.
type detail struct {
	id, user string
	accepted time.Time
	written  time.Time // when a gateway's word of it was first heard
}

// newEntry returns an entry that is in no index yet.
func (m *Machine) newEntry(typ string) *entry {
	r, e := m.entries.take()
	e.self, e.retryAt, e.timer, e.typ = r, notInRetry, noTimer, m.types.intern(typ)
	return e
}

func (m *Machine) flight(origin int64) *entry { return m.entry(m.flights.find(origin)) }

func (m *Machine) waitOf(origin int64) *entry { return m.entry(m.waits.find(origin)) }

// entry returns the entry in a slot, nil for none.
func (m *Machine) entry(r ref) *entry {
	if r == none {
		return nil
	}
	return m.entries.at(r)
}

// busy returns the work of an entry, of one that merely waits a new one.
func (e *entry) busy() *work {
	if e.work == nil {
		e.work = &work{}
	}
	return e.work
}

// rest forgets the work of an entry that begins to wait, unless there is still
// something to be known.
func (e *entry) rest() {
	if w := e.work; w != nil && !w.token && !w.misnamed && w.discard == "" && w.mark == nil && len(w.blocks) == 0 && !e.foreign {
		e.work = nil
	}
}

func (e *entry) hasToken() bool { return e.work != nil && e.work.token }

func (e *entry) isMisnamed() bool { return e.work != nil && e.work.misnamed }

// isOf says whether a wait is that of an offering (later 0), or of the offering
// before it (later 1). Offsets alone do not say so: a header may name any, and a
// log that lost its end, or was made anew, gives them out again.
func (m *Machine) isOf(e *entry, r *Request, later int) bool {
	return e.owner != none && m.userOf(e).name == r.User && m.types.name(e.typ) == r.Type &&
		int(e.attempt)+later == r.Attempt && e.expires == r.Expires.UnixMilli()
}

// allBy returns what one of the two indexes holds, by origin; where order is kept,
// in that order.
func (m *Machine) allBy(x *index[int64]) []*entry {
	list := make([]*entry, 0, x.n)
	for _, r := range x.all() {
		list = append(list, m.entries.at(r))
	}
	slices.SortFunc(list, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.origin, b.origin))
	})
	return list
}

// enter moves an entry to another state and keeps count of its user's waits.
func (m *Machine) enter(e *entry, s state) {
	if e.owner != none {
		m.userOf(e).waiting += s.countsAsWaiting() - e.state.countsAsWaiting()
		if s != waiting {
			m.setReady(e, false)
		}
	}
	e.state = s
}

// drop forgets an entry.
func (m *Machine) drop(e *entry) {
	m.timers.remove(e)
	m.enter(e, gone)
	m.giveToken(e)
	for _, x := range []*index[int64]{&m.flights, &m.waits} {
		if x.find(e.origin) == e.self { // it may be misnamed
			x.remove(e.origin)
		}
	}
	m.waitLog.remove(e)
	m.unlink(e)
	m.types.release(e.typ)
	m.works.give(e.work)
	m.entries.give(e.self)
}
