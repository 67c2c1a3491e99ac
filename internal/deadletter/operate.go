package deadletter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/internal/operations"
)

// handler does to a batch of letters what an operation is for. It returns an error for
// each letter that was refused for good, nil for those that are handled, durably; or an
// error that ends the operation, after which the letters may be handled or not.
type handler interface {
	handle(ctx context.Context, batch []Letter) ([]error, error)
}

// work is one operation, before it begins.
type work struct {
	choice     Choice
	operation  operations.Operation
	force      bool
	onProgress func(operations.Operation)
	// rate of letters a second, 0: as fast as it goes; batch: letters at once.
	rate  float64
	batch int
	judge func(*Letter) Skip
	begin func(operation string) handler
}

// chosen returns the partitions a choice is about.
func (s *Store) chosen(ctx context.Context, c *Choice) ([]int32, error) {
	if len(c.Letters) == 0 {
		return s.partitions(ctx, &c.Filter)
	}
	count, err := s.log.Partitions(ctx, s.topics.DeadLetter)
	if err != nil {
		return nil, fmt.Errorf("finding the partitions of %s: %w", s.topics.DeadLetter, err)
	}
	var list []int32
	for _, at := range c.Letters {
		if at.Partition < 0 || at.Partition >= count {
			return nil, &FilterError{fmt.Sprintf("letter %d/%d: there are the partitions 0 to %d", at.Partition, at.Offset, count-1)}
		}
		list = append(list, at.Partition)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// operate runs an operation to its end.
func (s *Store) operate(ctx context.Context, w work) (operations.Operation, error) {
	if s.operations == nil {
		return operations.Operation{}, errNoOperations
	}
	var err error
	if w.operation.Partitions, err = s.chosen(ctx, &w.choice); err != nil {
		return w.operation, err
	}
	run, err := s.operations.Begin(ctx, w.operation, w.force)
	if err != nil {
		return w.operation, err
	}
	o := &operating{work: w, run: run, handler: w.begin(run.Operation().ID), pending: make(map[int32][]int64)}
	o.report(true)
	err = o.all(run.Context(), s) //nolint:contextcheck // it comes from ctx, and ends with the operation, too
	o.report(true)
	cause := context.Cause(run.Context()) //nolint:contextcheck // as above
	switch {
	case err == nil:
		return run.End(ctx, operations.Done, o.refused)
	case run.Context().Err() == nil:
		op, endErr := run.End(ctx, operations.Failed, err)
		return op, errors.Join(err, endErr)
	case errors.Is(cause, operations.ErrCancelled):
		return run.End(ctx, operations.Cancelled, cause)
	default:
		return run.End(ctx, operations.Interrupted, cause)
	}
}

// operating is one operation under way. Of one goroutine.
type operating struct {
	work
	run     *operations.Run
	handler handler
	source  source

	// batch is to be handled next; its bytes.
	batch []Letter
	bytes int
	// pending are letters that are handled and not yet recorded as such, the first of
	// them since then.
	pending map[int32][]int64
	count   int
	since   time.Time

	next     time.Time // when the next batch may go
	reported time.Time
	refused  error // the last one
}

// What may be lost of the record of what was handled, when the process dies: it gives
// as many repeats.
const (
	pendingMost = 500
	pendingTime = 800 * time.Millisecond
	// batchBytes bounds what a batch holds in memory.
	batchBytes = 4 << 20
	// grace is how long what is under way may take when the context has ended.
	grace = 3 * time.Second
)

// all handles what is chosen. What was handled is recorded when it returns, unless
// that cannot be written.
func (o *operating) all(ctx context.Context, s *Store) error {
	src, err := s.source(ctx, &o.choice)
	if err != nil {
		return err
	}
	defer src.close()
	o.source = src
	if r, ok := src.(*reading); ok {
		r.between = func() error { return o.tend(ctx) }
	}
	err = o.each(ctx)
	if err == nil {
		err = o.send(ctx)
	}
	return errors.Join(err, o.flush(ctx))
}

func (o *operating) each(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		letter, err := o.source.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case isMalformed(err):
			continue
		case err != nil:
			return err
		case !o.choice.about(&letter):
			continue
		}
		skip := o.judge(&letter)
		o.run.Update(func(op *operations.Operation) {
			op.Matched++
			if skip != "" {
				op.Skipped++
				if op.SkippedFor == nil {
					op.SkippedFor = make(map[string]int)
				}
				op.SkippedFor[string(skip)]++
			}
		})
		if skip != "" {
			continue
		}
		letter.own()
		o.batch, o.bytes = append(o.batch, letter), o.bytes+letter.rec.Size()
		if len(o.batch) >= o.work.batch || o.bytes >= batchBytes {
			if err := o.send(ctx); err != nil {
				return err
			}
		}
	}
}

