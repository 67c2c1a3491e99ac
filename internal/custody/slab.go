package custody

// ref names a slot of a slab. Half the size of a pointer, and nothing the garbage
// collector looks at: a partition may have a million waiting messages.
type ref uint32

const none ref = 0

const slabChunk = 1024

// slab holds slots of one type in chunks that never move, so that a pointer to a
// slot stays good until the slot is given back. Slots are used again; with the last
// one all chunks but one are let go of.
type slab[T any] struct {
	chunks []*[slabChunk]T
	free   []ref
	used   int
}

// take returns a slot that holds the zero value.
func (s *slab[T]) take() (ref, *T) {
	s.used++
	if n := len(s.free); n > 0 {
		r := s.free[n-1]
		s.free = s.free[:n-1]
		return r, s.at(r)
	}
	if s.used > len(s.chunks)*slabChunk {
		s.chunks = append(s.chunks, new([slabChunk]T))
	}
	r := ref(s.used) //nolint:gosec // 2³² slots would be more than any memory holds
	return r, s.at(r)
}

// at returns the slot; r must have been taken.
func (s *slab[T]) at(r ref) *T { return &s.chunks[(r-1)/slabChunk][(r-1)%slabChunk] }

// give gives a slot back.
func (s *slab[T]) give(r ref) {
	var zero T
	*s.at(r) = zero
	if s.used--; s.used == 0 {
		s.free = nil
		if len(s.chunks) > 1 {
			s.chunks = s.chunks[:1:1]
		}
		return
	}
	s.free = append(s.free, r)
}

// index finds slots by a key that stands in the slot: a hash table with linear
// probing that keeps four bytes for a place, where a map would keep the key too.
type index[K comparable] struct {
	key    func(ref) K
	hash   func(K) uint64
	places []ref // a power of two of them, or none
	n      int
}

// find returns the slot with the key, none if there is none.
func (x *index[K]) find(k K) ref {
	if x.n == 0 {
		return none
	}
	return x.places[x.place(k)]
}

// all returns every slot, in no order.
func (x *index[K]) all() []ref {
	list := make([]ref, 0, x.n)
	for _, r := range x.places {
		if r != none {
			list = append(list, r)
		}
	}
	return list
}

// put adds a slot, or puts it in the place of the one with the same key.
func (x *index[K]) put(r ref) {
	const (
		least        = 16
		full, ofFull = 3, 4 // three quarters
	)
	if (x.n+1)*ofFull > len(x.places)*full {
		x.resize(max(least, 2*len(x.places)))
	}
	i := x.place(x.key(r))
	if x.places[i] == none {
		x.n++
	}
	x.places[i] = r
}

// remove forgets the slot with the key. Its key must still be there to be read.
func (x *index[K]) remove(k K) {
	if x.n == 0 {
		return
	}
	i := x.place(k)
	if x.places[i] == none {
		return
	}
	x.n--
	// Those that follow move up as long as they are not at home, so that no probe
	// ends at the hole.
	mask := len(x.places) - 1
	for j := (i + 1) & mask; x.places[j] != none; j = (j + 1) & mask {
		if home := x.home(x.key(x.places[j])); (j-home)&mask >= (j-i)&mask {
			x.places[i] = x.places[j]
			i = j
		}
	}
	x.places[i] = none
	const sparse, least = 16, 1024
	if len(x.places) > least && x.n*sparse < len(x.places) {
		x.resize(len(x.places) / 2)
	}
}

func (x *index[K]) home(k K) int { return int(x.hash(k) & uint64(len(x.places)-1)) } //nolint:gosec // masked

// place is where the key is, or would be put.
func (x *index[K]) place(k K) int {
	i := x.home(k)
	for x.places[i] != none && x.key(x.places[i]) != k {
		i = (i + 1) & (len(x.places) - 1)
	}
	return i
}

func (x *index[K]) resize(n int) {
	old := x.places
	x.places = make([]ref, n)
	for _, r := range old {
		if r != none {
			x.places[x.place(x.key(r))] = r
		}
	}
}
