package targeted

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"pushgate/internal/directory"
	"pushgate/internal/push"
)

// Lookup finds users; the answer has one element for each. It blocks for a few round
// trips at most.
type Lookup interface {
	Lookup(ctx context.Context, users []string) []directory.Found
}

// Calls makes one call and returns its answer. It blocks for a bounded time, and is
// safe for concurrent use. directory.ErrOtherLife: the node has not that life.
type Calls interface {
	Call(ctx context.Context, node string, life uint64, c *push.Carriage) (*push.Receipt, error)
}

// CourierParams of NewCourier.
type CourierParams struct {
	Policy    Policy
	Partition int32
	Directory Lookup
	Calls     Calls
	Logger    *zap.Logger
	Metrics   *Metrics
}

// Courier carries the requests of one partition. It is the shell of a Router:
// whatever happens, the goroutine that learns of it tells the router, and has begun
// whatever follows from that. All methods but Run return at once, and all are safe
// for concurrent use.
type Courier struct {
	p   CourierParams
	log *zap.Logger

	mu     sync.Mutex
	router *Router
	// failing: since when look-ups fail; zero while they do not.
	failing time.Time
	err     error

	work chan struct{} // there may be something to be begun
	news chan struct{}
}

// NewCourier returns a courier; Run starts it.
func NewCourier(p CourierParams) *Courier {
	return &Courier{
		p: p, log: p.Logger, router: NewRouter(p.Policy),
		work: make(chan struct{}, 1), news: make(chan struct{}, 1),
	}
}

// Records returns requests by their offsets, less those that the log does not hold
// any more. It blocks.
type Records = func(ctx context.Context, offsets []int64) ([]push.Record, error)

// Run carries until ctx ends, and returns nil.
func (c *Courier) Run(ctx context.Context, records Records) error {
	var group errgroup.Group
	defer func() { _ = group.Wait() }()
	for {
		c.begin(ctx, &group, records)
		select {
		case <-ctx.Done():
			return nil
		case <-c.work:
		}
	}
}

// begin starts the look-up and the calls that are to be made.
func (c *Courier) begin(ctx context.Context, group *errgroup.Group, records Records) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if users := c.router.Lookup(); users != nil {
		group.Go(func() error {
			c.lookUp(ctx, users)
			return nil
		})
	}
	for call := c.router.Call(); call != nil; call = c.router.Call() {
		group.Go(func() error {
			c.call(ctx, call, records)
			return nil
		})
	}
}

// lookUp looks users up. When that fails for some, it waits before they are looked up
// again; what was found of the others is handed on at once.
func (c *Courier) lookUp(ctx context.Context, users []string) {
	const pause = 250 * time.Millisecond
	began := time.Now()
	found := c.p.Directory.Lookup(ctx, users)
	if ctx.Err() != nil {
		return
	}
	c.p.Metrics.lookedUp(len(users), time.Since(began))
	var err error
	c.change(func(r *Router) {
		err = r.Found(time.Now(), found)
		c.note(err)
	})
	if err == nil {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		c.change(func(r *Router) { r.Retry() })
	}
}

// note keeps for how long look-ups have been failing. The lock is held.
func (c *Courier) note(err error) {
	switch {
	case err == nil && !c.failing.IsZero():
		c.log.Info("users can be looked up again", zap.Duration("after", time.Since(c.failing)))
		c.failing, c.err = time.Time{}, nil
	case err != nil && c.failing.IsZero():
		c.failing = time.Now()
		c.log.Warn("users cannot be looked up: their messages stay in the request log until they can", zap.Error(err))
		fallthrough
	case err != nil:
		c.err = err
		c.p.Metrics.lookupErrors.Inc()
	}
}

// Stalled says why users could not be looked up for a while, nil if they can.
func (c *Courier) Stalled() error {
	const patience = 2 * time.Second
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing.IsZero() || time.Since(c.failing) < patience {
		return nil
	}
	return fmt.Errorf("partition %d has been unable to look users up for %s: %w", c.p.Partition, time.Since(c.failing).Round(time.Second), c.err)
}

// call makes one call.
func (c *Courier) call(ctx context.Context, call *Call, records Records) {
	answer, err := c.answerTo(ctx, call, records)
	switch {
	case err == nil:
		c.change(func(r *Router) { r.Answered(call, answer) })
	case ctx.Err() != nil: // a successor carries it
	case errors.Is(err, directory.ErrOtherLife):
		c.log.Debug("a node that the directory named has another life by now", zap.String("node", call.Node), zap.Uint64("life", call.Life))
		c.change(func(r *Router) { r.NoSuchLife(call) })
	default:
		c.log.Debug("call failed", zap.String("node", call.Node), zap.Int("messages", len(call.Offsets)), zap.Error(err))
		c.change(func(r *Router) { r.Failed(call) })
	}
}

func (c *Courier) answerTo(ctx context.Context, call *Call, records Records) (*push.Receipt, error) {
	list, err := records(ctx, call.Offsets)
	if err != nil {
		return nil, err
	}
	if len(list) < len(call.Offsets) {
		c.change(func(r *Router) { r.Missing(call, list) })
	}
	if len(list) == 0 {
		return &push.Receipt{}, nil
	}
	answer, err := c.p.Calls.Call(ctx, call.Node, call.Life, &push.Carriage{Partition: c.p.Partition, Records: list})
	if err != nil {
		return nil, fmt.Errorf("calling node %s: %w", call.Node, err)
	}
	return answer, nil
}

// change changes the router, and signals what that brings.
func (c *Courier) change(f func(*Router)) {
	c.mu.Lock()
	f(c.router)
	learnt := len(c.router.news) > 0
	c.mu.Unlock()
	signal(c.work)
	if learnt {
		signal(c.news)
	}
}

// Carry takes messages to be carried, in order.
func (c *Courier) Carry(parcels []push.Parcel) {
	c.change(func(r *Router) {
		now := time.Now()
		for _, p := range parcels {
			r.Add(now, p)
		}
	})
}

// Readers names the nodes to which nothing has to be carried.
func (c *Courier) Readers(nodes []string) { c.change(func(r *Router) { r.Readers(nodes) }) }

// Connected says that a session of the user was opened somewhere.
func (c *Courier) Connected(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.router.Connected(user)
}

// LookAgain asks where a user is of whom a message waits now; false: too many are to
// be asked about already.
func (c *Courier) LookAgain(user string) (ok bool) {
	c.change(func(r *Router) { ok = r.LookAgain(user) })
	return ok
}

// News gets a value when there is something to take.
func (c *Courier) News() <-chan struct{} { return c.news }

// Take returns what has been learnt, in order.
func (c *Courier) Take() []push.Carried {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.router.News()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
