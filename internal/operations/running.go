package operations

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"pushgate/internal/push"
)

// Errors to compare with errors.Is.
var (
	// ErrCancelled as the cause of a context says that an operator ends the operation;
	// any other end of a context interrupts it.
	ErrCancelled = errors.New("cancelled")
	// ErrBusy: another operation works on the same letters (a *BusyError says which).
	ErrBusy = errors.New("another operation runs over the same letters")
	// ErrNotFound: there is no such operation (a *NotFoundError).
	ErrNotFound = errors.New("no such operation")
)

// BusyError says that another operation works on the same letters.
type BusyError struct{ Other Operation }

// Is makes it an ErrBusy.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

func (e *BusyError) Error() string {
	return fmt.Sprintf("operation %s (%s) by %s runs over the same partitions, and was heard of at %s. Wait for it or cancel it; "+
		"if it was killed, wait %s; or force it (--force): letters may then be handled twice",
		e.Other.ID, e.Other.Kind, e.Other.By, e.Other.Updated.UTC().Format(time.TimeOnly), Silence)
}

// CancelledError says that somebody has asked for the end of an operation.
type CancelledError struct{ By string }

func (e *CancelledError) Error() string { return "cancelled by " + e.By }

// Is makes it an ErrCancelled.
func (e *CancelledError) Is(target error) bool { return target == ErrCancelled }

// Run is an operation that runs. Until it is ended it is written down every few
// seconds, so that others see that it lives. Safe for concurrent use.
type Run struct {
	log *Log
	ctx context.Context //nolint:containedctx // what the operation runs under: ends when somebody cancels it

	mu     sync.Mutex
	op     Operation
	beaten time.Time // when it was last written down

	cancel context.CancelCauseFunc
	stop   context.CancelFunc
	beats  sync.WaitGroup
	seen   int64 // how far the home partition was read; of beat alone
}

// Begin writes down that an operation runs. Where another one works on the same
// partitions it is refused with a *BusyError, and says so in the log; force begins
// all the same. End it.
func (l *Log) Begin(ctx context.Context, o Operation, force bool) (*Run, error) {
	for _, p := range o.Partitions {
		if err := l.need(ctx, p); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	o.ID, o.State, o.Began = push.NewID(now), Running, now
	offset, err := l.write(ctx, &o)
	if err != nil {
		return nil, err
	}
	if !force {
		other, err := l.rival(ctx, &o, offset)
		if err != nil || other != nil {
			return nil, l.refuse(ctx, &o, other, err)
		}
	}
	r := &Run{log: l, op: o, beaten: now, seen: offset + 1}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	// Beats outlive the context: what is under way when it ends is finished first.
	beats, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	r.beats.Go(func() { r.beat(beats) })
	return r, nil
}

func (l *Log) refuse(ctx context.Context, o, other *Operation, err error) error {
	if other != nil {
		err = &BusyError{Other: *other}
	}
	o.State, o.Ended, o.Error = Failed, time.Now(), "refused: "+err.Error()
	bounded, cancel := lastWords(ctx)
	defer cancel()
	_, _ = l.write(bounded, o) // if this fails too, it is taken for interrupted
	return err
}

// lastWords bounds what is written when the context may have ended.
func lastWords(ctx context.Context) (context.Context, context.CancelFunc) {
	const patience = 5 * time.Second
	return context.WithTimeout(context.WithoutCancel(ctx), patience)
}

// rival finds an operation that began before the one written at an offset, lives, and
// works on the same partitions. Of two that begin at once, the log decides: the later
// one sees the earlier, never the other way round.
func (l *Log) rival(ctx context.Context, o *Operation, offset int64) (*Operation, error) {
	const some = 1000 // also looked at where clocks differ by more than the margin
	start, _, err := l.records.Bounds(ctx, l.topic, home)
	if err != nil {
		return nil, fmt.Errorf("looking for other operations: %w", err)
	}
	from, err := l.records.OffsetAt(ctx, l.topic, home, time.Now().Add(-clockMargin))
	if err != nil {
		return nil, fmt.Errorf("looking for other operations: %w", err)
	}
	from = max(start, min(from, offset-some))
	found, err := l.fold(ctx, from, offset+1)
	if err != nil {
		return nil, err
	}
	mine := found[o.ID].Updated
	if mine.IsZero() {
		mine = time.Now()
	}
	for id, other := range found {
		if id != o.ID && other.alive(mine) && other.overlaps(o) {
			return &other, nil
		}
	}
	return nil, nil //nolint:nilnil // none
}

// Context is what the operation runs under: it ends when the context it began with
// does, or when somebody cancels the operation; its cause is then a *CancelledError.
func (r *Run) Context() context.Context { return r.ctx }

// Operation returns the operation as it is now.
func (r *Run) Operation() Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.op.clone()
}

