package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"

	"pushgate/internal/push"
)

// endless hands out the same batch of other gateways' requests, n times.
type endless struct {
	batch push.Batch
	n     int
}

func (e *endless) Read(context.Context) (push.Batch, error) {
	if e.n == 0 {
		return push.Batch{}, context.Canceled
	}
	e.n--
	e.batch.Next += int64(len(e.batch.Records))
	return e.batch, nil
}

func (*endless) SeekTo(int64) {}
func (*endless) Close()       {}

func (e *endless) NewReader(string, int32, int64) Reader { return e }

func (*endless) Produce(context.Context, string, int32, []push.Record) ([]int64, error) {
	return nil, nil
}

// elsewhere holds nobody who is asked for.
type elsewhere map[string]bool

func (e elsewhere) Of(user []byte) push.Recipient {
	if e[string(user)] {
		return everywhere{}
	}
	return nil
}

// one user is here.
func one() int { return 1 }

// droppedRecords is how many each batch has that is dropped.
const droppedRecords = 1000

// newDropping returns what reads batches of requests for users of other gateways.
func newDropping() func(ctx context.Context, batches int) {
	e := &endless{batch: push.Batch{Records: make([]push.Record, droppedRecords)}}
	for i := range e.batch.Records {
		e.batch.Records[i] = push.Record{Key: fmt.Append(nil, "user", i), Value: []byte("x"), Time: time.Now()}
	}
	g := New(Params{
		Config: DefaultConfig(), Log: e, Hub: elsewhere{"here": true}, Users: one, Partitions: func() int32 { return 1 },
		Logger: zap.NewNop(), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	w := newWorker(g, 0, 0, false)
	return func(ctx context.Context, batches int) {
		e.n = batches
		_, _ = w.read(ctx, w.at.Load())
	}
}

func TestARequestOfAnotherGatewaysUserIsDroppedWithoutAnAllocation(t *testing.T) {
	const batches = 10
	read := newDropping()
	each := testing.AllocsPerRun(10, func() { read(t.Context(), batches) }) / (batches * droppedRecords)
	assert.Less(t, each, 0.01)
}

func TestARequestOfThisGatewaysUserCostsItselfAndItsTexts(t *testing.T) {
	w := newWorkerForAll(DefaultConfig())
	rec := push.Record{
		Key: []byte("user"), Value: []byte(`{"order":991}`), Time: time.Now(),
		Headers: push.NewHeaders(push.Header{Key: push.HeaderID, Value: []byte("0194f6a2-7a3c-7bfb-8f1f-3f1c2d9e0001")}),
	}
	const records = 1000
	round := func() {
		for range records {
			w.deliver(&rec, everywhere{})
			rec.Offset++
		}
		w.ledger.Read(rec.Offset)
		r := w.ledger.Cut()
		w.ledger.Durable(&r)
	}
	round() // its books have room
	assert.Less(t, testing.AllocsPerRun(10, round)/records, 2.1)
}

// BenchmarkDropping is what a request of another gateway's user costs, the
// reading and the real hub left out: what most of broadcast is.
func BenchmarkDropping(b *testing.B) {
	read := newDropping()
	b.ReportAllocs()
	b.ResetTimer()
	read(b.Context(), b.N)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*droppedRecords), "ns/record")
}

// everywhere holds everybody, and has delivered a message as soon as it gets it.
type everywhere struct{}

func (e everywhere) Of([]byte) push.Recipient { return e }

func (everywhere) Deliver(m *push.Message, r push.Reporter) bool {
	r.Report(m, push.Done, push.ReasonNone)
	return true
}

// newGatewayForAll returns a gateway of one partition at which everybody is.
func newGatewayForAll(c Config) *Gateway {
	return New(Params{
		Config: c, Hub: everywhere{}, Users: one, Partitions: func() int32 { return 1 }, Limits: push.Limits{DefaultTTL: time.Hour},
		Logger: zap.NewNop(), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
}

func newWorkerForAll(c Config) *worker {
	w := newWorker(newGatewayForAll(c), 0, 0, false)
	w.partitions = 1
	return w
}

// BenchmarkDelivering is what a request of this gateway's user costs, the reading,
// the real hub and the socket left out, with and without the window of repeats.
func BenchmarkDelivering(b *testing.B) {
	for _, window := range []int{0, 64} {
		b.Run(fmt.Sprint("window ", window), func(b *testing.B) {
			config := DefaultConfig()
			config.RepeatWindow = window
			w := newWorkerForAll(config)
			const users = 1000
			var keys [users][]byte
			for i := range keys {
				keys[i] = fmt.Append(nil, "user", i)
			}
			rec := push.Record{Value: make([]byte, 256), Time: time.Now()}
			b.ReportAllocs()
			for b.Loop() {
				rec.Key = keys[rec.Offset%users]
				w.deliver(&rec, everywhere{})
				rec.Offset++
				if rec.Offset%users == 0 {
					w.ledger.Read(rec.Offset)
					r := w.ledger.Cut()
					w.ledger.Durable(&r)
				}
			}
		})
	}
}

// BenchmarkCarrying is what a message of a call costs, the real hub and the socket
// left out.
func BenchmarkCarrying(b *testing.B) {
	const records = 500
	g := newGatewayForAll(DefaultConfig())
	g.workers, g.err = []*worker{newWorker(g, 0, 0, true)}, nil
	c := push.Carriage{Records: make([]push.Record, records)}
	for i := range c.Records {
		c.Records[i] = push.Record{Key: fmt.Append(nil, "user", i), Value: make([]byte, 256), Time: time.Now()}
	}
	offset := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range c.Records {
			c.Records[i].Offset = offset
			offset++
		}
		_, _ = g.Carry(b.Context(), &c)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}
