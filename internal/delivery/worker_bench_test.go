package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

func (e elsewhere) Owns(user []byte) bool                   { return e[string(user)] }
func (elsewhere) Deliver(*push.Message, push.Reporter) bool { return false }

// BenchmarkDropping is what a request of another gateway's user costs, the
// reading and the real hub left out: what most of broadcast is.
func BenchmarkDropping(b *testing.B) {
	const records = 1000
	e := &endless{batch: push.Batch{Records: make([]push.Record, records)}}
	for i := range e.batch.Records {
		e.batch.Records[i] = push.Record{Key: fmt.Append(nil, "user", i), Value: []byte("x"), Time: time.Now()}
	}
	g := New(Params{
		Config: DefaultConfig(), Log: e, Hub: elsewhere{"here": true}, Partitions: func() int32 { return 1 },
		Logger: zap.NewNop(), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	w := newWorker(g, 0, 0)
	e.n = b.N
	b.ReportAllocs()
	b.ResetTimer()
	_ = w.read(b.Context())
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}
