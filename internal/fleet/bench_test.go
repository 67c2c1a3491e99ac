package fleet_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/fleet"
	"pushgate/internal/push"
)

// full is the report of a busy node that reads and holds so many partitions.
func full(node string, reads, holds int) fleet.Report {
	r := fleet.Report{
		Node: node, Life: 1795580000000, At: time.Now(), Version: "v1.24.3-0.20261125-abcdef", Started: time.Now(), Interval: 2,
		Roles: []string{"gateway", "custodian"}, Gateway: "10.11.12.13:8080", Admin: "10.11.12.13:8081", Routing: "broadcast", Order: "relaxed",
		Ready:    true,
		Checks:   map[string]string{"draining": "ok", "kafka": "ok", "topics": "ok", "delivery": "ok", "receipts": "ok", "custody": "ok"},
		Details:  map[string]string{"canary": "delivered 0.012s ago, 3.4 ms"},
		Sessions: 98765, Users: 87654, CPU: 12345.67, RSS: 1234567890,
		Counters: fleet.Counters{
			Read: 12345678901, Dropped: 12345678000, Delivered: 1234567, Held: 1234567, Failed: 12345, Repeats: 1234, Requests: 1234567,
			Outcomes: map[string]int64{"delivered": 12345678, "expired": 12345, "dead_lettered": 123},
			Dead:     map[string]int64{"invalid": 123, "too_large": 123, "expired": 12345, "exhausted": 123, "overflow": 123, "discarded": 123},
			Waits:    map[string]int64{"write_error": 1234, "slow_consumer": 1234, "ack_timeout": 1234, "unreachable": 1234, "offline": 1234567},
		},
		Latency: fleet.Latency{P50: .00123, P99: .12345, Count: 12345},
	}
	for p := range reads {
		r.Reading = append(r.Reading, fleet.Reading{Partition: int32(p), Position: 1234567890, End: 1234568890, LagMessages: 1000, LagSeconds: 1.25})
	}
	for p := range holds {
		r.Custody = append(r.Custody, fleet.Held{
			Partition: int32(p), InFlight: 1234, Waiting: 12345, LagMessages: 1000, LagSeconds: 1.25, OldestWait: time.Now().UTC().Truncate(time.Second),
		})
	}
	return r
}

func TestAReportOf24PartitionsIsBelow8KB(t *testing.T) {
	r := full("gateway-1.push.example.internal", 24, 24)
	b, err := r.Encode()
	require.NoError(t, err)
	t.Logf("a node that reads 24 partitions and holds all of them: %d bytes", len(b))
	require.Less(t, len(b), 8<<10)
	r = full("gateway-1.push.example.internal", 24, 1)
	few, err := r.Encode()
	require.NoError(t, err)
	t.Logf("one of 30 such nodes, which holds 1: %d bytes", len(few))
	back, err := fleet.Decode(b)
	require.NoError(t, err)
	again, err := back.Encode()
	require.NoError(t, err)
	require.JSONEq(t, string(b), string(again))
}

func BenchmarkEncodingAReport(b *testing.B) {
	r := full("gateway-1", 24, 24)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

// fill writes what 30 nodes report in a time.
func fill(b *testing.B, nodes int, over time.Duration) *memoryLog {
	b.Helper()
	l := &memoryLog{}
	began := time.Now().Add(-over)
	for at := began; at.Before(time.Now()); at = at.Add(2 * time.Second) {
		for n := range nodes {
			r := full(fmt.Sprint("gateway-", n), 24, 1)
			r.At, r.Counters.Delivered = at, int64(at.Sub(began).Seconds())*1000
			value, err := r.Encode()
			require.NoError(b, err)
			l.append(push.Record{Key: []byte(r.Node), Value: value}, at)
		}
	}
	return l
}

func viewOf(l *memoryLog) *fleet.View {
	return fleet.NewView(fleet.Params{Log: l, Topic: topic, Partitions: func() int32 { return 24 }, Logger: zap.NewNop()})
}

// A node that starts reads 15 minutes of reports of 30 nodes.
func BenchmarkAViewThatStartsWith30Nodes(b *testing.B) {
	l := fill(b, 30, 15*time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		v := viewOf(l)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(ctx) }()
		require.NoError(b, v.Await(ctx, time.Millisecond))
		cancel()
		require.NoError(b, <-ended)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(l.records)), "µs/report")
}

func BenchmarkQuestionsToAViewOf30Nodes(b *testing.B) {
	v := viewOf(fill(b, 30, 15*time.Minute))
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	require.NoError(b, v.Await(ctx, time.Millisecond))
	b.Run("overview of 15 minutes", func(b *testing.B) {
		for b.Loop() {
			v.Overview(15)
		}
	})
	b.Run("nodes", func(b *testing.B) {
		for b.Loop() {
			v.Fleet()
		}
	})
	cancel()
	require.NoError(b, <-ended)
}
