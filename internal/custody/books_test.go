package custody

import (
	"fmt"
	"slices"
)

// books are what a machine has written down. Most of it stands there twice, as
// it is and as it is looked up or counted, and has to agree between two events.
type books struct {
	*Machine
	live   []*entry // by ref, nil where a slot is free
	people []*user  // likewise

	inWaitLog, inTimers []bool // by ref of the entry
	pendingOf           map[*entry]int
}

// Books returns what does not add up, nil if everything does.
func (m *Machine) Books() error {
	b := &books{Machine: m, pendingOf: make(map[*entry]int)}
	for _, check := range []func() error{
		b.checkEntries, b.checkIndexes, b.checkPending,
		b.checkWaitLog, b.checkTimers, b.checkStates,
		b.checkUsers, b.checkWindows, b.checkTypes,
		b.checkReceipts, b.checkBlocked, b.checkStrictOrder,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// taken returns the slots that are in use by ref, nil where one is free: a free
// slot is zero, also one that was in use before the slab was empty.
func taken[T comparable](s *slab[T]) ([]*T, error) {
	const beyond = 64 // the others are looked at when a history ends
	slots, n := make([]*T, s.used+len(s.free)+1), 0
	for i := range min(len(slots)+beyond, len(s.chunks)*slabChunk) {
		r := ref(i + 1)
		slot := s.at(r)
		if isZero(slot) {
			continue
		}
		if int(r) >= len(slots) || slices.Contains(s.free, r) {
			return nil, fmt.Errorf("slot %d is free and not zero: %+v", r, *slot)
		}
		slots[r] = slot
		n++
	}
	if n != s.used {
		return nil, fmt.Errorf("%d slots are in use, %d are counted", n, s.used)
	}
	return slots, nil
}

func isZero[T comparable](slot *T) bool {
	var zero T
	return *slot == zero
}

// left counts the slots that are not zero.
func left[T comparable](s *slab[T]) int {
	n := 0
	for _, chunk := range s.chunks {
		for i := range chunk {
			if !isZero(&chunk[i]) {
				n++
			}
		}
	}
	return n
}

// at returns a live entry, nil if the slot is free.
func (b *books) at(r ref) *entry {
	if int(r) >= len(b.live) {
		return nil
	}
	return b.live[r]
}

// each calls f with every live entry until it returns an error.
func (b *books) each(f func(e *entry) error) error {
	for _, e := range b.live {
		if e == nil {
			continue
		}
		if err := f(e); err != nil {
			return fmt.Errorf("entry %d in state %d: %w", e.origin, e.state, err)
		}
	}
	return nil
}

func (b *books) checkEntries() error {
	var err error
	if b.live, err = taken(&b.entries); err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	b.inWaitLog, b.inTimers = make([]bool, len(b.live)), make([]bool, len(b.live))
	for r, e := range b.live {
		if e != nil && (e.state == gone || int(e.self) != r) {
			return fmt.Errorf("slot %d has entry %d, which is in state %d", r, e.self, e.state)
		}
	}
	return nil
}

func (b *books) checkIndexes() error {
	for name, x := range map[string]*index[int64]{"flights": &b.flights, "waits": &b.waits} {
		all := x.all()
		for _, r := range all {
			e := b.at(r)
			if e == nil {
				return fmt.Errorf("%s has slot %d, which is free", name, r)
			}
			if x.find(e.origin) != r {
				return fmt.Errorf("%s does not find %d", name, e.origin)
			}
		}
		if len(all) != x.n {
			return fmt.Errorf("%s has %d places, and says %d", name, len(all), x.n)
		}
	}
	return nil
}

func (b *books) checkPending() error {
	for id, p := range b.pending {
		if b.at(p.entry.self) != p.entry {
			return fmt.Errorf("write %d (%s) is about an entry that is gone", id, p.kind)
		}
		b.pendingOf[p.entry]++
	}
	return nil
}
