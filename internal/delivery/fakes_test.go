package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"pushgate/internal/delivery"
	"pushgate/internal/push"
)

const requests, receipts = "push.requests", "push.receipts"

// fakeLog is a log in memory. Requests are appended by the test; receipts by the
// gateway.
type fakeLog struct {
	mu        sync.Mutex
	requests  map[int32][]push.Record
	starts    map[int32]int64 // first offset held
	perRead   int             // records a read brings at most
	appended  chan struct{}   // closed and replaced when something was
	said      []receipt
	journal   []string
	open      int           // readers not closed
	hold      chan struct{} // if there is one, receipts wait until it is closed
	mute      chan struct{} // if there is one, reads are not answered until it is closed
	refuse    error         // of receipts, if there is one
	committed map[int32]delivery.Position
	commits   int
	commitErr error
	// custodians have settled what is below, where there is an entry.
	custodians    map[int32]int64
	custodiansErr error
}

// receipt is one that is durable, and when it became so.
type receipt struct {
	push.Receipt

	partition int32
	at        time.Time
}

func newFakeLog() *fakeLog {
	return &fakeLog{
		requests: map[int32][]push.Record{}, starts: map[int32]int64{}, perRead: 100, appended: make(chan struct{}),
		committed: map[int32]delivery.Position{},
	}
}

// add appends requests to a partition.
func (l *fakeLog) add(partition int32, records ...push.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		r.Partition, r.Offset = partition, l.end(partition)
		if r.Time.IsZero() {
			r.Time = time.Now()
		}
		l.requests[partition] = append(l.requests[partition], r)
	}
	close(l.appended)
	l.appended = make(chan struct{})
}

// fill appends requests of a user who is nowhere.
func (l *fakeLog) fill(partition int32, n int) {
	l.add(partition, slices.Repeat([]push.Record{{Key: []byte("nobody")}}, n)...)
}

// trim makes start the first offset that is held.
func (l *fakeLog) trim(partition int32, start int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests[partition] = l.requests[partition][start-l.starts[partition]:]
	l.starts[partition] = start
}

func (l *fakeLog) end(partition int32) int64 {
	return l.starts[partition] + int64(len(l.requests[partition]))
}

func (l *fakeLog) note(format string, args ...any) {
	l.journal = append(l.journal, fmt.Sprintf(format, args...))
}

// events returns what happened, in order.
func (l *fakeLog) events() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.journal)
}

// receipts returns those of a partition that are durable.
func (l *fakeLog) receipts(partition int32) []receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []receipt
	for _, r := range l.said {
		if r.partition == partition {
			list = append(list, r)
		}
	}
	return list
}

func (l *fakeLog) position(partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.committed[partition]
	if !ok {
		return -1
	}
	return p.Offset
}

func (l *fakeLog) commitCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commits
}

// set changes how the log behaves.
func (l *fakeLog) set(change func(*fakeLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *fakeLog) NewReader(topic string, partition int32, offset int64) delivery.Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	l.note("read %s/%d from %d", topic, partition, offset)
	return &fakeReader{log: l, partition: partition, next: offset}
}

func (l *fakeLog) Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error) {
	l.mu.Lock()
	hold, refuse := l.hold, l.refuse
	l.mu.Unlock()
	if refuse != nil {
		return nil, refuse
	}
	if hold != nil {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-hold:
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var offsets []int64
	for _, rec := range records {
		r, err := push.DecodeReceipt(rec.Value)
		if err != nil || topic != receipts {
			return nil, fmt.Errorf("no receipt in %s: %w", topic, err)
		}
		if r.Presence != push.Heartbeat {
			l.note("receipt %d presence %d through %d", partition, r.Presence, r.ReadThrough)
		}
		offsets = append(offsets, int64(len(l.said)))
		l.said = append(l.said, receipt{Receipt: r, partition: partition, at: time.Now()})
	}
	return offsets, nil
}

type fakeReader struct {
	log       *fakeLog
	partition int32
	next      int64
}

func (r *fakeReader) SeekTo(offset int64) { r.next = offset }

func (r *fakeReader) Close() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.open--
}

