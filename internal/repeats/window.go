package repeats

import (
	"hash/maphash"
	"slices"
	"sync"
)

const (
	// maxShards have a lock each, so that workers seldom wait for one another.
	maxShards = 64
	// minGeneration is how many users a generation of a shard holds at least,
	// where there is more than one shard.
	minGeneration = 16
)

// Window remembers the keys of the messages that were delivered last, for the
// users that were served last. Safe for concurrent use; no call blocks for more
// than another one's time.
//
// A key takes 16 bytes, and a user some 100 beside them, with a user id of 12
// bytes: 1.1 KiB with 64 keys. Room for keys is made as they come. A user who is
// known, and whose room is full, costs no allocation.
type Window struct {
	seed   maphash.Seed
	shards []shard
}

// New returns a window of the latest ids messages of each of the latest users. Of
// users it keeps no more than that, and forgets nobody before about half as many
// others were served. Both are at least 1 (with 1 user, the latest 2 are kept).
func New(ids, users int) *Window {
	n := 1
	for n < maxShards && users/(2*2*n) >= minGeneration {
		n *= 2
	}
	w := &Window{seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range w.shards {
		w.shards[i] = newShard(max(ids, 1), max(users/(2*n), 1))
	}
	return w
}

// Add remembers that a message of the user was delivered. One that is known is
// not made younger by it.
func (w *Window) Add(user string, k Key) { w.shard(user).add(user, k) }

// Has says whether a message of the user is remembered as delivered.
func (w *Window) Has(user string, k Key) bool { return w.shard(user).has(user, k) }

func (w *Window) shard(user string) *shard {
	return &w.shards[maphash.String(w.seed, user)%uint64(len(w.shards))]
}

// shard is the window of some of the users. Those served last are young; when
// there are too many, the young become the old, and the old are forgotten.
type shard struct {
	ids, generation int

	mu         sync.Mutex
	young, old map[string]*latest
}

func newShard(ids, generation int) shard {
	return shard{ids: ids, generation: generation, young: make(map[string]*latest), old: make(map[string]*latest)}
}

func (s *shard) add(user string, k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.young[user]
	if l == nil {
		l = s.rejuvenate(user)
	}
	l.add(k, s.ids)
}

// rejuvenate makes a user one of the young.
func (s *shard) rejuvenate(user string) *latest {
	l := s.old[user]
	if l == nil {
		l = &latest{}
	} else {
		delete(s.old, user)
	}
	if len(s.young) >= s.generation {
		clear(s.old) // keeps its room
		s.young, s.old = s.old, s.young
	}
	s.young[user] = l
	return l
}

func (s *shard) has(user string, k Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.young[user]
	if l == nil {
		l = s.old[user]
	}
	return l != nil && l.has(k)
}

// latest are the keys of one user: a ring once there are as many as are kept.
type latest struct {
	keys   []Key
	oldest int
	newest int64 // the latest time of a key that there was
}

// has looks through the keys only where there is something to find: nearly every
// message is younger than all that its user had before.
func (l *latest) has(k Key) bool { return k.seen <= l.newest && slices.Contains(l.keys, k) }

func (l *latest) add(k Key, limit int) {
	known := l.has(k)
	l.newest = max(l.newest, k.seen)
	switch {
	case known:
	case len(l.keys) == limit:
		l.keys[l.oldest] = k
		l.oldest = (l.oldest + 1) % limit
	default:
		l.grow(limit)
		l.keys = append(l.keys, k)
	}
}

// grow doubles the room when it is full, and never makes more than is needed.
func (l *latest) grow(limit int) {
	const few = 4
	if n := len(l.keys); n == cap(l.keys) {
		room := make([]Key, n, min(max(2*n, few), limit))
		copy(room, l.keys)
		l.keys = room
	}
}
