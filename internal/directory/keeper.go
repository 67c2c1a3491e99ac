package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// KeeperParams of NewKeeper.
type KeeperParams struct {
	Config    Config
	Directory Directory
	Lives     Lives
	Census    Census
	Registry  Registry
	// Node is who is kept: ID, Addr and Capabilities.
	Node Node
	// Bound is told of sessions that can be found from now on: after Connect, and
	// again after they could not be found for a while, because Redis was away or
	// emptied. Messages may have been taken for offline meanwhile: offer again what
	// waits. It must not block; it may be nil.
	Bound  func([]Session)
	Logger *zap.Logger
}

// Keeper keeps a node and its sessions in the directory: it holds the lease,
// enters and removes sessions as they come and go, enters all of them again at a
// bounded rate when Redis has lost them, and takes part in sweeping what dead nodes
// have left. Nothing waits for Redis but Run.
type Keeper struct {
	p   KeeperParams
	log *zap.Logger

	mu sync.Mutex
	// life is the one under which entries are made; zero before the first.
	life Life
	// beginning: Redis said that it knows life no longer, and has not answered yet
	// with a new one. It may have begun one all the same.
	beginning bool
	sessions  map[uint64]*kept
	epoch     uint64
	// joined are epochs of sessions that were opened and not tried yet.
	joined []uint64
	// left are sessions that may have an entry and are closed.
	left []Session
	// round are epochs of sessions to be entered again, first come, first served,
	// in steps of roundStep, the next one not before roundDue.
	round     []uint64
	roundStep time.Duration
	roundDue  time.Time
	// urgent: the round under way is because entries are missing.
	urgent   bool
	routine  time.Time // when the next round that has no reason begins
	leftDue  time.Time
	failures int
	state    State

	wake chan struct{}
}

// kept is a session, and how it stands.
type kept struct {
	Session
	life    uint64 // the life under which it is known to be entered
	tried   uint64 // the life under which it was last tried to be
	inRound bool
}

// State is how a keeper stands.
type State struct {
	// Life under which sessions are entered; zero before the first.
	Life Life
	// Sessions are open; Bound of them are entered, to this node's knowledge.
	Sessions, Bound int
	// Err is why the lease was not renewed the last time, nil if it was.
	Err error
}

// errNoLease is how a keeper stands before it has tried to take one.
var errNoLease = errors.New("the lease was not taken yet")

// NewKeeper makes a keeper; Run starts it.
func NewKeeper(p KeeperParams) (*Keeper, error) {
	p.Node.Since = time.Now()
	if err := p.Node.Validate(); err != nil {
		return nil, err
	}
	if p.Logger == nil {
		p.Logger = zap.NewNop()
	}
	if p.Bound == nil {
		p.Bound = func([]Session) {}
	}
	return &Keeper{
		p: p, log: p.Logger, sessions: make(map[uint64]*kept), wake: make(chan struct{}, 1),
		state: State{Err: errNoLease},
	}, nil
}

// Connect says that a session is open; its Epoch is chosen here, and returned for
// Disconnect. The session must be able to take messages by then: who finds it in
// the directory sends them. It does not block.
func (k *Keeper) Connect(s Session) (epoch uint64, err error) {
	if err := s.Validate(); err != nil {
		return 0, fmt.Errorf("entering a session in the directory: %w", err)
	}
	k.mu.Lock()
	k.epoch++
	s.Epoch = k.epoch
	k.sessions[s.Epoch] = &kept{Session: s}
	k.joined = append(k.joined, s.Epoch)
	k.mu.Unlock()
	k.signal()
	return s.Epoch, nil
}

// Disconnect says that a session is closed. It may be repeated, and does not block.
func (k *Keeper) Disconnect(epoch uint64) {
	k.mu.Lock()
	s := k.sessions[epoch]
	delete(k.sessions, epoch)
	if s != nil && s.tried != 0 && s.tried == k.life.Number {
		k.leave(s.Session)
	}
	k.mu.Unlock()
	k.signal()
}

// maxLeft bounds what is remembered of closed sessions while Redis is away.
// Entries that it forgets are found by the census.
const maxLeft = 100_000

func (k *Keeper) leave(s Session) {
	if len(k.left) < maxLeft {
		k.left = append(k.left, s)
	}
}

// Ready says why the node is not in the directory, nil if it is. It does not block.
func (k *Keeper) Ready() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Err
}

// State tells how things stand.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	state := k.state
	state.Life, state.Sessions = k.life, len(k.sessions)
	for _, s := range k.sessions {
		if s.life != 0 && s.life == k.life.Number {
			state.Bound++
		}
	}
	return state
}

// Run keeps the node in the directory until the context ends; then it ends the
// node's life there, so that no entry counts any more. It returns an error only
// when another process has taken the node's name (ErrSuperseded).
func (k *Keeper) Run(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return k.keepLease(inner) })
	group.Go(func() error { return k.write(inner) })
	group.Go(func() error { return k.sweep(inner) })
	group.Go(func() error { return k.count(inner) })
	err := group.Wait()
	k.release(context.WithoutCancel(ctx))
	if ctx.Err() != nil && !errors.Is(err, ErrSuperseded) {
		return nil
	}
	return err
}

// release ends the life, if Redis is there.
func (k *Keeper) release(ctx context.Context) {
	life := k.current()
	if life.Number == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, k.p.Config.Lease/renewals)
	defer cancel()
	if err := errors.Join(k.p.Lives.Release(ctx, life), k.p.Registry.Deregister(ctx, k.node(life))); err != nil {
		k.log.Warn("the node could not leave the directory; its lease ends by itself", zap.Error(err))
	}
}

func (k *Keeper) current() Life {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.life
}

func (k *Keeper) node(life Life) Node {
	n := k.p.Node
	n.Life = life.Number
	return n
}

func (k *Keeper) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// wait waits for d, and returns the context's error if that ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
