package custody

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"pushgate/internal/push"
)

// tick is how often a partition looks at its timers when nothing else happens.
const tick = 50 * time.Millisecond

// partition is the shell of one Machine: one goroutine owns the machine, two
// read for it, and one a lane writes for it.
type partition struct {
	Params
	number  int32
	created time.Time
	log     *zap.Logger
	machine *Machine
	waits   *payloads // wait records
	fresh   *payloads // requests, where they are carried
	lanes   []*lane
	results chan laneResult
	carrier *carrier // nil: nothing is carried
	traces  *traces  // nil: nothing is traced

	// Where requests and receipts ended when the partition was taken over.
	requestsEnd, receiptsEnd int64
	restored                 bool
	highWatermark            int64
	retryEnd                 int64 // of the retry log, as far as it is known
	homes                    int32 // how many partitions the homes of users were worked out with
	reading                  behind
	written                  ages // of the retry log

	mu       sync.Mutex // guards what follows: read by the committer and by health
	snapshot Stats
	behind   behind
	// oldestWait: see Holding.
	oldestWait time.Time
	positions  Positions
	committed  Positions
	// rewound are logs that were found to be shorter than what was read of them, and
	// where a successor starts.
	rewound map[string]int64
	ready   bool
}

func newPartition(p Params, number int32, start Positions) *partition {
	part := &partition{
		Params: p, number: number, created: time.Now(),
		log:     p.Logger.With(zap.Int32("partition", number)),
		waits:   newPayloads(payloadCacheBytes),
		fresh:   newPayloads(payloadCacheBytes),
		rewound: make(map[string]int64),
	}
	part.positions, part.committed = start, start
	if p.NewCourier != nil {
		part.carrier = newCarrier(part, p.NewCourier(number))
	}
	if p.Tracer != nil {
		part.traces = newTraces(p.Tracer)
	}
	part.results = make(chan laneResult, len(laneKinds))
	for i, kinds := range laneKinds {
		part.lanes = append(part.lanes, newLane(i, kinds, part))
	}
	return part
}

// run answers for the partition until ctx ends.
func (p *partition) run(ctx context.Context) error {
	began := time.Now()
	start, err := p.begin(ctx)
	if err == nil {
		err = p.restoreWaits(ctx, start)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("taking over partition %d: %w", p.number, err)
	}

	requests := p.Log.NewReader(p.Topics.Requests, p.number, start.Requests)
	defer requests.Close()
	receipts := p.Log.NewReader(p.Topics.Receipts, p.number, start.Receipts)
	defer receipts.Close()

	group, groupCtx := errgroup.WithContext(ctx)
	fromRequests, fromReceipts := newPump(requests, p), newPump(receipts, p)
	fromRequests.pause = p.unhurried()
	group.Go(func() error { return fromRequests.run(groupCtx) })
	group.Go(func() error { return fromReceipts.run(groupCtx) })
	for _, l := range p.lanes {
		group.Go(func() error { return l.run(groupCtx) })
	}
	if p.carrier != nil {
		group.Go(func() error { return p.carrier.courier.Run(groupCtx, p.parcels) })
	}
	group.Go(func() error { return p.loop(groupCtx, began, fromRequests, fromReceipts) })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("partition %d: %w", p.number, err)
	}
	return nil
}

// loop owns the machine: whatever happens comes through here, one at a time.
func (p *partition) loop(ctx context.Context, began time.Time, requests, receipts *pump) error {
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for {
		more, said := requests.batches, receipts.batches
		if p.full() {
			more = nil // reading slows down before anything is dropped
		}
		if p.stuffed() {
			said = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case batch := <-more:
			p.takeRequests(batch)
			requests.processed <- struct{}{}
		case batch := <-said:
			p.takeReceipts(batch)
			receipts.processed <- struct{}{}
		case r := <-p.results:
			if err := p.takeResults(ctx, r); err != nil {
				return err
			}
		case <-p.carrier.news():
			p.carrier.take()
		case <-timer.C:
			p.machine.Advance(time.Now(), false)
			p.rehome()
			p.traces.sweep(p.machine.Stats().Unsettled)
		}
		p.restoredYet(began)
		p.distribute()
		p.carrier.give()
		p.publish()
	}
}

