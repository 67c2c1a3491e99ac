package custody_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// memory is a message log in memory, its positions, and one generation of the
// group. Hooks make it fail as a real one does.
type memory struct {
	mu         sync.Mutex
	logs       map[place][]push.Record // by offset, from 0
	reading    map[place]int64         // where the latest reader of a partition is
	committed  map[string]map[int32]int64
	partitions int32
	assigned   int32

	// produce and find are asked first; nil: nothing is in the way.
	produce func(ctx context.Context, topic string) error
	commit  func(topic string, offsets map[int32]int64)
	find    func(offsets []int64) []int64
}

type place struct {
	topic     string
	partition int32
}

const (
	requestTopic = "requests"
	receiptTopic = "receipts"
	retryTopic   = "retry"
	deadTopic    = "dead"
)

func newMemory() *memory {
	return &memory{
		logs: map[place][]push.Record{}, reading: map[place]int64{}, partitions: 1,
		committed: map[string]map[int32]int64{requestTopic: {}, receiptTopic: {}, retryTopic: {}},
	}
}

func (m *memory) append(topic string, partition int32, records ...push.Record) []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := place{topic, partition}
	var offsets []int64
	for i := range records {
		rec := records[i].Clone()
		rec.Partition, rec.Offset, rec.Time = partition, int64(len(m.logs[at])), time.Now()
		m.logs[at] = append(m.logs[at], rec)
		offsets = append(offsets, rec.Offset)
	}
	return offsets
}

func (m *memory) records(topic string, partition int32) []push.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.logs[place{topic, partition}])
}

// anew empties a partition, as a topic that was deleted and made again.
func (m *memory) anew(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.logs, place{topic, 0})
}

func (m *memory) isRead(topic string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reading[place{topic, 0}]
}

func (m *memory) isCommitted(topic string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.committed[topic][0]
}

func (m *memory) count() int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.partitions
}

func (m *memory) grow(partitions int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partitions = partitions
}

type memoryReader struct {
	*memory
	at   place
	next int64
}

func (m *memory) NewReader(topic string, partition int32, offset int64) custody.Reader {
	return &memoryReader{memory: m, at: place{topic, partition}, next: offset}
}

func (r *memoryReader) SeekTo(offset int64) { r.next = offset }

func (r *memoryReader) Close() {}

func (r *memoryReader) Read(ctx context.Context) (push.Batch, error) {
	const most, patience = 10, 50 * time.Millisecond
	timer := time.NewTimer(patience)
	defer timer.Stop()
	if len(r.records(r.at.topic, r.at.partition)) <= int(r.next) {
		select {
		case <-ctx.Done():
			return push.Batch{}, ctx.Err()
		case <-timer.C:
		}
	}
	all := r.records(r.at.topic, r.at.partition)
	end := int64(len(all))
	if r.next > end {
		return push.Batch{}, &push.OffsetLostError{Topic: r.at.topic, Partition: r.at.partition, Offset: r.next, HighWatermark: end}
	}
	next := min(r.next+most, end)
	b := push.Batch{Records: all[r.next:next], Next: next, HighWatermark: end}
	r.next = next
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading[r.at] = next
	return b, nil
}

func (m *memory) Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error) {
	if m.produce != nil {
		if err := m.produce(ctx, topic); err != nil {
			return nil, err
		}
	}
	return m.append(topic, partition, records...), nil
}

func (m *memory) Find(_ context.Context, topic string, partition int32, offsets []int64) ([]push.Record, error) {
	if m.find != nil {
		offsets = m.find(offsets)
	}
	all := m.records(topic, partition)
	var found []push.Record
	for _, o := range offsets {
		if o < int64(len(all)) {
			found = append(found, all[o])
		}
	}
	return found, nil
}

func (m *memory) Bounds(_ context.Context, topic string, partition int32) (start, end int64, err error) {
	return 0, int64(len(m.records(topic, partition))), nil
}

func (m *memory) OffsetAt(_ context.Context, topic string, partition int32, t time.Time) (int64, error) {
	all := m.records(topic, partition)
	for i := range all {
		if !all[i].Time.Before(t) {
			return int64(i), nil
		}
	}
	return int64(len(all)), nil
}

func (m *memory) Partitions() []int32 { return []int32{m.assigned} }

func (m *memory) Committed(_ context.Context, topic string, _ []int32) (map[int32]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.committed[topic]), nil
}

func (m *memory) Commit(_ context.Context, topic string, offsets map[int32]int64) error {
	if m.commit != nil {
		m.commit(topic, offsets)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.committed[topic], offsets)
	return nil
}

func (m *memory) request(user string) {
	m.append(requestTopic, 0, push.Record{Key: []byte(user), Value: []byte(user)})
}

