package waiting

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// Ref names one wait.
type Ref struct {
	Partition int32  `json:"partition"`
	Origin    int64  `json:"origin"`
	User      string `json:"user"`
}

// Order is what an operator asks for, beyond what it is about.
type Order struct {
	// Waits, where it is not empty, narrows the filter down to these.
	Waits []Ref
	// By and Why are recorded, and stand in the dead letters of what is discarded.
	By, Why string
	// Patience is how long a partition may confirm nothing before what was asked of it
	// counts as unconfirmed; 0 means DefaultPatience.
	Patience time.Duration
	// DryRun only counts.
	DryRun bool
	// OnProgress, if not nil, is called with the operation as soon as it is recorded,
	// then now and then, and with what it came to. It must not block.
	OnProgress func(operations.Operation)
}

// DefaultPatience is Order.Patience where none is given.
const DefaultPatience = 30 * time.Second

const (
	// perCommand is how many waits one command names: some 60 KiB at most.
	perCommand = 200
	// window is how many waits of a partition are asked for and not confirmed yet.
	window = 10 * perCommand
)

// Release asks the custodians to offer at once what a filter takes, and waits until
// they have. See Discard.
func (s *Store) Release(ctx context.Context, f Filter, o Order) (operations.Operation, error) {
	return s.order(ctx, push.Release, operations.Release, f, o)
}

// Discard asks the custodians to dead-letter what a filter takes, for the reason
// discarded, and waits until they have. In the operation that it returns Matched is
// what was found waiting, and Done what no longer waits: its wait has ended since, by
// this or because its message was delivered or died meanwhile. Failed is what nobody
// has confirmed; Error then says why and what to do, and State is "failed". Commands
// that are not confirmed stay in the receipt topic, and are carried out by whoever
// takes custody next.
//
// An error means that it could not be carried through; where ctx ends, the operation
// is recorded as it stands then. With a *BadRequestError nothing was done. Where
// somebody cancels the operation, that is its State, and no error.
func (s *Store) Discard(ctx context.Context, f Filter, o Order) (operations.Operation, error) {
	if !o.DryRun && strings.TrimSpace(o.Why) == "" {
		return operations.Operation{}, &BadRequestError{"discarding needs a reason: whoever finds the dead letters will want to know why"}
	}
	return s.order(ctx, push.Discard, operations.DiscardWaiting, f, o)
}

// mostWords of By and Why, in bytes: they stand in every dead letter.
const mostWords = 500

func (s *Store) order(ctx context.Context, command push.CommandKind, kind operations.Kind, f Filter, o Order) (operations.Operation, error) {
	if err := f.check(); err != nil {
		return operations.Operation{}, err
	}
	if len(o.By) > mostWords || len(o.Why) > mostWords {
		return operations.Operation{}, &BadRequestError{fmt.Sprintf("who and why are longer than %d bytes: be brief", mostWords)}
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	op := operations.Operation{Kind: kind, By: o.By, Filter: described(f, o), Why: o.Why}
	r := &run{Store: s, command: command, order: o, unconfirmed: make(map[int32]string)}
	if o.DryRun {
		op.State = operations.Done
		err := r.eachTarget(ctx, f, func(t *target) error {
			op.Matched += len(t.waits)
			return nil
		})
		return op, err
	}
	running, err := s.p.Journal.Begin(ctx, op, false)
	if err != nil {
		return op, fmt.Errorf("nothing was done, as it could not be recorded: %w", err)
	}
	r.op = running
	r.progress(func(*operations.Operation) {})
	err = r.carryOut(running.Context(), f) //nolint:contextcheck // it is made of ctx, and ends when somebody cancels the operation
	return r.finish(ctx, err)
}

// described is the filter as the audit record keeps it.
func described(f Filter, o Order) map[string]string {
	d := make(map[string]string)
	put := func(name, value string) {
		if value != "" {
			d[name] = value
		}
	}
	put("user", f.User)
	put("type", f.Type)
	put("id", f.ID)
	if f.Reason != push.ReasonNone {
		put("reason", f.Reason.String())
	}
	if f.OlderThan > 0 {
		put("older_than", f.OlderThan.String())
	}
	if len(o.Waits) > 0 {
		put("waits", fmt.Sprint(len(o.Waits)))
	}
	return d
}

// run is one operation under way.
type run struct {
	*Store
	command push.CommandKind
	order   Order
	op      *operations.Run

	mu          sync.Mutex
	unconfirmed map[int32]string // by partition
}

// target is what is asked of one partition.
type target struct {
	partition int32
	waits     []push.CommandWait
	// from is where in the retry topic their ends are looked for.
	from int64
}

// eachTarget finds what is to be done, partition by partition. Only users and origins
// are kept.
func (r *run) eachTarget(ctx context.Context, f Filter, do func(*target) error) error {
	numbers, err := r.partitions(ctx, f)
	if err != nil {
		return err
	}
	chosen := make(map[Ref]bool, len(r.order.Waits))
	for _, ref := range r.order.Waits {
		chosen[ref] = true
	}
	now := time.Now()
	for _, number := range numbers {
		if len(chosen) > 0 && !slices.ContainsFunc(r.order.Waits, func(ref Ref) bool { return ref.Partition == number }) {
			continue
		}
		x, err := r.scan(ctx, number, f, now)
		if err != nil {
			return fmt.Errorf("partition %d: %w", number, err)
		}
		t := target{partition: number, from: x.end}
		for _, origin := range x.origins() {
			user := x.waits[origin].user
			if len(chosen) == 0 || chosen[Ref{number, origin, user}] {
				t.waits = append(t.waits, push.CommandWait{User: user, Origin: origin})
			}
		}
		if len(t.waits) == 0 {
			continue
		}
		if err := do(&t); err != nil {
			return err
		}
	}
	return nil
}

// carryOut asks each partition as soon as it is known what of it is meant, and returns
// when all have confirmed or been given up.
func (r *run) carryOut(ctx context.Context, f Filter) error {
	const concurrent = 16
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, concurrent)
	var all sync.WaitGroup
	found := r.eachTarget(ctx, f, func(t *target) error {
		r.progress(func(op *operations.Operation) { op.Matched += len(t.waits) })
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case slots <- struct{}{}:
		}
		all.Go(func() {
			defer func() { <-slots }()
			if err := r.ask(ctx, t); err != nil {
				cancel(fmt.Errorf("partition %d: %w", t.partition, err))
			}
		})
		return nil
	})
	all.Wait()
	if found != nil {
		return found
	}
	return context.Cause(ctx)
}

