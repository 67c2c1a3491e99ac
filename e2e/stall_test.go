package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pushgate/internal/kafka/embedded"
)

// blockade is a broker of one's own that takes no writes to some topics, as one
// whose in-sync replicas are too few.
type blockade struct {
	*embedded.Broker
	mu     sync.Mutex
	closed map[string]bool // by topic
}

func startBlockade(t *testing.T) *blockade {
	t.Helper()
	broker, err := embedded.Start(t.Context(), embedded.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = broker.Close() })
	b := &blockade{Broker: broker, closed: map[string]bool{}}
	b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		produce, ok := req.(*kmsg.ProduceRequest)
		if !ok || !b.refuses(produce) {
			return nil, nil, false
		}
		return notEnoughReplicas(produce), nil, true
	})
	return b
}

func (b *blockade) set(topic string, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed[topic] = closed
}

func (b *blockade) refuses(produce *kmsg.ProduceRequest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(produce.Topics, func(t kmsg.ProduceRequestTopic) bool { return b.closed[t.Topic] })
}

func notEnoughReplicas(produce *kmsg.ProduceRequest) kmsg.Response {
	res, _ := produce.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range produce.Topics {
		answer := kmsg.NewProduceResponseTopic()
		answer.Topic = topic.Topic
		for _, p := range topic.Partitions {
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, kerr.NotEnoughReplicas.Code
			answer.Partitions = append(answer.Partitions, partition)
		}
		res.Topics = append(res.Topics, answer)
	}
	return res
}

func TestATopicThatTakesNoWritesStallsAndLosesNothing(t *testing.T) {
	for topic, stall := range map[string]struct{ check, metric string }{
		"retry":       {"custody", "pushgate_custody_stalled"},
		"dead-letter": {"custody", "pushgate_custody_stalled"},
		"receipts":    {"receipts", "pushgate_delivery_stalled"},
	} {
		t.Run(topic, func(t *testing.T) {
			bothWays(t, func(t *testing.T, targeted bool) {
				b := startBlockade(t)
				d := deployBy(t, b.Addresses(), targeted)
				n := d.node("a")
				c := connect(t, n, "42")
				b.set(d.topic(topic), true)
				var ids []string
				for i := range 10 {
					ids = append(ids, fmt.Sprint("m-", i), fmt.Sprint("w-", i))
					d.send(message{id: ids[2*i], user: "42"}, message{id: ids[2*i+1], user: "away"},
						message{id: fmt.Sprint("dead-", i), user: "42", data: string(make([]byte, 70_000))})
				}
				require.True(t, poll(20*time.Second, func() bool { return n.notReady(stall.check) }), "readiness says so")
				require.True(t, poll(5*time.Second, func() bool { return n.metric(stall.metric) > 0 }), "so do the metrics")
				c.waitFor(10*time.Second, "m-0", "m-9")

				b.set(d.topic(topic), false)
				require.True(t, poll(30*time.Second, n.isReady), "it goes on by itself")
				connect(t, n, "away").waitFor(20*time.Second, "w-0", "w-9")
				require.True(t, poll(10*time.Second, func() bool { return n.metric(stall.metric) == 0 }))
				dead := d.read("dead-letter", 20*time.Second, func(all []*kgo.Record) bool { return len(all) >= 10 })
				assert.Len(t, dead, 10)
				d.audit(len(ids))
			})
		})
	}
}
