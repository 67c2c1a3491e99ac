package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"pushgate/internal/push"
	"pushgate/internal/repeats"
)

// Reader reads one partition in order. Read blocks for a short while when there
// is nothing to read and then returns an empty batch; it retries passing errors
// by itself, and returns only the context's error or a *push.OffsetLostError.
// The batch is valid until the next Read.
type Reader interface {
	Read(ctx context.Context) (push.Batch, error)
	SeekTo(offset int64)
	Close()
}

// Log reads requests and writes receipts. Safe for concurrent use.
type Log interface {
	NewReader(topic string, partition int32, offset int64) Reader
	// Produce returns when the records are durable; it retries passing errors
	// until ctx ends.
	Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error)
}

// Position is a committed offset with a note; Offset is negative if there is
// none.
type Position struct {
	Offset int64
	Note   string
}

// Positions knows the request topic and what this gateway has committed. All
// methods block until done or ctx ends.
type Positions interface {
	Bounds(ctx context.Context, partition int32) (start, end int64, err error)
	Committed(ctx context.Context, partitions []int32) (map[int32]Position, error)
	Commit(ctx context.Context, positions map[int32]Position) error
	// Custodians returns up to where the custodians have settled all requests of
	// each partition, as they have committed it; -1, or no entry, where they have not.
	Custodians(ctx context.Context, partitions []int32) (map[int32]int64, error)
}

// Hub holds the sessions of this node.
type Hub interface {
	// Of returns the sessions of a user, nil where there are none. It is asked for every
	// request of the cluster, nearly always in vain: it does not block and allocates
	// nothing.
	Of(user []byte) push.Recipient
}

// Params of a Gateway.
type Params struct {
	Config Config
	Limits push.Limits
	Node   string
	// Requests and Receipts are topic names.
	Requests, Receipts string
	// Partitions returns how many partitions the request topic has; more may be
	// added while running.
	Partitions func() int32
	Log        Log
	Positions  Positions
	Hub        Hub
	// Users returns how many users have a session here. It does not block.
	Users func() int
	// Sessions returns all open sessions: those that Deliver sees. It does not block;
	// nil where the mode is never changed (SetCalled).
	Sessions func() []push.Binding
	// Tracer follows deliveries; nil: none is followed.
	Tracer  Tracer
	Logger  *zap.Logger
	Metrics *Metrics
}

// Gateway is the delivery of one node: a worker a partition.
type Gateway struct {
	p      Params
	log    *zap.Logger
	window *repeats.Window // nil: turned off
	mode   *mode
	naming sync.Mutex // of sessions, after a change of mode

	mu      sync.RWMutex
	epoch   int64
	workers []*worker // by partition number
	err     error     // why it is not prepared
}

// New returns a gateway that reads nothing yet.
func New(p Params) *Gateway {
	if p.Tracer != nil {
		p.Metrics.traceOf = p.Tracer.TraceOf
	}
	return &Gateway{p: p, log: p.Logger.Named("delivery"), window: newWindow(p.Config), mode: newMode(), err: errors.New("waiting for kafka")}
}

// Ready returns nil once the reading position of every partition is fixed and
// committed and the announcement is durable: a client that connected earlier
// could miss a message.
func (g *Gateway) Ready() error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.err
}

