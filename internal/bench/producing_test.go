package bench_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/bench"
	"pushgate/internal/client"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/embedded"
)

// BenchmarkProducing is how fast the generator writes when nobody reads: what it
// can load a deployment with at most.
func BenchmarkProducing(b *testing.B) {
	broker, err := embedded.Start(b.Context(), embedded.Config{Listen: "127.0.0.1:0", DataDir: b.TempDir()})
	require.NoError(b, err)
	defer func() { require.NoError(b, broker.Close()) }()
	config := kafka.DefaultConfig()
	config.Brokers = broker.Addresses()
	cluster, err := kafka.Open(kafka.Params{Config: config, Logger: zap.NewNop()})
	require.NoError(b, err)
	defer func() { _ = cluster.Close() }()
	const partitions = 8
	require.NoError(b, cluster.ApplyTopics(b.Context(), config.TopicSpecs(partitions, 1, 1<<16)))

	load := bench.DefaultConfig()
	load.Rate, load.OfflineShare, load.ConnectRate, load.Settle = 0, 1, 1<<20, time.Millisecond
	load.WarmUp, load.Duration = time.Second, 3*time.Second
	for b.Loop() {
		report, err := bench.Run(b.Context(), bench.Params{
			Config: load, Topic: config.Topics.Requests, Partitions: partitions, Log: cluster,
			NewDevice: func(p bench.DeviceParams) (bench.Device, error) { return deaf{p}, nil },
		})
		require.NoError(b, err)
		b.ReportMetric(report.ProducedPerSecond, "msg/s")
	}
}

// deaf connects and hears nothing.
type deaf struct{ bench.DeviceParams }

func (d deaf) RunRaw(ctx context.Context, _ func([]byte) error) error {
	d.OnState(client.Connecting, nil)
	d.OnState(client.Open, nil)
	<-ctx.Done()
	return nil
}
