package custody

import (
	"errors"
	"fmt"
	"slices"
)

// checkUsers: each is found, knows their entries, and is forgotten with the last.
func (b *books) checkUsers() error {
	var err error
	if b.people, err = taken(&b.users); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	owned, waits := map[ref]int{}, map[ref]int32{}
	for _, e := range b.live {
		if e != nil && e.owner != none {
			owned[e.owner]++
			waits[e.owner] += e.state.countsAsWaiting()
		}
	}
	for i, u := range b.people {
		if u == nil {
			continue
		}
		r := ref(i)
		listed, err := b.checkList(r, u)
		switch {
		case err != nil:
		case b.byName.find(u.name) != r:
			err = errors.New("not found by name")
		case u.waiting != waits[r]:
			err = fmt.Errorf("%d wait, %d are counted", waits[r], u.waiting)
		case listed != owned[r]:
			err = fmt.Errorf("%d of %d entries are listed", listed, owned[r])
		case u.first == none && u.windows == nil && !b.isTouched(r):
			err = errors.New("nothing is left, and is not forgotten")
		}
		if err != nil {
			return fmt.Errorf("user %q: %w", u.name, err)
		}
	}
	return nil
}

// isTouched says whether a user is looked at when the event is over.
func (b *books) isTouched(owner ref) bool {
	return slices.ContainsFunc(b.touched, func(t turnOf) bool { return t.owner == owner })
}

// checkList counts the entries of a user: from the first to the last and back, and
// where order is strict, in order.
func (b *books) checkList(owner ref, u *user) (n int, err error) {
	before, order := none, int64(-1)
	for r := u.first; r != none; n++ {
		e := b.at(r)
		switch {
		case e == nil || e.owner != owner || e.prev != before:
			return n, errors.New("the list is broken")
		case b.policy.Strict && e.order < order:
			return n, errors.New("the list is out of order")
		}
		before, order, r = r, e.order, e.next
	}
	if u.last != before {
		return n, errors.New("the last is not the last of the list")
	}
	return n, nil
}
