package e2e

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"pushgate/e2e/apachekafka"
	"pushgate/internal/directory"
	directoryserver "pushgate/internal/directory/embedded"
	"pushgate/internal/directory/redistest"
	"pushgate/internal/kafka/embedded"
)

// brokersVariable names a cluster that the promises are tested on instead of
// those started here.
const brokersVariable = "PUSHGATE_E2E_BROKERS"

// shared are the servers that most tests share, each started by the first one
// that needs it. Deployments on one server do not see each other.
var shared struct { //nolint:gochecknoglobals // the process's own
	mu        sync.Mutex
	embedded  *embedded.Broker
	kafka     *apachekafka.Cluster
	directory *directoryserver.Server
	redis     *redistest.Server
	dirs      []string
}

// onEachBroker runs a test of a promise on each kind of broker; and, with targeted
// routing, on the servers nearest to those of a real deployment.
func onEachBroker(t *testing.T, promise func(t *testing.T, d *deployment)) {
	t.Helper()
	onEachBrokerByBroadcast(t, promise)
	byTargeted(t, promise)
}

// byTargeted runs a test of a promise with targeted routing: on Apache Kafka and
// Redis, or on whichever of the embedded ones has to stand in.
func byTargeted(t *testing.T, promise func(t *testing.T, d *deployment)) {
	t.Helper()
	t.Run("targeted", func(t *testing.T) { promise(t, deployTargeted(t, realBroker(t))) })
}

// bothWays runs a test that has servers of its own with each routing, at the same
// time.
func bothWays(t *testing.T, test func(t *testing.T, targeted bool)) {
	t.Helper()
	for _, routing := range []string{"broadcast", "targeted"} {
		t.Run(routing, func(t *testing.T) {
			t.Parallel()
			test(t, routing == "targeted")
		})
	}
}

// onEachBrokerByBroadcast is for promises about gateways that read.
func onEachBrokerByBroadcast(t *testing.T, promise func(t *testing.T, d *deployment)) {
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

// realBroker is Apache Kafka, where that can be had.
func realBroker(t *testing.T) []string {
	t.Helper()
	if given := os.Getenv(brokersVariable); given != "" {
		return strings.Split(given, ",")
	}
	if brokers := kafkaBroker(t); brokers != nil {
		return brokers
	}
	return embeddedBroker(t)
}

// sharedDirectory is Redis, where that can be had.
func sharedDirectory(t *testing.T) directory.RedisConfig {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.redis == nil && shared.directory == nil {
		dir, err := os.MkdirTemp("", "pushgate-redis-") //nolint:usetesting // it outlives the test
		require.NoError(t, err)
		shared.dirs = append(shared.dirs, dir)
		if s, ok := redistest.Lasting(t, dir); ok {
			shared.redis = s
		} else {
			shared.directory, err = directoryserver.Start("127.0.0.1:0")
			require.NoError(t, err)
		}
	}
	if shared.redis == nil {
		return shared.directory.Config(directory.DefaultConfig()).Redis
	}
	shared.redis.Ready(t)
	c := directory.DefaultConfig().Redis
	c.Addr = []string{shared.redis.Addr}
	return c
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
		shared.dirs = append(shared.dirs, dir)
		shared.kafka, err = apachekafka.Start(context.WithoutCancel(t.Context()), d, apachekafka.Params{Nodes: 1, Dir: dir})
		require.NoError(t, err)
	}
	return shared.kafka.Addresses()
}

// stopServers ends what was started.
func stopServers() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.embedded != nil {
		_ = shared.embedded.Close()
	}
	if shared.kafka != nil {
		shared.kafka.Close()
	}
	if shared.redis != nil {
		shared.redis.Kill()
	}
	if shared.directory != nil {
		shared.directory.Close()
	}
	for _, dir := range shared.dirs {
		_ = os.RemoveAll(dir)
	}
}
