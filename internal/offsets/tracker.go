// Package offsets knows how far a partition may be committed. It is pure: reading
// and committing are left to others.
package offsets

// Tracker is an ordered record of the unsettled offsets of one partition.
// Offsets that were never tracked (not owned, transaction markers, gaps) are
// settled by nature, so that gaps stall nothing. It is not safe for concurrent
// use.
//
// Tracking, settling and asking take constant time, amortised; in steady state
// nothing is allocated.
type Tracker struct {
	next int64
	// ring holds the unsettled offsets and the settled ones behind an unsettled
	// one, in order, from head on. Its length is a power of two.
	ring      []slot
	head, len int
	unsettled int
}

type slot struct {
	offset  int64
	settled bool
}

// New returns a tracker of a partition that is read from next on.
func New(next int64) *Tracker { return &Tracker{next: next} }

// Advance says that every offset below next was read. It never goes back.
func (t *Tracker) Advance(next int64) { t.next = max(t.next, next) }

// Track adds an unsettled offset. Offsets must grow; one that was read before, by
// Track or by Advance, is ignored.
func (t *Tracker) Track(offset int64) {
	if offset < t.next {
		return
	}
	if t.len == len(t.ring) {
		t.grow()
	}
	*t.at(t.len) = slot{offset: offset}
	t.len++
	t.unsettled++
	t.Advance(offset + 1)
}

// Settle marks an offset as settled. It may be called in any order and more than
// once; an offset that is not tracked is ignored.
func (t *Tracker) Settle(offset int64) {
	i := t.search(offset)
	if i == t.len || t.at(i).offset != offset || t.at(i).settled {
		return
	}
	t.at(i).settled = true
	t.unsettled--
	for t.len > 0 && t.at(0).settled {
		t.head = (t.head + 1) & (len(t.ring) - 1)
		t.len--
	}
}

// Committable is the offset up to which everything is settled: the lowest
// unsettled offset, or the next one to read. It never goes back.
func (t *Tracker) Committable() int64 {
	if t.len == 0 {
		return t.next
	}
	return t.at(0).offset
}

// Unsettled counts the unsettled offsets.
func (t *Tracker) Unsettled() int { return t.unsettled }

// search returns the index of the first kept offset that is not below offset. None can
// be further back than its distance from the first: and there it is where all of them
// are kept.
func (t *Tracker) search(offset int64) int {
	low, high := 0, t.len
	if t.len > 0 {
		switch d := offset - t.at(0).offset; {
		case d <= 0:
			return 0
		case d < int64(t.len):
			if high = int(d); t.at(high).offset == offset {
				return high
			}
		}
	}
	for low < high {
		middle := int(uint(low+high) >> 1)
		if t.at(middle).offset < offset {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

func (t *Tracker) at(i int) *slot { return &t.ring[(t.head+i)&(len(t.ring)-1)] }

func (t *Tracker) grow() {
	const least = 16
	ring := make([]slot, max(least, 2*len(t.ring)))
	for i := range t.len {
		ring[i] = *t.at(i)
	}
	t.ring, t.head = ring, 0
}