// ask writes the commands for one partition and waits for the ends, as long as some
// come.
func (r *run) ask(ctx context.Context, t *target) error {
	reader := r.p.Log.NewReader(r.p.Topics.Retry, t.partition, t.from)
	defer reader.Close()
	open := make(map[int64]bool, min(len(t.waits), window))
	confirmed := time.Now()
	for left := t.waits; len(left) > 0 || len(open) > 0; {
		if len(left) > 0 && len(open)+perCommand <= window {
			n := min(len(left), perCommand)
			if err := r.write(ctx, t.partition, left[:n]); err != nil {
				return err
			}
			for _, w := range left[:n] {
				open[w.Origin] = true
			}
			left = left[n:]
			continue
		}
		n, err := ends(ctx, reader, open)
		if err != nil {
			return fmt.Errorf("waiting for the ends in %s: %w", r.p.Topics.Retry, err)
		}
		if n > 0 {
			confirmed = time.Now()
			r.progress(func(op *operations.Operation) { op.Done += n })
		} else if time.Since(confirmed) > r.order.Patience {
			r.giveUp(t, len(open), len(left))
			return nil
		}
	}
	return nil
}

// write writes one command.
func (r *run) write(ctx context.Context, partition int32, waits []push.CommandWait) error {
	rec, err := push.CommandRecord(push.Command{
		Kind: r.command, Operation: r.op.Operation().ID, By: r.order.By, Why: r.order.Why, Waits: waits,
	})
	if err != nil {
		return err
	}
	if _, err := r.p.Log.Produce(ctx, r.p.Topics.Receipts, partition, []push.Record{rec}); err != nil {
		return fmt.Errorf("asking the custodian: %w", err)
	}
	return nil
}

// ends reads once and strikes out what has ended.
func ends(ctx context.Context, reader Reader, open map[int64]bool) (int, error) {
	batch, err := reader.Read(ctx)
	if lost, ok := errors.AsType[*push.OffsetLostError](err); ok {
		reader.SeekTo(lost.LogStart) // trimmed while it is read
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := 0
	for i := range batch.Records {
		if e, err := push.ParseRetry(&batch.Records[i]); err == nil && e.Ends && open[e.Origin] {
			delete(open, e.Origin)
			n++
		}
	}
	return n, nil
}

// giveUp notes what a partition has not confirmed.
func (r *run) giveUp(t *target, asked, unasked int) {
	said := fmt.Sprintf("partition %d: %d asked for and not confirmed within %s", t.partition, asked, r.order.Patience)
	if unasked > 0 {
		said += fmt.Sprintf(", %d not asked for", unasked)
	}
	r.mu.Lock()
	r.unconfirmed[t.partition] = said
	r.mu.Unlock()
	r.progress(func(op *operations.Operation) {
		op.Failed += asked
		op.Skipped += unasked
	})
}

// progress changes the operation and tells of it.
func (r *run) progress(change func(*operations.Operation)) {
	r.op.Update(change)
	if r.order.OnProgress != nil {
		r.order.OnProgress(r.op.Operation())
	}
}

// finish writes down how the operation ended.
func (r *run) finish(ctx context.Context, err error) (operations.Operation, error) {
	state, cause := operations.Done, err
	_, cancelled := errors.AsType[*operations.CancelledError](err)
	switch {
	case cancelled:
		state, err = operations.Cancelled, nil
	case ctx.Err() != nil:
		state = operations.Interrupted
	case err != nil:
		state = operations.Failed
	case len(r.unconfirmed) > 0:
		state, cause = operations.Failed, errors.New(r.whatIsOpen())
	}
	last, failed := r.op.End(ctx, state, cause)
	if failed != nil {
		err = errors.Join(err, failed)
	}
	if r.order.OnProgress != nil {
		r.order.OnProgress(last)
	}
	return last, err
}

// whatIsOpen says what was not confirmed and what to do.
func (r *run) whatIsOpen() string {
	const some = 5
	lines := slices.Sorted(maps.Values(r.unconfirmed))
	if more := len(lines) - some; more > 0 {
		lines = append(lines[:some], fmt.Sprintf("and %d partitions more", more))
	}
	return strings.Join(lines, "; ") + ". A partition that confirms nothing may be without custodian: see pushgate nodes, and start a node with the role custodian. " +
		"What was asked for is done as soon as one takes over, unless one of a release that knows no commands has read it: ask again then"
}