// Update changes the operation; it is written down with the next beat.
func (r *Run) Update(change func(*Operation)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.op)
}

// Beat intervals: several chances within Silence.
const (
	beatEvery = 3 * time.Second
	// lapsed: others may think that it is dead. Less than Silence by what a write
	// takes.
	lapsed = 10 * time.Second
)

func (r *Run) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = r.writeDown(ctx) // Held sees where that fails for long
		r.hear(ctx)
	}
}

func (r *Run) writeDown(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	now, o := time.Now(), r.Operation()
	if _, err := r.log.write(bounded, &o); err != nil {
		return err
	}
	r.mu.Lock()
	// After a silence that long, only Held may say that the operation goes on.
	if now.Round(0).Sub(r.beaten.Round(0)) < lapsed && now.Sub(r.beaten) < lapsed {
		r.beaten = now
	}
	r.mu.Unlock()
	return nil
}

// hear looks whether somebody has asked for the end.
func (r *Run) hear(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	_, end, err := r.log.records.Bounds(bounded, r.log.topic, home)
	if err != nil {
		return
	}
	err = r.log.each(bounded, home, r.seen, end, func(rec *push.Record) {
		if rec.Headers.Text(push.HeaderKind) == kindCancel && string(rec.Key) == r.op.ID {
			r.cancel(&CancelledError{By: string(rec.Value)})
		}
	})
	if err == nil {
		r.seen = end
	}
}

// Held returns nil while the operation may go on. After a silence so long that others
// may have taken it for dead, it looks whether one has begun meanwhile, and returns a
// *BusyError then.
func (r *Run) Held(ctx context.Context) error {
	r.mu.Lock()
	silent, o := max(time.Since(r.beaten), time.Now().Round(0).Sub(r.beaten.Round(0))), r.op.clone()
	r.mu.Unlock()
	if silent < lapsed {
		return nil
	}
	offset, err := r.log.write(ctx, &o)
	if err != nil {
		return err
	}
	other, err := r.log.rival(ctx, &o, offset)
	if err != nil {
		return err
	}
	if other != nil {
		return &BusyError{Other: *other}
	}
	r.mu.Lock()
	r.beaten = time.Now()
	r.mu.Unlock()
	return nil
}

// End writes down how the operation ended, and returns it. It takes a few seconds at
// most, also where ctx has ended. Where it fails, the operation counts as interrupted
// after a while.
func (r *Run) End(ctx context.Context, state State, cause error) (Operation, error) {
	r.stop()
	r.beats.Wait()
	r.cancel(nil)
	o := r.Operation()
	o.State, o.Ended = state, time.Now()
	if cause != nil {
		o.Error = cause.Error()
	}
	bounded, cancel := lastWords(ctx)
	defer cancel()
	_, err := r.log.write(bounded, &o)
	return o, err
}

// Cancel asks the operation with that id to end, wherever it runs. It ends within some
// seconds; Get tells.
func (l *Log) Cancel(ctx context.Context, id, by string) error {
	_, err := l.put(ctx, home, recordOf(kindCancel, id, []byte(by)))
	return err
}

func (o Operation) clone() Operation {
	c := o
	if o.SkippedFor != nil {
		c.SkippedFor = make(map[string]int, len(o.SkippedFor))
		maps.Copy(c.SkippedFor, o.SkippedFor)
	}
	return c
}
