package custody

import "fmt"

// share is what of one user, and where order is strict of one type, has to do with
// a window.
type share struct{ offered, bytes, ready int }

func (s share) withPlace(size int32) share {
	s.offered++
	s.bytes += int(size)
	return s
}

// shares adds up what the windows should say: of entries, and of offerings that
// are in the log and were not read yet.
func (b *books) shares() map[turnOf]share {
	sums := map[turnOf]share{}
	for _, e := range b.live {
		if e == nil || e.owner == none {
			continue
		}
		name := turnOf{e.owner, b.windowType(e.typ)}
		if e.hasToken() {
			sums[name] = sums[name].withPlace(e.size)
		}
		if e.ready {
			s := sums[name]
			s.ready++
			sums[name] = s
		}
	}
	for _, p := range b.inLog {
		name := turnOf{p.owner, b.windowType(p.typ)}
		sums[name] = sums[name].withPlace(p.size)
	}
	return sums
}

// checkWindows: each says what it should, and is closed when it is not in use.
func (b *books) checkWindows() error {
	sums := b.shares()
	for i, u := range b.people {
		if u == nil {
			continue
		}
		for w := u.windows; w != nil; w = w.next {
			name := turnOf{ref(i), w.typ}
			says := share{w.offered, w.bytes, w.ready}
			if says != sums[name] {
				return fmt.Errorf("a window of user %q says %+v, and has %+v", u.name, says, sums[name])
			}
			if w.offered == 0 && w.ready == 0 && !b.isTouched(name.owner) {
				return fmt.Errorf("a window of user %q is not in use, and not closed", u.name)
			}
			delete(sums, name)
		}
	}
	for name, s := range sums {
		return fmt.Errorf("user %d has no window for %+v", name.owner, s)
	}
	return nil
}

// checkTypes: each is held as often as it is used.
func (b *books) checkTypes() error {
	types, err := taken(&b.types.slots)
	if err != nil {
		return fmt.Errorf("types: %w", err)
	}
	holds := map[ref]int32{}
	for _, e := range b.live {
		if e != nil {
			holds[e.typ]++
		}
	}
	for _, p := range b.inLog {
		holds[p.typ]++
	}
	for _, u := range b.people {
		if u == nil {
			continue
		}
		for w := u.windows; w != nil; w = w.next {
			holds[w.typ]++
		}
	}
	delete(holds, none) // of windows for all types
	named := 0
	for r, typ := range types {
		switch {
		case typ == nil:
			continue
		case typ.users != holds[ref(r)]:
			return fmt.Errorf("type %q is used %d times, %d are counted", typ.name, holds[ref(r)], typ.users)
		case b.types.byName[typ.name] != ref(r):
			return fmt.Errorf("type %q is not found by name", typ.name)
		}
		named++
		delete(holds, ref(r))
	}
	for r, n := range holds {
		return fmt.Errorf("type %d is used %d times, and forgotten", r, n)
	}
	if named != len(b.types.byName) {
		return fmt.Errorf("%d types are in use, %d have a name", named, len(b.types.byName))
	}
	return nil
}

// checkStrictOrder: where order is strict, the first of a user and type does not
// stand still when it could be offered.
func (b *books) checkStrictOrder() error {
	if !b.restored || !b.policy.Strict || len(b.touched) > 0 {
		return nil
	}
	return b.each(func(e *entry) error {
		if e.owner == none || b.before(e) != nil {
			return nil
		}
		if b.window(e.owner, e.typ).roomFor(&b.policy, e.size) && (e.ready || b.queued(e)) {
			return fmt.Errorf("the first of user %q stands still", b.userOf(e).name)
		}
		return nil
	})
}
