package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"pushgate/internal/delivery/ledger"
	"pushgate/internal/push"
)

// worker delivers one partition.
type worker struct {
	*Gateway
	number     int32
	start      int64
	log        *zap.Logger
	ledger     *ledger.Ledger
	partitions int32

	lag       atomic.Int64
	at        atomic.Int64 // the next request to read
	since     atomic.Int64 // see Standing.LagTime, Unix nanoseconds
	saying    atomic.Int64 // since when a receipt is being written, Unix nanoseconds; 0: none is
	committed Position     // owned by whoever commits
	announced bool         // set before run
}

func newWorker(g *Gateway, number int32, start int64, called bool) *worker {
	w := &worker{
		Gateway: g, number: number, start: start, committed: Position{Offset: start, Note: noteOf(g.epoch, called)},
		log: g.log.With(zap.Int32("partition", number)), ledger: ledger.New(start, g.p.Metrics.reported),
	}
	w.at.Store(start)
	if called {
		w.ledger.Call()
	}
	return w
}

func (w *worker) run(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.serve(groupCtx) })
	group.Go(func() error { return w.report(groupCtx) })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("partition %d: %w", w.number, err)
	}
	return nil
}

// read hands requests, from an offset on, to their owners until ctx ends. It returns
// how far it came.
func (w *worker) read(ctx context.Context, at int64) (next int64, err error) {
	r := w.p.Log.NewReader(w.p.Requests, w.number, at)
	defer r.Close()
	for {
		batch, err := r.Read(ctx)
		var lost *push.OffsetLostError
		switch {
		case errors.As(err, &lost) && lost.Offset > lost.HighWatermark:
			w.p.Metrics.offsetsLost.Inc()
			return at, fmt.Errorf("%w: the log was created anew or has lost its end; what was said of its offsets is not true any more, "+
				"so this gateway ends, to be started again", lost)
		case errors.As(err, &lost):
			w.p.Metrics.offsetsLost.Inc()
			w.log.Error("the log does not hold the offset to read; going on at its start: what was not delivered waits",
				zap.Int64("offset", lost.Offset), zap.Int64("log_start", lost.LogStart), zap.Int64("high_watermark", lost.HighWatermark))
			at = lost.LogStart
			r.SeekTo(at)
			w.ledger.Read(at)
			continue
		case err != nil:
			return at, err // only the context ends reading
		}
		w.partitions = w.p.Partitions()
		for rest := batch.Records; ; {
			var some []push.Record
			some, rest = rest[:min(len(rest), together)], rest[min(len(rest), together):]
			if at = batch.Next; len(rest) > 0 {
				at = rest[0].Offset
			}
			w.look(some, at)
			if len(rest) == 0 {
				break
			}
			if err := w.slowDown(ctx); err != nil {
				return at, nil
			}
		}
		w.lag.Store(max(batch.HighWatermark-batch.Next, 0))
		w.stands(batch)
		if err := w.slowDown(ctx); err != nil {
			return at, nil
		}
	}
}

// together is how many requests of a batch, which may have tens of thousands, are looked
// at before how much is under way is.
const together = 1000

// look hands requests to their owners, next being the offset to go on with.
func (w *worker) look(records []push.Record, next int64) {
	w.ledger.Begin()
	owned := 0
	for i := range records {
		rec := &records[i]
		if to := w.p.Hub.Of(rec.Key); to != nil && w.deliver(rec, to) {
			owned++
		}
	}
	w.ledger.Read(next)
	w.p.Metrics.read(len(records), owned)
}

// deliver hands one request of a user who is here to the sessions. It is false
// when the request is not for this gateway after all: outside the user's home,
// invalid, expired, or of a type nobody here takes. Those the custodian sees to.
func (w *worker) deliver(rec *push.Record, to push.Recipient) bool {
	if push.Home(rec.Key, w.partitions) != w.number {
		return false
	}
	o := w.newOffering(rec)
	if o == nil {
		return false
	}
	m := &o.message
	// A report may come before Deliver returns.
	w.ledger.Enter(m.Offset)
	if w.isRepeat(o.key) {
		w.p.Metrics.repeats.Inc()
		m.FirstSeen = time.Time{} // how long the delivery took was told before
		w.ledger.Report(m, push.Done, push.ReasonNone)
		return true
	}
	owned := to.Deliver(m, w.follow(m, rec.Headers, o))
	m.Data = nil // it would keep the whole batch in memory until the client's word
	if !owned {
		w.ledger.Leave(m.Offset)
	}
	return owned
}

