// Package ledger keeps the books of one partition at a gateway: which owned
// offsets are not settled, and what is to be said in the next receipt. It is
// pure. Reading, delivering, writing receipts and committing are left to package
// delivery, which calls it in the order that the methods name.
package ledger

import (
	"sync"

	"pushgate/internal/offsets"
	"pushgate/internal/push"
)

// Ledger is what a partition knows of its deliveries. It implements
// push.Reporter. Safe for concurrent use; its lock is the last to be taken, and
// only the Observer is called under it.
//
// Two orders make receipts evidence. The reader moves readThrough only after
// every owned offset below it has been entered: a receipt cut at any moment
// lists, together with those before it, every owned offset below its
// read-through. And a session that is opened while the reader is in the middle of
// a batch is named only when the batch is done: the reader may already have
// looked for its user in vain at an offset the read-through does not cover yet,
// and the custodian would think that the session had seen it.
//
// A partition may change between being read and being called: see Call and Restart.
type Ledger struct {
	observe Observer

	mu          sync.Mutex
	tracker     *offsets.Tracker
	readThrough int64
	// underWay are owned offsets whose receipt is not written yet: false until a
	// receipt has listed them as queued.
	underWay map[int64]bool
	next     push.Receipt // being gathered, Connected left out
	bound    []bound      // sessions to be named in it
	items    int
	// called: nothing is read; what is for this gateway is brought here.
	called bool
	// carried are offsets that were brought here and have not come to an end.
	carried map[int64]carriage
	// stint counts the changes between reading and being called; cut is that of the
	// last receipt.
	stint, cut int
	// saidCalled: so did the last receipt that is durable, and no part of a later one said
	// otherwise.
	saidCalled bool

	reading bool           // the reader is in the middle of a batch
	late    []push.Binding // sessions opened meanwhile
	moved   chan struct{}  // the read-through has moved
	wake    chan struct{}  // there is something else to say
	full    chan struct{}  // there is a lot to say
}

// manyItems is when a receipt is written without waiting for more.
const manyItems = 1000

// Observer is told of each report; first says that it is the first of its
// message. It is called under the ledger's lock: it must not block, nor call the
// ledger.
type Observer func(m *push.Message, s push.Status, reason push.Reason, first bool)

// New returns the ledger of a partition that is read from start on. The observer
// may be nil.
func New(start int64, o Observer) *Ledger {
	if o == nil {
		o = func(*push.Message, push.Status, push.Reason, bool) {}
	}
	return &Ledger{
		observe: o, tracker: offsets.New(start), readThrough: start,
		underWay: make(map[int64]bool), carried: make(map[int64]carriage),
		moved: make(chan struct{}, 1), wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
	}
}

// Enter notes an owned offset before it is handed to a session.
func (l *Ledger) Enter(offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tracker.Track(offset)
	l.underWay[offset] = false
}

// Leave takes back an offset that turned out not to be owned.
func (l *Ledger) Leave(offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.underWay, offset)
	l.tracker.Settle(offset)
}

// Begin says that the reader starts to look at a batch; read follows.
func (l *Ledger) Begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = true
}

// Read moves on: every offset below next was looked at.
func (l *Ledger) Read(next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = false
	if next > l.readThrough {
		l.readThrough = next
		l.tracker.Advance(next)
		signal(l.moved) // evidence that custodians wait for
	}
	for _, b := range l.late {
		l.bind(b)
	}
	l.late = nil
}

// Report implements push.Reporter.
func (l *Ledger) Report(m *push.Message, s push.Status, reason push.Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.underWay)
	delete(l.underWay, m.Offset)
	first := len(l.underWay) < before
	l.say(m.Offset, s, reason)
	l.observe(m, s, reason, first)
}

// say has the next receipt tell it.
func (l *Ledger) say(offset int64, s push.Status, reason push.Reason) {
	switch s {
	case push.Held:
		l.next.Held = append(l.next.Held, offset)
	case push.Done:
		l.next.Delivered = append(l.next.Delivered, offset)
	case push.Failed:
		l.next.Failed = append(l.next.Failed, push.Failure{Offset: offset, Reason: reason})
	}
	l.item()
}