// full says whether there is enough under judgement or waiting to be written. One
// record that cannot be written holds nobody up, until so much was read beyond it
// that keeping track of that would fill the memory.
func (p *partition) full() bool {
	const maxBeyond = 4 << 20 // requests, at 16 bytes each
	s := p.machine.Stats()
	limit := p.Policy.Custody.MaxInFlight
	return s.InFlight >= limit || s.Pending >= limit || s.Next-s.Unsettled >= maxBeyond && p.stalled() != nil
}

// stuffed says whether receipts are better left in the log for now: what is to be
// written cannot be, so that no more requests are read, and gateways are far ahead
// of them.
func (p *partition) stuffed() bool {
	s := p.machine.Stats()
	limit := p.Policy.Custody.MaxInFlight
	return s.Pending >= limit && s.Early >= limit
}

// rehome moves what belongs elsewhere since partitions were added.
func (p *partition) rehome() {
	if n := p.Partitions(); n != p.homes {
		p.homes = n
		p.machine.Rehome(p.homeOf)
	}
}

func (p *partition) takeRequests(b push.Batch) {
	p.machine.Advance(time.Now(), false)
	for i := range b.Records {
		p.machine.Request(p.understand(&b.Records[i]))
		p.carrier.keep(&b.Records[i])
	}
	p.highWatermark = b.HighWatermark
	p.reading.read(b, time.Now())
	p.machine.RequestsRead(b.Next)
}

func (p *partition) understand(rec *push.Record) Request {
	m, err := push.ParseRequest(rec, p.Topics.Requests, p.Limits)
	p.traces.accepted(&m, rec.Headers)
	r := Request{
		Offset: rec.Offset, ID: m.ID, User: m.User, Type: m.Type, Accepted: m.FirstSeen, Expires: m.Expires, MayRepeat: m.MayRepeat,
		Attempt: m.Attempt, Failures: m.Failures, Order: m.Order, EndsWait: m.EndsWait, Size: sizeOf(rec),
	}
	if p.Policy.Strict && m.Raw() {
		r.Attempt = 0 // it waits for its turn
	}
	if invalid, ok := errors.AsType[*push.InvalidError](err); ok {
		r.Invalid = invalid
		p.log.Warn("invalid request goes to the dead letters", zap.Int64("offset", rec.Offset),
			zap.Stringer("reason", invalid.Reason), zap.String("error", invalid.Text))
		return r
	}
	r.Home, r.Foreign = p.homeOf(m.User)
	return r
}

func sizeOf(rec *push.Record) int32 { return int32(min(rec.Size(), math.MaxInt32)) } //nolint:gosec // bounded

// homeOf returns where a user lives and whether that is elsewhere.
func (p *partition) homeOf(user string) (home int32, foreign bool) {
	home = push.Home(user, p.Partitions())
	return home, home != p.number
}

func (p *partition) takeReceipts(b push.Batch) {
	p.machine.Advance(time.Now(), false)
	for i := range b.Records {
		rec := &b.Records[i]
		if push.IsCommand(rec.Value) {
			p.takeCommand(rec)
			continue
		}
		receipt, err := push.DecodeReceipt(rec.Value)
		if err != nil {
			p.Metrics.malformed.Inc()
			p.log.Error("receipt passed over", zap.Int64("offset", rec.Offset), zap.Error(err))
			continue
		}
		p.traces.heard(&receipt) // the machine takes it over
		p.machine.Receipt(rec.Offset, &receipt)
		p.carrier.connected(receipt.Connected)
	}
	p.machine.ReceiptsRead(b.Next)
	if b.Next >= b.HighWatermark {
		p.machine.Advance(time.Now(), true)
	}
}

// takeCommand does what an operator asks for.
func (p *partition) takeCommand(rec *push.Record) {
	c, err := push.DecodeCommand(rec.Value)
	if err != nil {
		p.Metrics.malformed.Inc()
		p.log.Error("command passed over", zap.Int64("offset", rec.Offset), zap.Error(err))
		return
	}
	p.log.Info("command of an operator", zap.String("operation", c.Operation), zap.String("command", string(c.Kind)),
		zap.String("by", c.By), zap.Int("waits", len(c.Waits)))
	p.machine.Command(rec.Offset, &c)
}

