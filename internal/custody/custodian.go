package custody

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"pushgate/internal/push"
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

// Log is the message log. Every method blocks until it is done or the context
// ends, and retries passing errors by itself. Safe for concurrent use.
type Log interface {
	NewReader(topic string, partition int32, offset int64) Reader
	// Produce returns when the records are durable, with their offsets. It may
	// write a record twice. A *push.RejectedError means that trying again cannot
	// help.
	Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error)
	// Find returns copies of the records at those offsets; what the log does not
	// hold any more is left out.
	Find(ctx context.Context, topic string, partition int32, offsets []int64) ([]push.Record, error)
}

// Positioner answers where a partition begins and ends, and where a time is.
type Positioner interface {
	Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error)
	// OffsetAt returns the first offset written at or after t, the end if none.
	OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error)
}

// Assignment is one generation of the shared group: the partitions this node
// answers for until its context ends.
type Assignment interface {
	Partitions() []int32
	// Committed returns the committed offset by partition; -1 where there is none.
	Committed(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error)
	// Commit is fenced: it fails once the assignment is over.
	Commit(ctx context.Context, topic string, offsets map[int32]int64) error
}

// Topics names the topics a custodian reads and writes.
type Topics struct{ Requests, Receipts, Retry, DeadLetter, Outcomes string }

// Params of a Custodian.
type Params struct {
	Policy Policy
	Limits push.Limits
	// Partitions returns how many partitions the request topic has now.
	Partitions func() int32
	Topics     Topics
	Node       string
	// NewCourier makes who carries the requests of a partition, where routing is
	// targeted (Policy.Targeted); nil where it is not.
	NewCourier func(partition int32) Courier
	Log        Log
	Positioner Positioner
	// Tracer follows offerings; nil: none is followed.
	Tracer  Tracer
	Logger  *zap.Logger
	Metrics *Metrics
}

// Custodian answers for the partitions it is assigned.
type Custodian struct {
	p Params

	mu         sync.Mutex
	partitions map[int32]*partition
}

// New returns a custodian that answers for nothing yet.
func New(p Params) *Custodian {
	return &Custodian{p: p, partitions: make(map[int32]*partition)}
}

// finalCommit bounds the last commit of an assignment.
const finalCommit = 3 * time.Second

// Serve answers for the partitions of one assignment until ctx ends. It returns
// when everything it started has ended; nil unless the partitions could not be
// taken over.
func (c *Custodian) Serve(ctx context.Context, a Assignment) error {
	assigned := a.Partitions()
	c.p.Logger.Info("taking over partitions", zap.Int32s("partitions", assigned))
	started := time.Now()
	starts, err := c.committed(ctx, a)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}

	group, groupCtx := errgroup.WithContext(ctx)
	list := make([]*partition, 0, len(assigned))
	for _, number := range assigned {
		p := newPartition(c.p, number, starts[number])
		list = append(list, p)
		group.Go(func() error { return p.run(groupCtx) })
	}
	c.set(list)
	defer c.set(nil)
	group.Go(func() error { return c.commitLoop(groupCtx, a, list) })
	err = group.Wait()

	// The last commit must outlive the context that ends the assignment.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalCommit)
	defer cancel()
	c.commit(last, a, list)
	c.p.Logger.Info("gave up partitions", zap.Int32s("partitions", assigned),
		zap.Duration("held", time.Since(started)))
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("custody: %w", err)
	}
	return nil
}

// Ready says why a partition cannot be answered for at the moment, nil if all
// can.
func (c *Custodian) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, p := range c.partitions {
		if err := p.healthy(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *Custodian) set(list []*partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number := range c.partitions {
		c.p.Metrics.forget(number)
	}
	clear(c.partitions)
	for _, p := range list {
		c.partitions[p.number] = p
	}
}

// committed reads where the last custodian of each partition had come.
func (c *Custodian) committed(ctx context.Context, a Assignment) (map[int32]Positions, error) {
	starts := make(map[int32]Positions)
	partitions := a.Partitions()
	for _, topic := range []string{c.p.Topics.Requests, c.p.Topics.Receipts, c.p.Topics.Retry} {
		offsets, err := a.Committed(ctx, topic, partitions)
		if err != nil {
			return nil, fmt.Errorf("reading the committed offsets of %s: %w", topic, err)
		}
		for _, number := range partitions {
			at, ok := offsets[number]
			if !ok {
				at = notCommitted
			}
			s := starts[number]
			*s.of(topic, c.p.Topics) = at
			starts[number] = s
		}
	}
	return starts, nil
}

// notCommitted stands for "this group has not committed that partition yet".
const notCommitted int64 = -1

// of returns the position that belongs to a topic.
func (p *Positions) of(topic string, t Topics) *int64 {
	switch topic {
	case t.Requests:
		return &p.Requests
	case t.Receipts:
		return &p.Receipts
	default:
		return &p.Retry
	}
}

// commitLoop commits what moved, for all partitions in one call a topic.
func (c *Custodian) commitLoop(ctx context.Context, a Assignment, list []*partition) error {
	tick := time.NewTicker(c.p.Policy.Custody.CommitInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.commit(ctx, a, list)
		}
	}
}

// commit is best effort: what is not committed is done again after a takeover.
//
// The three positions of a partition are of one moment, and those of the requests
// are committed first: a later position of the receipts would pass over what a
// successor, who begins at the earlier requests, needs to hear of them.
func (c *Custodian) commit(ctx context.Context, a Assignment, list []*partition) {
	now := make([]Positions, len(list))
	for i, p := range list {
		now[i] = p.toCommit()
	}
	for _, topic := range []string{c.p.Topics.Requests, c.p.Topics.Receipts, c.p.Topics.Retry} {
		moved := make(map[int32]int64)
		for i, p := range list {
			if at := *now[i].of(topic, c.p.Topics); at != p.lastCommitted(topic) {
				moved[p.number] = at
			}
		}
		if len(moved) == 0 {
			continue
		}
		if err := a.Commit(ctx, topic, moved); err != nil {
			if ctx.Err() == nil {
				c.p.Logger.Warn("custody offsets not committed; a successor would start further back",
					zap.String("topic", topic), zap.Error(err))
			}
			return
		}
		for _, p := range list {
			if at, ok := moved[p.number]; ok {
				p.wasCommitted(topic, at)
			}
		}
	}
}