func (m *memory) say(r push.Receipt) {
	r.Node, r.Epoch = "A", 1
	m.append(receiptTopic, 0, push.Record{Value: r.AppendBinary(nil)})
}

// waits returns the users whose messages wait, in no order.
func (m *memory) waits(t *testing.T) []string {
	t.Helper()
	users := map[int64]string{} // by the name of the wait
	for _, rec := range m.records(retryTopic, m.assigned) {
		e, err := push.ParseRetry(&rec)
		require.NoError(t, err)
		if e.Ends {
			delete(users, e.Origin)
		} else {
			users[e.Origin] = e.User
		}
	}
	return slices.Collect(maps.Values(users))
}

// serve answers for partition 0 until stop is called, which returns what Serve
// returned.
func (m *memory) serve(t *testing.T, change ...func(*custody.Params)) (stop func() error, ended <-chan error) {
	t.Helper()
	p := custody.Params{
		Policy: policy(), Limits: push.Limits{DefaultTTL: 24 * time.Hour}, Partitions: m.count,
		Topics: custody.Topics{Requests: requestTopic, Receipts: receiptTopic, Retry: retryTopic, DeadLetter: deadTopic},
		Node:   "A", Log: m, Positioner: m, Logger: zap.NewNop(), Metrics: custody.NewMetrics(prometheus.NewRegistry()),
	}
	for _, c := range change {
		c(&p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- custody.New(p).Serve(ctx, m) }()
	return func() error {
		cancel()
		return <-done
	}, done
}

// counted returns the value of a counter.
func counted(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	require.Fail(t, "no such metric", name)
	return 0
}

// awhile lets time go by.
func awhile(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestAMessageThatCannotBeReadForAMomentIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		looks := 0
		m.find = func(offsets []int64) []int64 {
			if looks++; looks <= 3 { // a new leader does not show yet what the old one did
				return nil
			}
			return offsets
		}
		m.request("absent")
		stop, _ := m.serve(t)
		awhile(10 * time.Second)
		assert.Equal(t, []string{"absent"}, m.waits(t))
		require.NoError(t, stop())
		assert.Equal(t, int64(1), m.isCommitted(requestTopic))
	})
}

func TestALogThatBeganAnewIsAnsweredForFromItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		all := []string{"after-0", "after-1"}
		for i := range 10 {
			all = append(all, "before-"+strconv.Itoa(i))
			m.request(all[i+2])
		}
		_, ended := m.serve(t)
		awhile(5 * time.Second)
		require.Equal(t, int64(10), m.isCommitted(requestTopic))

		m.anew(requestTopic)
		m.request("after-0")
		m.request("after-1")
		select {
		case err := <-ended:
			require.Error(t, err, "who has read what is no more gives the partition back")
		case <-time.After(time.Minute):
			require.Fail(t, "the custodian goes on as if nothing had happened")
		}
		stop, _ := m.serve(t)
		awhile(5 * time.Second)
		assert.ElementsMatch(t, all, m.waits(t), "also where two have the same number")
		require.NoError(t, stop())
		assert.Equal(t, int64(len(m.records(requestTopic, 0))), m.isCommitted(requestTopic))
	})
}

func TestARetryLogThatBeganAnewIsNoticedByTheFirstWriteAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		registry := prometheus.NewRegistry()
		measured := func(p *custody.Params) { p.Metrics = custody.NewMetrics(registry) }
		m.request("before-0")
		m.request("before-1")
		_, ended := m.serve(t, measured)
		awhile(5 * time.Second)
		require.Equal(t, int64(0), m.isCommitted(retryTopic), "two wait")

		m.anew(retryTopic)
		m.request("after")
		select {
		case err := <-ended:
			require.ErrorContains(t, err, "retry is shorter than what was read of it")
		case <-time.After(time.Minute):
			require.Fail(t, "the custodian goes on as if nothing had happened")
		}
		assert.InDelta(t, 2, counted(t, registry, "pushgate_vanished_total"), 0, "what is lost is counted")
		stop, _ := m.serve(t)
		awhile(5 * time.Second)
		assert.Equal(t, []string{"after"}, m.waits(t))
		require.NoError(t, stop())
		assert.Equal(t, int64(3), m.isCommitted(requestTopic))
	})
}

func TestTheCommittedPositionsOfAPartitionAreOfOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		for range 10 {
			m.request("42")
		}
		m.say(push.Receipt{ReadThrough: 10, Queued: []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}})
		m.say(push.Receipt{ReadThrough: 10, Delivered: []int64{0, 1, 2, 3, 4}})
		var once sync.Once
		var receipts []int64
		m.commit = func(topic string, offsets map[int32]int64) {
			switch topic {
			case requestTopic: // takes its time, and meanwhile the rest is settled
				once.Do(func() {
					assert.Equal(t, int64(5), offsets[0])
					m.say(push.Receipt{ReadThrough: 10, Delivered: []int64{5, 6, 7, 8, 9}})
					<-time.After(time.Second)
				})
			case receiptTopic:
				receipts = append(receipts, offsets[0])
			}
		}
		stop, _ := m.serve(t)
		awhile(10 * time.Second)
		require.NoError(t, stop())
		assert.Equal(t, []int64{0, 3}, receipts, "not before the requests they speak of are committed")
	})
}