// Connected notes a session. It must already be visible to deliveries. While the
// partition is called it says nothing: whoever is to call must find it first (Found).
func (l *Ledger) Connected(b push.Binding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.called {
		return
	}
	if l.reading {
		l.late = append(l.late, b)
		return
	}
	l.bind(b)
}

func (l *Ledger) bind(b push.Binding) {
	l.bound = append(l.bound, bound{b, l.readThrough})
	l.item()
}

// bound is a session that sees every request from an offset on.
type bound struct {
	push.Binding
	from int64
}

// Presence makes the next receipt an announcement or a goodbye.
func (l *Ledger) Presence(p push.Presence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.Presence = p
	l.item()
}

func (l *Ledger) item() {
	l.items++
	signal(l.wake)
	if l.items >= manyItems {
		signal(l.full)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// drop takes back a signal whose cause is dealt with.
func drop(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// Cut takes over what there is to say. All signals are answered by it: one that
// was left would have a receipt written that says nothing.
func (l *Ledger) Cut() push.Receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range []chan struct{}{l.moved, l.wake, l.full} {
		drop(c)
	}
	r := l.next
	l.next, l.items, l.cut = push.Receipt{}, 0, l.stint
	if r.Called = l.called; !l.called {
		r.ReadThrough = l.readThrough
	}
	for _, b := range l.bound {
		if !l.called {
			b.Saw = r.ReadThrough - b.from
		}
		r.Connected = append(r.Connected, b.Binding)
	}
	l.bound = nil
	for offset, listed := range l.underWay {
		if !listed && (l.called || offset < r.ReadThrough) {
			r.Queued = append(r.Queued, offset)
			l.underWay[offset] = true
		}
	}
	return r
}

// Uncut takes back a receipt that could not be written: the next one says it. Parts of it
// may be durable all the same.
func (l *Ledger) Uncut(r push.Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saidCalled = l.saidCalled && r.Called
	n := &l.next
	n.Presence = max(n.Presence, r.Presence)
	n.Delivered = append(r.Delivered, n.Delivered...)
	n.Held = append(r.Held, n.Held...)
	n.Failed = append(r.Failed, n.Failed...)
	again := make([]bound, 0, len(r.Connected)+len(l.bound))
	for _, b := range r.Connected {
		from := r.ReadThrough - b.Saw
		if l.cut != l.stint {
			from = l.readThrough // the other counted from elsewhere
		}
		b.Saw = 0
		again = append(again, bound{b, from})
	}
	l.bound = append(again, l.bound...)
	for _, offset := range r.Queued {
		if _, ok := l.underWay[offset]; ok {
			l.underWay[offset] = false
		}
	}
	l.item()
}

// Durable settles what a written receipt, or part of one, says. Queued offsets are not
// settled by it: nothing has been done about them yet.
func (l *Ledger) Durable(r *push.Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saidCalled = r.Called
	for _, list := range [][]int64{r.Delivered, r.Held} {
		for _, o := range list {
			l.tracker.Settle(o)
		}
	}
	for _, f := range r.Failed {
		l.tracker.Settle(f.Offset)
	}
}

// Committable is the offset up to which everything is settled. It goes back only
// where reading begins anew (Restart).
func (l *Ledger) Committable() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tracker.Committable()
}

// Unsettled counts the owned offsets that are not settled.
func (l *Ledger) Unsettled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tracker.Unsettled()
}

// Moved gets a value when the read-through has moved since the last cut.
func (l *Ledger) Moved() <-chan struct{} { return l.moved }

// Wake gets a value when there is something else to say.
func (l *Ledger) Wake() <-chan struct{} { return l.wake }

// Full gets a value when there is so much to say that it should not wait.
func (l *Ledger) Full() <-chan struct{} { return l.full }
