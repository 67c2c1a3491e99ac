package e2e

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"pushgate/e2e/apachekafka"
	"pushgate/internal/kafka/embedded"
)

// brokersVariable names a cluster that the promises are tested on instead of
// those started here.
const brokersVariable = "PUSHGATE_E2E_BROKERS"

// shared are the brokers that most tests share, each started by the first one
// that needs it. Deployments on one broker do not see each other.
var shared struct { //nolint:gochecknoglobals // the process's own
	mu       sync.Mutex
	embedded *embedded.Broker
	kafka    *apachekafka.Cluster
	dir      string
}

// onEachBroker runs a test of a promise on each kind of broker.
func onEachBroker(t *testing.T, promise func(t *testing.T, d *deployment)) {
	t.Helper()
	if given := os.Getenv(brokersVariable); given != "" {
		t.Run("given brokers", func(t *testing.T) { promise(t, deploy(t, strings.Split(given, ","))) })
		return
	}
	t.Run("embedded broker", func(t *testing.T) { promise(t, deploy(t, embeddedBroker(t))) })
	t.Run("Apache Kafka", func(t *testing.T) {
		if brokers := kafkaBroker(t); brokers != nil {
			promise(t, deploy(t, brokers))
		}
	})
}

func embeddedBroker(t *testing.T) []string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.embedded == nil {
		b, err := embedded.Start(context.WithoutCancel(t.Context()), embedded.Config{Listen: "127.0.0.1:0"})
		require.NoError(t, err)
		shared.embedded = b
	}
	return shared.embedded.Addresses()
}

// kafkaBroker returns nil where Apache Kafka cannot be had, and may be lacking.
func kafkaBroker(t *testing.T) []string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.kafka == nil {
		d, ok := apachekafka.Available(t)
		if !ok {
			return nil
		}
		dir, err := os.MkdirTemp("", "pushgate-kafka-") //nolint:usetesting // it outlives the test
		require.NoError(t, err)
		shared.dir = dir
		shared.kafka, err = apachekafka.Start(context.WithoutCancel(t.Context()), d, apachekafka.Params{Nodes: 1, Dir: dir})
		require.NoError(t, err)
	}
	return shared.kafka.Addresses()
}

// stopBrokers ends what was started.
func stopBrokers() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.embedded != nil {
		_ = shared.embedded.Close()
	}
	if shared.kafka != nil {
		shared.kafka.Close()
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
}
