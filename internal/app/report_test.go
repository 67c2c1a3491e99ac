package app

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/config"
	"pushgate/internal/custody"
	"pushgate/internal/delivery"
	"pushgate/internal/fleet"
)

func TestTheLatencyOfAReportIsThatOfTheLastIntervalOnly(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: []float64{.01, .1, 1}})
	registry.MustRegister(h)
	var b buckets
	look := func() fleet.Latency {
		families, err := registry.Gather()
		require.NoError(t, err)
		return b.since(families[0])
	}
	assert.Zero(t, look())
	for range 98 {
		h.Observe(.005)
	}
	h.Observe(.5)
	h.Observe(.5)
	first := look()
	assert.EqualValues(t, 100, first.Count)
	assert.InDelta(t, .0051, first.P50, .0001)
	assert.InDelta(t, .55, first.P99, .01, "half of the way through its bucket")
	assert.Zero(t, look(), "nothing came since")
	h.Observe(100)
	assert.Equal(t, fleet.Latency{P50: 1, P99: 1, Count: 1}, look(), "beyond the last bound, that bound")
}

// running returns a development platform that is ready, until the test ends.
func running(t testing.TB) *Dev {
	t.Helper()
	c := config.Default()
	c.Node.ID = "dev"
	c.Dev.KafkaListen, c.Dev.DataDir = "127.0.0.1:0", t.TempDir()
	c.Gateway.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Kafka.SessionTimeout, c.Drain.Timeout = time.Second, 0
	c.Nodes.ReportInterval = 100 * time.Millisecond
	d, err := NewDev(t.Context(), Params{Config: c, Logger: zap.NewNop(), Version: "test"})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	<-d.Up()
	return d
}

func TestANodeSeesItselfByWhatItReports(t *testing.T) {
	d := running(t)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		f := d.fleet.Fleet()
		require.Len(c, f.Nodes, 1)
		n := f.Nodes[0]
		assert.Equal(c, fleet.Alive, n.State)
		assert.True(c, n.Ready)
		assert.Equal(c, d.GatewayAddr(), n.Gateway)
		assert.Equal(c, "test", n.Version)
		assert.Len(c, n.Reading, devPartitions)
		assert.Len(c, n.Custody, devPartitions)
		assert.Empty(c, f.Uncustodied)
		assert.Empty(c, f.Warnings)
	}, 20*time.Second, 20*time.Millisecond)
}

func BenchmarkPuttingAReportTogether(b *testing.B) {
	d := running(b)
	// As many series as a node with 24 partitions has, about.
	registry := newRegistry("test", settings{})
	custody.NewMetrics(registry)
	delivery.NewMetrics(registry)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name}, []string{"partition"})
		registry.MustRegister(g)
		for p := range 24 {
			g.WithLabelValues(strconv.Itoa(p)).Set(1)
		}
	}
	s := d.newSpeaker("test", registry)
	b.ReportAllocs()
	for b.Loop() {
		s.report()
	}
}
