package demo

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// parcel is one message: who it is for, when it was sent, when it came.
type parcel struct {
	id, user      string
	sent, arrived time.Time
}

func (p parcel) took() time.Duration { return p.arrived.Sub(p.sent) }

// book is the demonstration's own account of its messages: what was sent, and
// what came to its clients. Safe for concurrent use.
type book struct {
	mu       sync.Mutex
	parcels  []*parcel // in the order they were sent
	arrivals []*parcel // in the order they came
	byID     map[string]*parcel
}

func newBook() *book { return &book{byID: make(map[string]*parcel)} }

func (b *book) sent(id, user string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &parcel{id: id, user: user, sent: time.Now()}
	b.parcels = append(b.parcels, p)
	b.byID[id] = p
}

// came notes the first arrival of a message; others are none of its business.
func (b *book) came(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.byID[id]; p != nil && p.arrived.IsZero() {
		p.arrived = time.Now()
		b.arrivals = append(b.arrivals, p)
	}
}

// all returns copies of all parcels in the order they were sent.
func (b *book) all() []parcel {
	b.mu.Lock()
	defer b.mu.Unlock()
	return copies(b.parcels, func(*parcel) bool { return true })
}

// arrivedFor returns copies of what has come for a user, in the order it came.
func (b *book) arrivedFor(user string) []parcel {
	b.mu.Lock()
	defer b.mu.Unlock()
	return copies(b.arrivals, func(p *parcel) bool { return p.user == user })
}

// find returns a copy of one parcel.
func (b *book) find(id string) parcel {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.byID[id]; p != nil {
		return *p
	}
	return parcel{id: id}
}

func copies(list []*parcel, wanted func(*parcel) bool) []parcel {
	var out []parcel
	for _, p := range list {
		if wanted(p) {
			out = append(out, *p)
		}
	}
	return out
}

// inOrder says whether messages of one user came in the order they were sent.
func inOrder(arrived []parcel) bool {
	return slices.IsSortedFunc(arrived, func(a, b parcel) int { return a.sent.Compare(b.sent) })
}

func durations(arrived []parcel) []time.Duration {
	took := make([]time.Duration, len(arrived))
	for i := range arrived {
		took[i] = arrived[i].took()
	}
	return took
}

// count says how far a number has come.
func count(n, of int, what string) string { return fmt.Sprintf("%d of %d %s", n, of, what) }
