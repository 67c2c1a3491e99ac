package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/push"
)

// Reader reads the topic in order. Read blocks for a short while when there is
// nothing to read and then returns an empty batch; it returns only the context's
// error or a *push.OffsetLostError, or gives up. The batch is valid until the next
// Read.
type Reader interface {
	Read(ctx context.Context) (push.Batch, error)
	SeekTo(offset int64)
	Close()
}

// Log is where reports are. Every method blocks until it is done or ctx ends.
type Log interface {
	NewReader(topic string, partition int32, offset int64) Reader
	Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error)
	// OffsetAt returns the first offset written at or after t, the end if none.
	OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error)
}

// reports is the partition of the topic that all nodes write to, so that there is
// one order.
const reports int32 = 0

// history is how far back a View reads everything; older reports only say which nodes
// there were.
const history = 15 * time.Minute

// Params of a View.
type Params struct {
	Log   Log
	Topic string // of the nodes
	// Partitions returns how many partitions the request topic has; 0: not known.
	Partitions func() int32
	Logger     *zap.Logger
}

// View knows the nodes by what they report. Safe for concurrent use.
type View struct {
	p Params

	mu        sync.RWMutex
	lives     map[identity]*life
	malformed int64
	// skew is by how much the brokers' clock is ahead of the one here. Only what is
	// read as it is written tells: until then it is taken to be 0.
	skew      time.Duration
	caughtUp  bool
	heard     bool // a report was read as it was written
	announced chan struct{}
}

// identity of a process.
type identity struct {
	node string
	life int64
}

// NewView returns a view that knows nothing yet.
func NewView(p Params) *View {
	return &View{p: p, lives: make(map[identity]*life), announced: make(chan struct{})}
}

// Run reads the topic until ctx ends, and returns nil then. It returns an error when
// the log gives up. It may be called again.
func (v *View) Run(ctx context.Context) error {
	old := thinning{take: v.take, taken: make(map[string]time.Time), left: make(map[string]push.Record)}
	found, err := skimming{log: v.p.Log, topic: v.p.Topic, back: history, visit: old.visit}.run(ctx)
	if err == nil {
		old.end()
		v.caught()
		err = v.tail(ctx, found.end)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	return err
}

// thinning takes one of some reports of each node, and its last: to decode them all
// would keep a node that starts busy for seconds, where there are many.
type thinning struct {
	take  func(*push.Record)
	taken map[string]time.Time   // by node: the time of the last one taken
	left  map[string]push.Record // the last one, if that was not taken
}

// thin is how far apart those are that are taken: below the silence of a node.
const thin = 6 * time.Second

func (t *thinning) visit(rec *push.Record) {
	node := string(rec.Key)
	if rec.Time.Sub(t.taken[node]) < thin {
		t.left[node] = rec.Clone()
		return
	}
	t.taken[node] = rec.Time
	delete(t.left, node)
	t.take(rec)
}

// end takes what was left.
func (t *thinning) end() {
	for _, rec := range t.left {
		t.take(&rec)
	}
}

// tail reads what comes.
func (v *View) tail(ctx context.Context, at int64) error {
	reader := v.p.Log.NewReader(v.p.Topic, reports, at)
	defer reader.Close()
	for {
		batch, err := reader.Read(ctx)
		if lost, ok := errors.AsType[*push.OffsetLostError](err); ok {
			v.p.Logger.Info("reports were trimmed before they were read; going on at the start of the log", zap.Error(lost))
			reader.SeekTo(lost.LogStart)
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", v.p.Topic, err)
		}
		for i := range batch.Records {
			v.take(&batch.Records[i])
		}
		if n := len(batch.Records); n > 0 && batch.Next >= batch.HighWatermark {
			v.adjust(batch.Records[n-1].Time)
		}
	}
}

// take takes in one record. It keeps nothing of it.
func (v *View) take(rec *push.Record) {
	r, err := Decode(rec.Value)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		if v.malformed++; v.malformed == 1 {
			v.p.Logger.Warn("a record of the nodes' topic is no report, and is passed over, as all that follow",
				zap.Int64("offset", rec.Offset), zap.Error(err))
		}
		return
	}
	id := identity{node: r.Node, life: r.Life}
	l := v.lives[id]
	if l == nil {
		l = &life{}
		v.lives[id] = l
		v.forget(rec.Time)
	}
	l.take(r, rec.Time)
}

// retained is how long a process that is gone is remembered, as the topic does.
const retained = 6 * time.Hour

// forget drops processes that are of no interest any more: gone for long, or gone from
// the charts where their node has another.
func (v *View) forget(now time.Time) {
	latest := make(map[string]time.Time)
	for id, l := range v.lives {
		if l.last.After(latest[id.node]) {
			latest[id.node] = l.last
		}
	}
	for id, l := range v.lives {
		age := now.Sub(l.last)
		if l.report != nil && (age > retained || age > history && latest[id.node].After(l.last)) {
			delete(v.lives, id)
		}
	}
}

func (v *View) caught() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.caughtUp = true
	v.news()
}

// adjust takes in that a record was read just after it was written. It was read later
// than it was written, never earlier: the least difference is nearest to the truth.
func (v *View) adjust(written time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	const slowly = 8 // a clock may be set back
	skew := time.Until(written)
	if v.heard && skew < v.skew {
		skew = v.skew - (v.skew-skew)/slowly
	}
	v.skew, v.heard = skew, true
	v.news()
}

// news wakes those who await something. The caller holds mu.
func (v *View) news() {
	close(v.announced)
	v.announced = make(chan struct{})
}

// Await blocks until everything that was in the topic has been read, and then until a
// node reports, but for that not longer than patience: only a report that is read as it
// is written tells what the brokers' clock says, without which a clock here that is
// wrong makes nodes look silent. It returns the context's error.
func (v *View) Await(ctx context.Context, patience time.Duration) error {
	timer := time.NewTimer(patience)
	timer.Stop()
	defer timer.Stop()
	for waits := false; ; {
		v.mu.RLock()
		caughtUp, heard, news := v.caughtUp, v.heard, v.announced
		v.mu.RUnlock()
		if heard {
			return nil
		}
		if caughtUp && !waits {
			waits = true
			timer.Reset(patience)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("reading the reports of the nodes: %w", context.Cause(ctx))
		case <-news:
		case <-timer.C:
			return nil
		}
	}
}