func TestAPositionThatIsNotInTheLogAnyMoreIsCommittedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.committed[requestTopic][0] = 1000
		m.request("absent")
		stop, _ := m.serve(t)
		awhile(5 * time.Second)
		assert.Equal(t, int64(1), m.isCommitted(requestTopic), "a successor would pass over what comes before 1000")
		require.NoError(t, stop())
	})
}

func TestReceiptsOfAnotherLogSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.committed[requestTopic][0] = 1000
		m.say(push.Receipt{ReadThrough: 1000, Delivered: []int64{0}})
		m.request("absent")
		stop, _ := m.serve(t)
		awhile(10 * time.Second)
		assert.Equal(t, []string{"absent"}, m.waits(t))
		require.NoError(t, stop())
	})
}

func TestWhatGatewaysSayAheadOfAStalledCustodianIsLeftInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.produce = func(ctx context.Context, topic string) error {
			if topic == retryTopic {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		for range 100 {
			m.request("absent")
		}
		stop, _ := m.serve(t, func(p *custody.Params) { p.Policy.Custody.MaxInFlight = 20 })
		awhile(5 * time.Second)
		const receipts = 10_000
		for o := range int64(receipts) {
			m.say(push.Receipt{ReadThrough: 1000 + o, Delivered: []int64{1000 + o}})
		}
		awhile(time.Minute)
		assert.Less(t, m.isRead(receiptTopic), int64(200), "nothing can be done with them, and they would fill the memory")
		require.NoError(t, stop())
	})
}

func TestWaitsMoveWhenPartitionsAreAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		user := "42"
		for i := 0; push.Home(user, 2) != 1; i++ {
			user = strconv.Itoa(i)
		}
		m.request(user)
		stop, _ := m.serve(t)
		awhile(5 * time.Second)
		require.Equal(t, []string{user}, m.waits(t))
		m.grow(2)
		awhile(5 * time.Second)
		require.Len(t, m.records(requestTopic, 1), 1, "its user's sessions are announced there")
		assert.Empty(t, m.waits(t))
		require.NoError(t, stop())
	})
}

func TestAPartitionWhoseNumberIsNotKnownYetIsNotEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.assigned = 1 // of two, of which one is known here
		user := "42"
		for i := 0; push.Home(user, 2) != 1; i++ {
			user = strconv.Itoa(i)
		}
		m.append(requestTopic, 1, push.Record{Key: []byte(user)})
		stop, _ := m.serve(t)
		awhile(5 * time.Second)
		assert.Empty(t, m.records(requestTopic, 0), "it would come back as soon as it is read there")
		m.grow(2)
		awhile(5 * time.Second)
		assert.Equal(t, []string{user}, m.waits(t))
		require.NoError(t, stop())
	})
}

func TestALogThatBreaksItsPromiseEndsTheAssignment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.produce = func(context.Context, string) error { return errors.New("given up") }
		m.request("absent")
		_, ended := m.serve(t)
		select {
		case err := <-ended:
			require.Error(t, err)
		case <-time.After(time.Minute):
			require.Fail(t, "a lane has ended and nobody knows")
		}
	})
}

func TestCommandsOfOperatorsAreDoneAndWhatIsNoCommandHoldsNothingUp(t *testing.T) {
	m := newMemory()
	stop, _ := m.serve(t)
	m.say(push.Receipt{Node: "A", Epoch: 1, Presence: push.Announce})
	m.request("42")
	m.say(push.Receipt{Node: "A", Epoch: 1, ReadThrough: 1})
	require.Eventually(t, func() bool { return len(m.waits(t)) == 1 }, 5*time.Second, time.Millisecond)
	discard, err := push.CommandRecord(push.Command{Kind: push.Discard, By: "ann", Why: "a test", Waits: []push.CommandWait{{User: "42", Origin: 0}}})
	require.NoError(t, err)
	m.append(receiptTopic, 0, push.Record{Key: []byte("operator"), Value: []byte(`{"command":"dance"}`)}, discard)
	require.Eventually(t, func() bool { return len(m.records(deadTopic, 0)) == 1 }, 5*time.Second, time.Millisecond)
	dead, err := push.ParseDeadLetter(&m.records(deadTopic, 0)[0])
	require.NoError(t, err)
	assert.Equal(t, push.Discarded, dead.Reason)
	assert.Equal(t, "discarded by ann: a test", dead.Error)
	require.NoError(t, stop())
}