// slowDown waits while too much is under way. Sessions fail what they cannot
// take within their limits, so this ends.
func (w *worker) slowDown(ctx context.Context) error {
	const look = 5 * time.Millisecond
	for w.ledger.Unsettled() >= w.p.Config.maxUnsettled(w.partitions, w.p.Users()) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(look):
		}
	}
	return nil
}

// report writes receipts until ctx ends: soon after there is something to say,
// at once when there is much, less soon when all there is to say is how far was
// read, and now and then in any case.
func (w *worker) report(ctx context.Context) error {
	const unhurried = 5
	soon := w.p.Config.receiptInterval()
	heartbeat := time.NewTicker(w.p.Config.HeartbeatInterval)
	defer heartbeat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-heartbeat.C:
		case <-w.ledger.Full():
		case <-w.ledger.Wake():
			w.gather(ctx, soon, nil)
		case <-w.ledger.Moved():
			if w.gather(ctx, unhurried*soon, w.ledger.Wake()) {
				w.gather(ctx, soon, nil)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := w.say(ctx); err != nil {
			return err
		}
	}
}

// gather waits for more to say. It is true when it was cut short by sooner.
func (w *worker) gather(ctx context.Context, d time.Duration, sooner <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.ledger.Full():
	case <-timer.C:
	case <-sooner:
		return true
	}
	return false
}

// mostSaid keeps a receipt below a mebibyte, which is what brokers take of a record. There
// is more to say after the broker was away, and after a restart of another node, whose
// sessions come over all at once.
//
//nolint:gochecknoglobals // a constant
var mostSaid = ledger.Most{Offsets: 20_000, Sessions: 1000}

// say writes a receipt and settles what it says once it is durable.
func (w *worker) say(ctx context.Context) error {
	r := w.ledger.Cut()
	r.Node, r.Epoch = w.p.Node, w.epoch
	parts := w.ledger.Parts(r, mostSaid)
	records := make([]push.Record, 0, len(parts))
	for i := range parts {
		records = append(records, push.Record{Key: []byte(w.p.Node), Value: parts[i].AppendBinary(nil)})
	}
	if err := w.write(ctx, records); err != nil {
		w.ledger.Uncut(ledger.Whole(parts))
		return fmt.Errorf("writing a receipt: %w", err)
	}
	// Encoding has sorted the lists of the parts and left out what was there twice.
	for i := range parts {
		w.ledger.Durable(&parts[i])
	}
	w.p.Metrics.receipts.Add(float64(len(records)))
	return nil
}

// write makes receipts durable. A broker that refuses them ends a gateway that
// is about to start: somebody is looking. One that has sessions stalls, says so,
// and tries again until the topic is mended: its end would only send its clients
// to nodes that have the same topic.
func (w *worker) write(ctx context.Context, records []push.Record) error {
	const pause = 5 * time.Second
	w.saying.Store(time.Now().UnixNano())
	defer w.saying.Store(0)
	for {
		_, err := w.p.Log.Produce(ctx, w.p.Receipts, w.number, records)
		if _, refused := errors.AsType[*push.RejectedError](err); !refused || !w.announced {
			return err
		}
		w.log.Error("the broker refuses a receipt; the partition stalls until its topic takes it", zap.Error(err))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// announce says that this gateway is there, before it takes its first session.
func (w *worker) announce(ctx context.Context) error {
	w.ledger.Presence(push.Announce)
	err := w.say(ctx)
	w.announced = err == nil
	return err
}

// goodbye says what is left to say, and that nothing will follow.
func (w *worker) goodbye(ctx context.Context) {
	w.ledger.Presence(push.Goodbye)
	if err := w.say(ctx); err != nil {
		w.log.Warn("could not say goodbye; what was under way here is offered again after the custody window", zap.Error(err))
	}
}

// observe publishes how the partition is doing.
func (w *worker) observe() {
	w.p.Metrics.partition(w.number, w.lag.Load(), w.ledger.UnderWay(), w.stalled() != nil)
}

// stalled says that a receipt has been being written for too long. What is under
// way is not settled until it is, and reading slows down to nothing.
func (w *worker) stalled() error {
	const patience = 5 * time.Second
	since := w.saying.Load()
	if since == 0 {
		return nil
	}
	if d := time.Since(time.Unix(0, since)); d > patience {
		return fmt.Errorf("partition %d has been trying to write to %s for %s", w.number, w.p.Receipts, d.Round(time.Second))
	}
	return nil
}