// send handles the batch when its turn has come.
func (o *operating) send(ctx context.Context) error {
	if len(o.batch) == 0 {
		return nil
	}
	if err := o.pace(ctx); err != nil {
		return err
	}
	if err := o.run.Held(ctx); err != nil {
		return err
	}
	batch := o.batch
	o.batch, o.bytes = nil, 0
	bounded, cancel := graceful(ctx)
	refused, err := o.handler.handle(bounded, batch)
	cancel()
	if err != nil {
		return err
	}
	failed := 0
	for i := range batch {
		if refused[i] != nil {
			failed++
			o.refused = refused[i]
			continue
		}
		if o.count == 0 {
			o.since = time.Now()
		}
		at := batch[i].Place
		o.pending[at.Partition] = append(o.pending[at.Partition], at.Offset)
		o.count++
	}
	o.run.Update(func(op *operations.Operation) {
		op.Done += len(batch) - failed
		op.Failed += failed
	})
	return o.tend(ctx)
}

// pace waits until the next batch may go. What is handled is recorded first where the
// wait is long.
func (o *operating) pace(ctx context.Context) error {
	if o.rate <= 0 {
		return nil
	}
	now := time.Now()
	// What was not used up to now is gone: no burst after a slow search.
	o.next = later(o.next, now)
	wait := o.next.Sub(now)
	o.next = o.next.Add(time.Duration(float64(len(o.batch)) / o.rate * float64(time.Second)))
	if wait <= 0 {
		return nil
	}
	if o.count > 0 && now.Add(wait).Sub(o.since) >= pendingTime {
		if err := o.flush(ctx); err != nil {
			return err
		}
	}
	o.report(false)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// tend records what was handled where it is due, and tells how it goes.
func (o *operating) tend(ctx context.Context) error {
	o.report(false)
	if o.count >= pendingMost || o.count > 0 && time.Since(o.since) >= pendingTime {
		return o.flush(ctx)
	}
	return nil
}

// flush records what was handled.
func (o *operating) flush(ctx context.Context) error {
	if o.count == 0 {
		return nil
	}
	ctx, cancel := graceful(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrent)
	for p, offsets := range o.pending {
		group.Go(func() error { return o.run.Handled(ctx, p, offsets) })
	}
	clear(o.pending)
	o.count = 0
	return group.Wait()
}

// report tells how it goes, not too often.
func (o *operating) report(now bool) {
	const interval = 200 * time.Millisecond
	if !now && time.Since(o.reported) < interval {
		return
	}
	o.reported = time.Now()
	if r, ok := o.source.(*reading); ok {
		o.run.Update(func(op *operations.Operation) { op.Scanned, op.Of = r.seen() })
	}
	if o.onProgress != nil {
		o.onProgress(o.run.Operation())
	}
}

// graceful outlives ctx by a little: what was begun is finished.
func graceful(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-longer.Done():
		case <-timer.C:
			cancel(context.Cause(ctx))
		}
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}
