// Package kafkatest gives tests a broker and a cluster with the platform's
// topics.
package kafkatest

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/kafka"
	"pushgate/internal/kafka/embedded"
)

// Broker starts an embedded broker in memory, on a free port.
func Broker(t testing.TB, options ...kfake.Opt) *embedded.Broker {
	t.Helper()
	b, err := embedded.Start(t.Context(), embedded.Config{Listen: "127.0.0.1:0", Options: options})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// Open opens a cluster on a broker's addresses, with short waits.
func Open(t testing.TB, addresses []string, change ...func(*kafka.Config)) *kafka.Cluster {
	t.Helper()
	config := kafka.DefaultConfig()
	config.Brokers = addresses
	config.MaxWait = 50 * time.Millisecond
	config.SessionTimeout = time.Second
	for _, c := range change {
		c(&config)
	}
	c, err := kafka.Open(kafka.Params{Config: config, Logger: zaptest.NewLogger(t), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// Cluster starts a broker, opens a cluster on it and creates the platform's
// topics with so many partitions.
func Cluster(t testing.TB, partitions int32) (*kafka.Cluster, *embedded.Broker) {
	t.Helper()
	b := Broker(t)
	c := Open(t, b.Addresses())
	config := kafka.DefaultConfig()
	require.NoError(t, c.ApplyTopics(t.Context(), config.TopicSpecs(partitions, 1, 1<<16)))
	return c, b
}
