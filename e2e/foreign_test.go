package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/e2e/apachekafka"
)

// pythonVariable names a Python that has confluent-kafka, the binding of
// librdkafka. The build server sets it.
const pythonVariable = "PUSHGATE_E2E_PYTHON"

// orderService is a shop's own program: a producer as its authors would write it,
// who know nothing of the platform but a topic and a key.
const orderService = `
import sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1]})
failed = []
for i in range(int(sys.argv[3])):
    user = "user-%d" % i
    producer.produce(sys.argv[2], key=user, value='{"order": %d}' % i, headers={"ce_id": "of-" + user},
                     on_delivery=lambda err, msg: failed.append(err) if err else None)
producer.flush(30)
sys.exit(1 if failed else 0)
`

func TestAProducerOnLibrdkafkaWithItsOwnPartitionerIsServed(t *testing.T) {
	python := os.Getenv(pythonVariable)
	if python == "" {
		require.Empty(t, os.Getenv(apachekafka.RequireVariable), "%s is not set", pythonVariable)
		t.Logf("not run with librdkafka: set %s to a Python that has confluent-kafka", pythonVariable)
		return
	}
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		const users = 20
		var clients []*client
		for i := range users {
			clients = append(clients, connect(t, n, fmt.Sprint("user-", i)))
		}
		cmd := exec.CommandContext(t.Context(), python, "-c", orderService, strings.Join(d.brokers, ","), d.topic("requests"), fmt.Sprint(users))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		for i, c := range clients {
			c.waitFor(15*time.Second, fmt.Sprint("of-user-", i))
		}
		for _, c := range clients {
			assert.Len(t, c.got(), 1, "once each")
		}
		moved := n.metric("pushgate_rehomed_total")
		assert.Positive(t, moved, "librdkafka partitions by CRC32")
		t.Logf("%g of %d messages were outside their user's home", moved, users)
	})
}