// Stalled says which partitions cannot write their receipts at the moment, nil if
// all can. Sessions may be taken all the same: what is for them comes later.
func (g *Gateway) Stalled() error {
	var errs []error
	for _, w := range g.all() {
		if err := w.stalled(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Connected tells the custodian of a user that a session was opened, while requests
// are read. Deliver must already see it. It does not block. While the gateway is
// called it says nothing: see Found.
func (g *Gateway) Connected(b push.Binding) {
	if w := g.homeOf(b.User); w != nil {
		w.ledger.Connected(b)
	}
}

// Found tells the custodian of a user that a session can be found from now on, by
// those who call this gateway. Deliver must already see it. It does not block. While
// requests are read it says nothing: Connected has.
func (g *Gateway) Found(b push.Binding) {
	if w := g.homeOf(b.User); w != nil {
		w.ledger.Found(b)
	}
}

// homeOf returns the worker of a user's home partition, nil while there are none.
func (g *Gateway) homeOf(user string) *worker {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if n := len(g.workers); n > 0 {
		return g.workers[push.Home(user, int32(n))] //nolint:gosec // a number of partitions
	}
	return nil
}

// Run prepares every partition and delivers until ctx ends. Then it says what is
// still to be said, and goodbye, commits, and returns. What sessions report after
// that is lost to the custodian, which will offer it again.
func (g *Gateway) Run(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	if err := g.prepare(groupCtx, group, g.p.Partitions()); err != nil {
		return unlessEnded(ctx, err)
	}
	group.Go(func() error { return g.watch(groupCtx, group) })
	err := group.Wait()
	g.setErr(errors.New("stopped"))
	_, superseded := errors.AsType[*SupersededError](err)
	g.finish(ctx, superseded)
	return unlessEnded(ctx, err)
}

// unlessEnded returns err, or nil when ctx has ended: then it is what came of
// that.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// watch commits what has moved, and takes up partitions that were added.
func (g *Gateway) watch(ctx context.Context, group *errgroup.Group) error {
	tick := time.NewTicker(g.p.Config.CommitInterval)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		all := time.Since(last) > g.recommit()
		again, err := g.lookForNamesake(ctx)
		if err != nil {
			return err
		}
		all = all || again
		if all {
			last = time.Now()
		}
		if err := g.commit(ctx, all); err != nil && ctx.Err() == nil {
			g.log.Warn("position not committed; a restart would begin further back", zap.Error(err))
		}
		if n := g.p.Partitions(); int(n) > len(g.all()) {
			g.log.Info("partitions were added", zap.Int32("partitions", n))
			if err := g.prepare(ctx, group, n); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// recommit is how often the position is committed though it has not moved. Committed
// offsets expire seven days after the last commit. That of a gateway which is called
// follows the log, for those who watch how far its group lags.
func (g *Gateway) recommit() time.Duration {
	if called, _ := g.mode.get(); called {
		return time.Minute
	}
	return time.Hour
}

// prepare fixes, commits and announces where each new partition is read from, and
// starts its worker.
func (g *Gateway) prepare(ctx context.Context, group *errgroup.Group, count int32) error {
	known := int32(len(g.all())) //nolint:gosec // a number of partitions
	if count <= known {
		return nil // none at all while the topic is not known: then it is not ready
	}
	var added []int32
	for number := known; number < count; number++ {
		added = append(added, number)
	}
	committed, err := g.p.Positions.Committed(ctx, added)
	if err != nil {
		return fmt.Errorf("reading the committed position: %w", err)
	}
	if known == 0 {
		g.epoch = nextEpoch(committed)
	}
	called, _ := g.mode.get()
	starts := make(map[int32]Position, len(added))
	workers := g.all()
	for _, number := range added {
		start, err := g.startOf(ctx, number, committed[number])
		if err != nil {
			return err
		}
		if known > 0 {
			start = 0 // nobody has read any of a partition that was added
		}
		starts[number] = Position{Offset: start, Note: noteOf(g.epoch, called)}
		workers = append(workers, newWorker(g, number, start, called))
	}
	if err := g.p.Positions.Commit(ctx, starts); err != nil {
		return fmt.Errorf("committing the start position: %w", err)
	}
	announced, announcing := errgroup.WithContext(ctx)
	for _, number := range added {
		announced.Go(func() error { return workers[number].announce(announcing) })
	}
	if err := announced.Wait(); err != nil {
		return fmt.Errorf("announcing this gateway: %w", err)
	}
	// Before the first request of a new partition is looked at: a session opened
	// after that must be named there.
	g.mu.Lock()
	g.workers, g.err = workers, nil
	g.mu.Unlock()
	for _, number := range added {
		if called && known > 0 {
			// Custodians may have known of it earlier. Who connected in between was named
			// where they were at home before; one that reads begins at its start instead.
			workers[number].nameSessions()
		}
		group.Go(func() error { return workers[number].run(ctx) })
	}
	g.observeMode()
	g.log.Info("taking requests", zap.Bool("called", called), zap.Int32("partitions", count), zap.Int64("epoch", g.epoch))
	return nil
}

// nextEpoch is greater than that of any earlier life of this node, also when
// the clock was set back.
func nextEpoch(committed map[int32]Position) int64 {
	epoch := time.Now().UnixMilli()
	for _, c := range committed {
		if last, _, ok := parseNote(c.Note); ok {
			epoch = max(epoch, last+1)
		}
	}
	return epoch
}

// startOf decides where a partition is read from.
func (g *Gateway) startOf(ctx context.Context, number int32, committed Position) (int64, error) {
	first, end, err := g.p.Positions.Bounds(ctx, number)
	if err != nil {
		return 0, fmt.Errorf("finding the bounds of partition %d: %w", number, err)
	}
	at, log := committed.Offset, g.log.With(zap.Int32("partition", number))
	_, called, _ := parseNote(committed.Note)
	switch {
	case at < 0:
		return end, nil // a node that is new owned nobody so far
	case called:
		return end, nil // nor has one that read nothing anything to go on with
	case at < first, at > end:
		g.p.Metrics.offsetsLost.Inc()
		log.Error("the committed position is not in the log any more; starting at its end: what was not delivered waits",
			zap.Int64("offset", at), zap.Int64("log_start", first), zap.Int64("high_watermark", end))
		return end, nil
	case end-at > g.p.Config.MaxCatchUp:
		log.Warn("far behind; starting at the end of the log: nobody was connected here, what was not delivered waits",
			zap.Int64("offset", at), zap.Int64("passed_over", end-at))
		return end, nil
	}
	return at, nil
}

func (g *Gateway) all() []*worker {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return append([]*worker(nil), g.workers...)
}

func (g *Gateway) setErr(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

// commit commits the contiguous prefix of what is settled, where it has moved.
func (g *Gateway) commit(ctx context.Context, all bool) error {
	moved := make(map[int32]Position)
	for _, w := range g.all() {
		if at := w.position(ctx, all); at != w.committed || all {
			moved[w.number] = at
		}
		w.observe()
	}
	g.observeMode()
	if len(moved) == 0 {
		return nil
	}
	if err := g.p.Positions.Commit(ctx, moved); err != nil {
		return fmt.Errorf("committing the reading position: %w", err)
	}
	for _, w := range g.all() {
		if m, ok := moved[w.number]; ok {
			w.committed = m
		}
	}
	return nil
}

// position is what is to be committed: the contiguous prefix of what is settled. It
// goes back where reading has begun anew. A gateway that is called has none, and
// commits that: read on from there, it would deliver what was settled long ago.
func (w *worker) position(ctx context.Context, all bool) Position {
	called := w.ledger.Called()
	p := Position{Offset: w.ledger.Committable(), Note: noteOf(w.epoch, called)}
	if !called {
		return p
	}
	if !all && p.Note == w.committed.Note {
		return w.committed
	}
	if _, end, err := w.p.Positions.Bounds(ctx, w.number); err == nil {
		p.Offset = end
	}
	return p
}

// finish says the last words. The context that ended must not keep them from
// being said, but there is a bound.
func (g *Gateway) finish(ctx context.Context, superseded bool) {
	const patience = 5 * time.Second
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var all sync.WaitGroup
	for _, w := range g.all() {
		all.Go(func() { w.goodbye(last) })
	}
	all.Wait()
	if superseded {
		return // the position is another's now
	}
	if err := g.commit(last, false); err != nil {
		g.log.Warn("last position not committed", zap.Error(err))
	}
}
