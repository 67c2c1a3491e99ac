package hub

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// ErrDraining refuses a session: the node is about to leave.
var ErrDraining = errors.New("the node is draining")

// shardCount bounds contention; a power of two.
const shardCount = 256

// Hub holds the sessions of a node by user. Safe for concurrent use.
type Hub struct {
	params Params
	seed   maphash.Seed
	shards [shardCount]shard

	sessions, users atomic.Int64
	draining        atomic.Bool
	// left gets a word, if there is room for it, whenever the last session goes
	// while draining.
	left chan struct{}
}

// shard is locked for the time of a map access.
type shard struct {
	mu    sync.RWMutex
	users map[string]devices
}

// devices are the sessions of one user, who nearly always has one: it takes no list then.
// A list is never changed, only replaced, so that one that was read can be used without
// the lock.
type devices struct {
	first *session.Session
	more  *[]*session.Session // nil: first is all there is; else all of them
}

func (e devices) list() []*session.Session {
	switch {
	case e.more != nil:
		return *e.more
	case e.first != nil:
		return []*session.Session{e.first}
	default:
		return nil
	}
}

func holding(list []*session.Session) devices {
	if len(list) == 1 {
		return devices{first: list[0]}
	}
	return devices{first: list[0], more: &list}
}

// Params are what New needs.
type Params struct {
	// MaxPerUser closes the oldest session of a user who opens one more; 0 means
	// no limit.
	MaxPerUser int
	// OnBind is told of each session that was added. It is called when Of
	// already finds the session and before Add returns: what it sets in motion can
	// count on both. It must not block. Nil is allowed.
	OnBind func(*session.Session)
	// OnUnbind is told of each session that OnBind was told of, when Of does not
	// find it any more; what was looked up before may still hand it a message, which then
	// fails. It must not block. Nil is allowed.
	OnUnbind func(*session.Session)
	// Registerer may be nil.
	Registerer prometheus.Registerer
}

// New returns an empty hub and registers its metrics.
func New(p Params) (*Hub, error) {
	h := &Hub{params: p, seed: maphash.MakeSeed(), left: make(chan struct{}, 1)}
	for i := range h.shards {
		h.shards[i].users = make(map[string]devices)
	}
	if p.Registerer == nil {
		return h, nil
	}
	users := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pushgate_users",
		Help: "Users with at least one session on this node.",
	}, func() float64 { return float64(h.users.Load()) })
	if err := p.Registerer.Register(users); err != nil {
		return nil, fmt.Errorf("registering hub metrics: %w", err)
	}
	return h, nil
}

// Add makes a session reachable. The caller must see to it that Remove follows
// when the session has ended, and not before Add returned; session.Params.OnEnd is
// the place, for a transport that is started after Add. On ErrDraining
// the session was not added and is the caller's to close.
func (h *Hub) Add(s *session.Session) error {
	list, err := h.insert(s)
	if err != nil {
		return err
	}
	h.evict(list)
	if h.params.OnBind != nil {
		h.params.OnBind(s)
	}
	return nil
}

// insert returns all sessions of the user, nil where this is the only one.
func (h *Hub) insert(s *session.Session) ([]*session.Session, error) {
	sh := h.shard(s.User())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	// Drain sets the flag and then looks into every shard: either it finds the
	// session or the session finds the flag.
	if h.draining.Load() {
		return nil, ErrDraining
	}
	old, there := sh.users[s.User()]
	h.sessions.Add(1)
	if !there {
		sh.users[s.User()] = devices{first: s}
		h.users.Add(1)
		return nil, nil
	}
	list := append(slices.Clone(old.list()), s)
	sh.users[s.User()] = holding(list)
	return list, nil
}

// evict closes the oldest sessions beyond the limit. Those already closing stay
// in the list until they have ended and do not count.
func (h *Hub) evict(list []*session.Session) {
	if h.params.MaxPerUser <= 0 {
		return
	}
	open := 0
	for _, s := range slices.Backward(list) {
		if s.Closing() {
			continue
		}
		if open++; open > h.params.MaxPerUser {
			s.Close(session.CloseReplaced)
		}
	}
}

// Remove forgets a session that has ended; one that is not there is ignored.
func (h *Hub) Remove(s *session.Session) {
	if !h.delete(s) {
		return
	}
	if h.params.OnUnbind != nil {
		h.params.OnUnbind(s)
	}
	if h.sessions.Add(-1) == 0 && h.draining.Load() {
		h.wakeDrain()
	}
}

func (h *Hub) wakeDrain() {
	select {
	case h.left <- struct{}{}:
	default:
	}
}

func (h *Hub) delete(s *session.Session) bool {
	sh := h.shard(s.User())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	old := sh.users[s.User()]
	if old.more == nil {
		if old.first != s {
			return false
		}
		delete(sh.users, s.User())
		h.users.Add(-1)
		return true
	}
	i := slices.Index(*old.more, s)
	if i < 0 {
		return false
	}
	sh.users[s.User()] = holding(slices.Delete(slices.Clone(*old.more), i, i+1))
	return true
}

func (h *Hub) shard(user string) *shard {
	return &h.shards[maphash.String(h.seed, user)&(shardCount-1)]
}

func (h *Hub) of(user string) devices {
	sh := h.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.users[user]
}

// Of returns the sessions of a user, nil where there are none. It is asked for every
// request of the cluster, nearly always in vain: it allocates nothing.
func (h *Hub) Of(user []byte) push.Recipient {
	sh := &h.shards[maphash.Bytes(h.seed, user)&(shardCount-1)]
	sh.mu.RLock()
	e := sh.users[string(user)]
	sh.mu.RUnlock()
	switch {
	case e.more != nil:
		return several{e.more}
	case e.first != nil:
		return single{e.first}
	default:
		return nil
	}
}

// CloseUser closes every session of a user and says how many there were.
func (h *Hub) CloseUser(user string, code ws.Code) int {
	list := h.of(user).list()
	for _, s := range list {
		s.Close(code)
	}
	return len(list)
}

// Sessions returns the sessions of a user. The slice must not be changed.
func (h *Hub) Sessions(user string) []*session.Session { return h.of(user).list() }

// Counts says how many sessions of how many users there are.
func (h *Hub) Counts() (sessions, users int) {
	return int(h.sessions.Load()), int(h.users.Load())
}

// All returns a snapshot of all sessions, in no order.
func (h *Hub) All() []*session.Session {
	all := make([]*session.Session, 0, h.sessions.Load())
	for i := range h.shards {
		all = h.shards[i].appendTo(all)
	}
	return all
}

func (sh *shard) appendTo(all []*session.Session) []*session.Session {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for _, e := range sh.users {
		if e.more == nil {
			all = append(all, e.first)
		} else {
			all = append(all, *e.more...)
		}
	}
	return all
}
