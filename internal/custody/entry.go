package custody

import (
	"cmp"
	"container/heap"
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
	inFlight state = iota
	waitPending
	waiting
	offerPending
	deathPending
	movePending
	endPending
	outcomePending
	gone
)

// countsAsWaiting is 1 for what counts against its user's limit, else 0. What is
// on its way out does not count: its next offering would count twice.
func (s state) countsAsWaiting() int {
	if s == waitPending || s == waiting {
		return 1
	}
	return 0
}

// entry is one offering that is not settled: in flight, or waiting.
type entry struct {
	origin  int64
	retryAt int64 // offset of its wait record
	typ     string
	owner   *userEntries
	// siblings: the other entries of the user, oldest first.
	prev, next *entry

	expires, due      int64         // Unix milliseconds
	readAt            time.Duration // in observed time
	attempt, failures int
	reason            push.Reason
	state             state

	// returned: it is among those that gateways gave up.
	returned bool
	// failed: an attempt of this offering failed, for reason.
	failed bool
	// wanted: a session for it was opened that has not seen it.
	wanted bool
	// ready: it waits for nothing but its turn in its user's window.
	ready bool
	// token: it has a place in its user's window.
	token bool
	size  int32
	// restored: it is a wait of a predecessor's, who may have concluded it.
	restored bool
	// repeat: the message may go on as another offering, too.
	repeat bool
	// detail is what an outcome says beyond this; nil where outcomes are not
	// written, and once the message waits: then its record has it.
	detail *detail
	// over: it was delivered while its wait was being written.
	over bool
	// late: it failed at a gateway while its wait was being written.
	late push.Reason
	// foreign: the user's home is the partition home, since partitions were added.
	foreign bool
	home    int32
	// misnamed: another request stands at its origin now.
	misnamed bool

	claims []*gateway
	blocks []int64 // offerings that settle when this wait has ended
	mark   *receiptMark
	timer  int // index in the timers heap, -1 when not in it
}

// detail of an offering in flight.
type detail struct {
	id, user string
	accepted time.Time
	written  time.Time // when a gateway's word of it was first heard
}

// userEntries are the entries of one user.
type userEntries struct {
	name        string
	first, last *entry
	waiting     int // waits, and waits being written
	window      window
}

// link adds an entry to its user's list.
func (m *Machine) link(e *entry, user string) {
	u := m.users[user]
	if u == nil {
		u = &userEntries{name: user}
		m.users[user] = u
	}
	e.owner, e.prev = u, u.last
	if u.last == nil {
		u.first = e
	} else {
		u.last.next = e
	}
	u.last = e
}

// isOf says whether a wait is that of an offering (later 0), or of the offering
// before it (later 1). Offsets alone do not say so: a header may name any, and a
// log that lost its end, or was made anew, gives them out again.
func (e *entry) isOf(r *Request, later int) bool {
	return e.owner.name == r.User && e.attempt+later == r.Attempt && e.expires == r.Expires.UnixMilli()
}

// unlink takes an entry off its user's list, and the user off the index with
// the last one.
func (m *Machine) unlink(e *entry) {
	u := e.owner
	if u == nil {
		return
	}
	if e.prev == nil {
		u.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		u.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.owner, e.prev, e.next = nil, nil, nil
	if u.first == nil {
		delete(m.users, u.name)
	}
}

func sortedByOrigin(entries map[int64]*entry) []*entry {
	list := make([]*entry, 0, len(entries))
	for _, e := range entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.origin, b.origin) })
	return list
}

// timers holds waits by when something is to be done about them: offered again,
// or expired.
type timers struct{ heap timerHeap }

func (t *timers) add(e *entry) { heap.Push(&t.heap, e) }

func (t *timers) remove(e *entry) {
	if e.timer >= 0 && e.timer < len(t.heap) && t.heap[e.timer] == e {
		heap.Remove(&t.heap, e.timer)
	}
}

// due removes and returns a wait whose time has come, nil if there is none.
func (t *timers) due(now int64) *entry {
	if len(t.heap) == 0 || t.heap[0].wakeAt() > now {
		return nil
	}
	e, _ := heap.Pop(&t.heap).(*entry)
	return e
}

// wakeAt is when something is to be done about a wait, in Unix milliseconds.
func (e *entry) wakeAt() int64 {
	if e.ready {
		return e.expires
	}
	return min(e.expires, e.due)
}

// timerHeap implements heap.Interface.
type timerHeap []*entry

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	a, b := h[i].wakeAt(), h[j].wakeAt()
	if a == b {
		return h[i].origin < h[j].origin
	}
	return a < b
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timer, h[j].timer = i, j
}

// Push is called by package heap only.
func (h *timerHeap) Push(x any) {
	e, _ := x.(*entry)
	e.timer = len(*h)
	*h = append(*h, e)
}

// Pop is called by package heap only.
func (h *timerHeap) Pop() any {
	old := *h
	last := len(old) - 1
	e := old[last]
	old[last] = nil
	*h = old[:last]
	e.timer = -1
	return e
}
