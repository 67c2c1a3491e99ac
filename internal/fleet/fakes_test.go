package fleet_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/fleet"
	"pushgate/internal/push"
)

const topic = "push.nodes"

// memoryLog is a topic in memory, whose broker has a clock of its own.
type memoryLog struct {
	mu      sync.Mutex
	ahead   time.Duration // of the broker's clock
	start   int64
	records []push.Record
	broken  error // of writes
}

func (l *memoryLog) write(_ context.Context, rec push.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	l.append(rec, time.Now().Add(l.ahead))
	return nil
}

func (l *memoryLog) append(rec push.Record, at time.Time) {
	rec.Offset, rec.Time = l.start+int64(len(l.records)), at
	l.records = append(l.records, rec)
}

// trim forgets all but the last n records.
func (l *memoryLog) trim(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := len(l.records) - n
	l.records = l.records[gone:]
	l.start += int64(gone)
}

func (l *memoryLog) Bounds(context.Context, string, int32) (start, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start, l.start + int64(len(l.records)), nil
}

func (l *memoryLog) OffsetAt(_ context.Context, _ string, _ int32, t time.Time) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.records {
		if !l.records[i].Time.Before(t) {
			return l.records[i].Offset, nil
		}
	}
	return l.start + int64(len(l.records)), nil
}

func (l *memoryLog) NewReader(_ string, _ int32, offset int64) fleet.Reader {
	return &memoryReader{log: l, next: offset}
}

type memoryReader struct {
	log  *memoryLog
	next int64
	read int // records, in all
}

func (r *memoryReader) SeekTo(offset int64) { r.next = offset }
func (r *memoryReader) Close()              {}

// Read returns up to a hundred records, or waits a little for there to be any.
func (r *memoryReader) Read(ctx context.Context) (push.Batch, error) {
	const wait, most = 100 * time.Millisecond, 100
	if b, err := r.now(most); err != nil || len(b.Records) > 0 {
		return b, err
	}
	select {
	case <-ctx.Done():
		return push.Batch{}, context.Cause(ctx)
	case <-time.After(wait):
		return r.now(most)
	}
}

func (r *memoryReader) now(most int) (push.Batch, error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	end := l.start + int64(len(l.records))
	if r.next < l.start || r.next > end {
		return push.Batch{}, &push.OffsetLostError{Topic: topic, Offset: r.next, LogStart: l.start, HighWatermark: end}
	}
	list := l.records[r.next-l.start:]
	list = list[:min(len(list), most)]
	r.next += int64(len(list))
	r.read += len(list)
	return push.Batch{Records: list, Next: r.next, LogStart: l.start, HighWatermark: end}, nil
}

// rig is a topic, nodes that report to it, and a view.
type rig struct {
	*testing.T
	log  *memoryLog
	view *fleet.View
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, log: &memoryLog{}}
	r.view = r.look()
	return r
}

// look starts another view.
func (r *rig) look() *fleet.View {
	r.Helper()
	v := fleet.NewView(fleet.Params{
		Log: r.log, Topic: topic, Partitions: func() int32 { return 4 }, Logger: zaptest.NewLogger(r, zaptest.Level(zap.ErrorLevel)),
	})
	r.background(v.Run)
	return v
}

// background runs something until the test ends.
func (r *rig) background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil {
			r.Errorf("ended: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	r.Cleanup(stop)
	return stop
}

// reporter is a node that reports what is to be reported.
type reporter struct {
	mu     sync.Mutex
	report fleet.Report
	speak  *fleet.Reporter
	stop   func() // in order
	dead   bool   // killed: it says nothing any more
}

func (n *reporter) set(change func(*fleet.Report)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.report)
}

// kill keeps the node from saying another word.
func (n *reporter) kill() {
	n.mu.Lock()
	n.dead = true
	n.mu.Unlock()
}

func (r *rig) node(id string, change ...func(*fleet.Report)) *reporter {
	r.Helper()
	now := time.Now()
	n := &reporter{report: fleet.Report{
		Node: id, Life: now.UnixMilli(), Started: now, Version: "1", Roles: []string{"gateway", "custodian"},
		Routing: "broadcast", Order: "relaxed", Ready: true,
	}}
	for _, c := range change {
		c(&n.report)
	}
	n.speak = fleet.NewReporter(fleet.ReporterParams{
		Config: fleet.DefaultNodesConfig(), Logger: zap.NewNop(),
		Gather: func() fleet.Report {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.report
		},
		Write: func(ctx context.Context, rec push.Record) error {
			n.mu.Lock()
			dead := n.dead
			n.mu.Unlock()
			if dead {
				return nil
			}
			return r.log.write(ctx, rec)
		},
	})
	n.stop = r.background(n.speak.Run)
	return n
}

// holding is a node with these partitions in custody.
func holding(partitions ...int32) func(*fleet.Report) {
	return func(r *fleet.Report) {
		r.Custody = nil
		for _, p := range partitions {
			r.Custody = append(r.Custody, fleet.Held{Partition: p})
		}
	}
}

// states of the nodes that are shown, "id state".
func states(f fleet.Fleet) []string {
	list := []string{}
	for i := range f.Nodes {
		list = append(list, f.Nodes[i].Node+" "+string(f.Nodes[i].State))
	}
	return list
}

// pass lets time go by.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		require.Fail(t, "the test ended")
	case <-time.After(d):
	}
}
