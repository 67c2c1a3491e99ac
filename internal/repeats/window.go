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
// A message takes 16 bytes, and a user some 100 beside them: 1.1 KiB with 64 messages.
// Room for them is made as they come. A user who is known, and whose room is full, costs
// no allocation.
type Window struct {
	seed   maphash.Seed
	place  maphash.Seed // of where a user is kept
	shards []shard      // as many as a power of two
}

// New returns a window of the latest ids messages of each of the latest users. Of
// users it keeps no more than that, and forgets nobody before about half as many
// others were served. Both are at least 1 (with 1 user, the latest 2 are kept).
func New(ids, users int) *Window {
	n := 1
	for n < maxShards && users/(2*2*n) >= minGeneration {
		n *= 2
	}
	w := &Window{seed: maphash.MakeSeed(), place: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range w.shards {
		w.shards[i] = newShard(max(ids, 1), max(users/(2*n), 1))
	}
	return w
}

// Add remembers that a message was delivered. One that is known is not made younger by
// it.
func (w *Window) Add(k Key) { w.shard(k).add(k) }

// Has says whether a message is remembered as delivered.
func (w *Window) Has(k Key) bool { return w.shard(k).has(k) }

func (w *Window) shard(k Key) *shard {
	return &w.shards[k.user&uint64(len(w.shards)-1)] //nolint:gosec // G115: there is at least one
}

// shard is the window of some of the users. Those served last are young; when
// there are too many, the young become the old, and the old are forgotten.
//
// Users are told apart by a hash. Should two have the same, their messages, whose keys
// are of their users, stand in one ring, which is then too short for both.
type shard struct {
	ids, generation int

	mu         sync.Mutex
	young, old map[uint64]*latest
}

func newShard(ids, generation int) shard {
	return shard{ids: ids, generation: generation, young: make(map[uint64]*latest), old: make(map[uint64]*latest)}
}

func (s *shard) add(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.young[k.user]
	if l == nil {
		l = s.rejuvenate(k.user)
	}
	l.add(k.message, s.ids)
}

// rejuvenate makes a user one of the young.
func (s *shard) rejuvenate(user uint64) *latest {
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

func (s *shard) has(k Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.young[k.user]
	if l == nil {
		l = s.old[k.user]
	}
	return l != nil && l.has(k.message)
}

// latest are the messages of one user: a ring once there are as many as are kept.
type latest struct {
	messages []message
	oldest   int
	newest   int64 // the latest time of a message that there was
}

// has looks through the messages only where there is something to find: nearly every
// message is younger than all that its user had before.
func (l *latest) has(m message) bool { return m.seen <= l.newest && slices.Contains(l.messages, m) }

func (l *latest) add(m message, limit int) {
	known := l.has(m)
	l.newest = max(l.newest, m.seen)
	switch {
	case known:
	case len(l.messages) == limit:
		l.messages[l.oldest] = m
		l.oldest = (l.oldest + 1) % limit
	default:
		l.grow(limit)
		l.messages = append(l.messages, m)
	}
}

// grow doubles the room when it is full, and never makes more than is needed.
func (l *latest) grow(limit int) {
	const few = 4
	if n := len(l.messages); n == cap(l.messages) {
		room := make([]message, n, min(max(2*n, few), limit))
		copy(room, l.messages)
		l.messages = room
	}
}