func (r *fakeReader) Read(ctx context.Context) (push.Batch, error) {
	r.log.mu.Lock()
	mute := r.log.mute
	r.log.mu.Unlock()
	if mute != nil {
		select {
		case <-ctx.Done():
			return push.Batch{}, context.Cause(ctx)
		case <-mute:
		}
	}
	batch, more, err := r.take()
	if err != nil || len(batch.Records) > 0 {
		return batch, err
	}
	select {
	case <-ctx.Done():
		return batch, context.Cause(ctx)
	case <-time.After(time.Second):
		return batch, nil
	case <-more:
		batch, _, err = r.take()
		return batch, err
	}
}

func (r *fakeReader) take() (push.Batch, <-chan struct{}, error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	start, end := l.starts[r.partition], l.end(r.partition)
	if r.next < start || r.next > end {
		return push.Batch{}, nil, &push.OffsetLostError{
			Topic: requests, Partition: r.partition, Offset: r.next, LogStart: start, HighWatermark: end,
		}
	}
	records := l.requests[r.partition][r.next-start:]
	records = slices.Clone(records[:min(len(records), l.perRead)])
	r.next += int64(len(records))
	return push.Batch{Records: records, Next: r.next, LogStart: start, HighWatermark: end}, l.appended, nil
}

// Bounds, Committed and Commit are those of delivery.Positions.
func (l *fakeLog) Bounds(_ context.Context, partition int32) (start, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.starts[partition], l.end(partition), nil
}

func (l *fakeLog) Committed(_ context.Context, partitions []int32) (map[int32]delivery.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[int32]delivery.Position{}
	for _, p := range partitions {
		at, ok := l.committed[p]
		if !ok {
			at.Offset = -1
		}
		found[p] = at
	}
	return found, nil
}

func (l *fakeLog) Custodians(_ context.Context, partitions []int32) (map[int32]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.custodiansErr != nil {
		return nil, l.custodiansErr
	}
	found := map[int32]int64{}
	for _, p := range partitions {
		at, ok := l.custodians[p]
		if !ok {
			at = -1
		}
		found[p] = at
	}
	return found, nil
}

var errAway = errors.New("the coordinator is away")

func (l *fakeLog) Commit(_ context.Context, positions map[int32]delivery.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.commitErr != nil {
		return l.commitErr
	}
	l.commits++
	for p, at := range positions {
		l.note("commit %d at %d", p, at.Offset)
		l.committed[p] = at
	}
	return nil
}

// fakeHub has one session a user. What it does with a message is the test's.
type fakeHub struct {
	mu    sync.Mutex
	users map[string]func(*push.Message, push.Reporter) bool
}

func (h *fakeHub) Of(user []byte) push.Recipient {
	h.mu.Lock()
	defer h.mu.Unlock()
	if take := h.users[string(user)]; take != nil {
		return recipient(take)
	}
	return nil
}

func (h *fakeHub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.users)
}

type recipient func(*push.Message, push.Reporter) bool

func (r recipient) Deliver(m *push.Message, to push.Reporter) bool { return r(m, to) }

// sessions are those that take every type.
func (h *fakeHub) sessions() []push.Binding {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]push.Binding, 0, len(h.users))
	for user := range h.users {
		list = append(list, push.Binding{User: user, Type: push.AllTypes})
	}
	return list
}

func (h *fakeHub) close(user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.users, user)
}

func (h *fakeHub) open(user string, take func(*push.Message, push.Reporter) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users[user] = take
}

// delivers is a session that takes what comes.
func delivers(m *push.Message, r push.Reporter) bool {
	r.Report(m, push.Done, push.ReasonNone)
	return true
}

// slow is a session that keeps what comes until it is told to go on.
type slow struct {
	mu   sync.Mutex
	kept []func(push.Status, push.Reason)
}

func (s *slow) take(m *push.Message, r push.Reporter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, func(status push.Status, reason push.Reason) { r.Report(m, status, reason) })
	return true
}

func (s *slow) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// goOn reports on all that is kept.
func (s *slow) goOn(status push.Status, reason push.Reason) {
	s.mu.Lock()
	kept := s.kept
	s.kept = nil
	s.mu.Unlock()
	for _, report := range kept {
		report(status, reason)
	}
}