// takeResults tells the machine what was written. It returns an error when a log
// turns out to have been made anew under the writer.
func (p *partition) takeResults(ctx context.Context, r laneResult) error {
	p.lanes[r.lane].busy = false
	for _, w := range r.written {
		if k := w.action.Kind; (k == MakeWait || k == EndWait) && !w.lost && w.refused == "" {
			if w.at < p.retryEnd {
				return p.retryAnew(ctx, w.at)
			}
			p.retryEnd = w.at + 1
			p.written.wrote(w.at, time.Now())
		}
		switch {
		case w.lost:
			p.Metrics.vanished.Inc()
			p.log.Error("message is gone from the log before it could be written elsewhere: retention is too short",
				zap.String("user", w.action.User), zap.Int64("offset", w.action.Origin), zap.Stringer("action", w.action.Kind))
			p.machine.Lost(w.action.ID)
		case w.refused != "":
			p.machine.Refused(w.action.ID, w.refused)
		default:
			p.Metrics.wrote(w.action)
			p.traces.wrote(&w.action)
			p.machine.Done(w.action.ID, w.at)
			p.carrier.stored(w.action)
		}
	}
	return nil
}

// retryAnew gives the partition back because the retry log began anew: what was
// written now stands before what had been written. What waited in the old log is
// lost, except what is in flight again.
func (p *partition) retryAnew(ctx context.Context, at int64) error {
	waiting := p.machine.Stats().Waiting
	p.Metrics.vanished.Add(float64(waiting))
	p.log.Error("the retry topic was made anew, or has lost its end: what waited in it is gone; the dead letters know nothing of it",
		zap.String("topic", p.Topics.Retry), zap.Int("waiting", waiting), zap.Int64("written_at", at), zap.Int64("expected_from", p.retryEnd))
	return p.shrank(ctx, &push.OffsetLostError{
		Topic: p.Topics.Retry, Partition: p.number, Offset: p.retryEnd, HighWatermark: at + 1,
	})
}

// restoredYet ends restoring once everything that was in the logs at takeover
// was read, or as much of it as may be under judgement at once.
func (p *partition) restoredYet(began time.Time) {
	if p.restored {
		return
	}
	s := p.machine.Stats()
	// Where order is strict, what is queued leaves the memory for the retry log first.
	makesRoom := p.Policy.Strict && s.Pending > 0
	if (s.Next < p.requestsEnd && (!p.full() || makesRoom)) || p.machine.receipts.next < p.receiptsEnd {
		return
	}
	p.restored = true
	p.machine.Advance(time.Now(), false)
	p.machine.Restored()
	p.mu.Lock()
	p.ready = true
	p.mu.Unlock()
	p.log.Info("answering for partition", zap.Int("waiting", s.Waiting), zap.Int("in_flight", s.InFlight),
		zap.Duration("took", time.Since(began)))
}

// distribute hands what the machine wants written to the lanes that are idle.
func (p *partition) distribute() {
	for _, a := range p.machine.Actions() {
		l := p.laneOf(a.Kind)
		l.queue = append(l.queue, a)
	}
	for _, l := range p.lanes {
		if l.busy || len(l.queue) == 0 {
			continue
		}
		n := min(len(l.queue), maxLaneBatch)
		l.busy = true
		l.work <- l.queue[:n:n]
		if l.queue = l.queue[n:]; len(l.queue) == 0 {
			l.queue = nil
		}
	}
}

// publish shows the others what the machine holds.
func (p *partition) publish() {
	for _, s := range p.machine.Settled() {
		p.Metrics.settled(s)
		p.traces.settled(&s)
	}
	stats, positions := p.machine.Stats(), p.machine.Positions()
	p.reading.messages = max(p.highWatermark-stats.Next, 0)
	var oldest time.Time
	if stats.Waiting > 0 {
		oldest = p.written.of(positions.Retry)
	}
	p.mu.Lock()
	p.snapshot, p.positions, p.behind, p.oldestWait = stats, positions, p.reading, oldest
	p.mu.Unlock()
	p.Metrics.observe(p.number, stats, p.reading.messages, p.stalled() != nil)
}

// takeoverPatience is how long taking a partition over may take. Each rebalance
// takes partitions over on many nodes at once: were they all not ready for that
// moment, clients would find no node.
const takeoverPatience = 10 * time.Second

// healthy says why the partition is not answered for, nil if it is.
func (p *partition) healthy() error {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	if taking := time.Since(p.created); !ready && taking > takeoverPatience {
		return fmt.Errorf("partition %d has been being taken over for %s", p.number, taking.Round(time.Second))
	}
	return errors.Join(p.stalled(), p.carrier.stalled())
}

