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

// shard is locked for the time of a map access. The lists in it are never
// changed, only replaced, so that one that was read can be used without the lock.
type shard struct {
	mu    sync.RWMutex
	users map[string][]*session.Session
}

// Params are what New needs.
type Params struct {
	// MaxPerUser closes the oldest session of a user who opens one more; 0 means
	// no limit.
	MaxPerUser int
	// OnBind is told of each session that was added. It is called when Deliver
	// already sees the session and before Add returns: what it sets in motion can
	// count on both. It must not block. Nil is allowed.
	OnBind func(*session.Session)
	// OnUnbind is told of each session that OnBind was told of, when Deliver does not
	// see it any more. It must not block. Nil is allowed.
	OnUnbind func(*session.Session)
	// Registerer may be nil.
	Registerer prometheus.Registerer
}

// New returns an empty hub and registers its metrics.
func New(p Params) (*Hub, error) {
	h := &Hub{params: p, seed: maphash.MakeSeed(), left: make(chan struct{}, 1)}
	for i := range h.shards {
		h.shards[i].users = make(map[string][]*session.Session)
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

func (h *Hub) insert(s *session.Session) ([]*session.Session, error) {
	sh := h.shard(s.User())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	// Drain sets the flag and then looks into every shard: either it finds the
	// session or the session finds the flag.
	if h.draining.Load() {
		return nil, ErrDraining
	}
	old := sh.users[s.User()]
	list := make([]*session.Session, len(old)+1)
	copy(list, old)
	list[len(old)] = s
	sh.users[s.User()] = list
	h.sessions.Add(1)
	if len(old) == 0 {
		h.users.Add(1)
	}
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
	for i, e := range old {
		if e != s {
			continue
		}
		if len(old) == 1 {
			delete(sh.users, s.User())
			h.users.Add(-1)
			return true
		}
		list := make([]*session.Session, 0, len(old)-1)
		sh.users[s.User()] = append(append(list, old[:i]...), old[i+1:]...)
		return true
	}
	return false
}

func (h *Hub) shard(user string) *shard {
	return &h.shards[maphash.String(h.seed, user)&(shardCount-1)]
}

func (h *Hub) list(user string) []*session.Session {
	sh := h.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.users[user]
}

// Owns says whether the user has a session here. It is asked for every request
// of the cluster, nearly always in vain: it allocates nothing.
func (h *Hub) Owns(user []byte) bool {
	sh := &h.shards[maphash.Bytes(h.seed, user)&(shardCount-1)]
	sh.mu.RLock()
	_, ok := sh.users[string(user)]
	sh.mu.RUnlock()
	return ok
}

// Deliver hands m to every session of its user that takes its type, and reports
// to r by the contract of push.Reporter: Done as soon as one session is done,
// Failed when all have failed. It is false when there is no such session; r is
// then not called. It never blocks; calls for one user reach each session in
// order. m is kept until its end, m.Data is not looked at after Deliver returns.
func (h *Hub) Deliver(m *push.Message, r push.Reporter) bool {
	list := h.list(m.User)
	var only *session.Session
	takers := 0
	for _, s := range list {
		if push.Takes(s.Type(), m.Type) {
			only = s
			takers++
		}
	}
	frames := session.NewFrames(m)
	switch takers {
	case 0:
		return false
	case 1:
		only.Deliver(m, &frames, r)
		return true
	}
	all := newChorus(m, r, takers)
	for _, s := range list {
		if push.Takes(s.Type(), m.Type) {
			s.Deliver(m, &frames, all)
		}
	}
	return true
}

// CloseUser closes every session of a user and says how many there were.
func (h *Hub) CloseUser(user string, code ws.Code) int {
	list := h.list(user)
	for _, s := range list {
		s.Close(code)
	}
	return len(list)
}

// Sessions returns the sessions of a user. The slice must not be changed.
func (h *Hub) Sessions(user string) []*session.Session { return h.list(user) }

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
	for _, list := range sh.users {
		all = append(all, list...)
	}
	return all
}
