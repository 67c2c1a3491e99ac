package operations_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// memory is a topic in memory: what is written has the time it was written at.
type memory struct {
	mu   sync.Mutex
	logs map[int32][]push.Record
}

func newMemory() *memory { return &memory{logs: make(map[int32][]push.Record)} }

func (m *memory) Partitions(context.Context, string) (int32, error)        { return 4, nil }
func (m *memory) PresentPartitions(context.Context, string) (int32, error) { return 4, nil }

func (m *memory) Bounds(_ context.Context, _ string, p int32) (start, end int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return 0, int64(len(m.logs[p])), nil
}

func (m *memory) OffsetAt(_ context.Context, _ string, p int32, t time.Time) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range m.logs[p] {
		if !r.Time.Before(t) {
			return int64(i), nil
		}
	}
	return int64(len(m.logs[p])), nil
}

func (m *memory) Produce(ctx context.Context, _ string, p int32, list []push.Record) ([]int64, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var at []int64
	for _, r := range list {
		r = r.Clone()
		r.Time, r.Offset, r.Partition = time.Now(), int64(len(m.logs[p])), p
		m.logs[p] = append(m.logs[p], r)
		at = append(at, r.Offset)
	}
	return at, nil
}

func (m *memory) NewReader(_ string, p int32, at int64) operations.Reader {
	return &memoryReader{m: m, p: p, at: at}
}

type memoryReader struct {
	m  *memory
	p  int32
	at int64
}

func (r *memoryReader) Read(ctx context.Context) (push.Batch, error) {
	if ctx.Err() != nil {
		return push.Batch{}, ctx.Err()
	}
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	end := int64(len(r.m.logs[r.p]))
	b := push.Batch{Records: append([]push.Record(nil), r.m.logs[r.p][r.at:end]...), Next: end, HighWatermark: end}
	r.at = end
	return b, nil
}
func (r *memoryReader) SeekTo(at int64) { r.at = at }
func (r *memoryReader) Close()          {}

// asleep is a machine whose way to the log stands still for a while: a laptop that is
// closed, a process that is stopped, a network that is away.
type asleep struct {
	*memory
	mu    sync.Mutex
	until time.Time
}

func (a *asleep) Produce(ctx context.Context, topic string, p int32, list []push.Record) ([]int64, error) {
	a.mu.Lock()
	until := a.until
	a.mu.Unlock()
	if d := time.Until(until); d > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(d):
		}
	}
	return a.memory.Produce(ctx, topic, p, list)
}

func TestAnOperationThatWasSilentForTooLongIsNotHeldByItsOwnNextBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kafka := newMemory()
		laptop := &asleep{memory: kafka}
		first, err := operations.New(laptop, topic).Begin(t.Context(), replayOf(0), false)
		require.NoError(t, err)
		defer func() { _, _ = first.End(t.Context(), operations.Done, nil) }()

		laptop.mu.Lock()
		laptop.until = time.Now().Add(20 * time.Second)
		laptop.mu.Unlock()
		<-time.After(18 * time.Second)
		second, err := operations.New(kafka, topic).Begin(t.Context(), replayOf(0), false)
		require.NoError(t, err, "the first was silent for longer than Silence")
		defer func() { _, _ = second.End(t.Context(), operations.Done, nil) }()

		<-time.After(8 * time.Second) // the first one's beats go through again
		err = first.Held(t.Context())
		require.ErrorIs(t, err, operations.ErrBusy, "both run over the same letters")
	})
}