// stalled says which lane has been trying to write for too long.
func (p *partition) stalled() error {
	const patience = 5 * time.Second
	for _, l := range p.lanes {
		if since := l.writingSince(); since > patience {
			return fmt.Errorf("partition %d has been trying to write to %s for %s", p.number, l.name, since.Round(time.Second))
		}
	}
	return nil
}

// toCommit returns the positions to be committed. They do not go back, unless a
// log is shorter than it was: receipts are read from further back than needed.
func (p *partition) toCommit() Positions {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, last := p.positions, p.committed
	now = Positions{max(now.Requests, last.Requests), max(now.Receipts, last.Receipts), max(now.Retry, last.Retry)}
	for topic, at := range p.rewound {
		*now.of(topic, p.Topics) = at
	}
	return now
}

func (p *partition) lastCommitted(topic string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.committed.of(topic, p.Topics)
}

func (p *partition) wasCommitted(topic string, at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*p.committed.of(topic, p.Topics) = at
}

// unhurried is how long requests may be left in the log where the custodian hears of
// their delivery later anyhow. Where gateways wait for its word to deliver, it is not.
//
// Each read that brings one record costs the same as one that brings a hundred, here
// and at the broker: at 5,000 messages a second that was more than delivering them.
func (p *partition) unhurried() time.Duration {
	const pause = 10 * time.Millisecond
	if p.Policy.Strict || p.carrier != nil {
		return 0
	}
	return pause
}

// pump reads ahead of the loop by one batch. A batch belongs to the loop until
// it says that it has processed it.
type pump struct {
	reader    Reader
	p         *partition
	batches   chan push.Batch
	processed chan struct{}
	// pause is made where the end of the log was reached: what comes meanwhile is
	// read together.
	pause time.Duration
}

func newPump(r Reader, p *partition) *pump {
	return &pump{reader: r, p: p, batches: make(chan push.Batch), processed: make(chan struct{}, 1)}
}

func (u *pump) run(ctx context.Context) error {
	for {
		batch, err := u.reader.Read(ctx)
		if err != nil {
			var lost *push.OffsetLostError
			switch {
			case !errors.As(err, &lost):
				return err // only the context ends reading
			case lost.Offset > lost.HighWatermark:
				return u.p.shrank(ctx, lost)
			}
			u.reader.SeekTo(u.p.offsetLost(lost))
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case u.batches <- batch:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-u.processed:
		}
		if u.pause > 0 && len(batch.Records) > 0 && batch.Next >= batch.HighWatermark {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(u.pause):
			}
		}
	}
}

// offsetLost reports that a log is not where it should be, and says where to go
// on: at its beginning when it was trimmed, at its end never - what is there
// must be answered for.
func (p *partition) offsetLost(lost *push.OffsetLostError) int64 {
	p.Metrics.offsetsLost.Inc()
	p.log.Error("the log does not hold the offset to read; going on at its start",
		zap.String("topic", lost.Topic), zap.Int64("offset", lost.Offset),
		zap.Int64("log_start", lost.LogStart), zap.Int64("high_watermark", lost.HighWatermark))
	return lost.LogStart
}

// shrank gives the partition back because a log is shorter than what was read of
// it: it was made anew, or has lost its end. Offsets that stand for something here
// are given out again. A successor starts where the log does, unless what it needs
// is there, and does not believe receipts that were written until now: they may
// speak of requests that are no more.
func (p *partition) shrank(ctx context.Context, lost *push.OffsetLostError) error {
	p.Metrics.offsetsLost.Inc()
	rewound := make(map[string]int64)
	if lost.Topic == p.Topics.Requests {
		_, end, err := p.Positioner.Bounds(ctx, p.Topics.Receipts, p.number)
		if err != nil {
			return fmt.Errorf("finding the end of %s: %w", p.Topics.Receipts, err)
		}
		rewound[p.Topics.Receipts] = end
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if *p.positions.of(lost.Topic, p.Topics) > lost.HighWatermark {
		rewound[lost.Topic] = lost.LogStart
	}
	p.rewound = rewound
	return fmt.Errorf("%s is shorter than what was read of it: %w", lost.Topic, lost)
}
