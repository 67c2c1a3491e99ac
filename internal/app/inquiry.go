package app

import (
	"context"

	"pushgate/internal/config"
	"pushgate/internal/explain"
	"pushgate/internal/kafka"
	"pushgate/internal/operations"
	"pushgate/internal/waiting"
)

// custodiansLog is the cluster, with what the custodians have committed.
type custodiansLog struct {
	*kafka.Cluster
	group string
}

// Committed returns offsets only, -1 where there is none.
func (l custodiansLog) Committed(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error) {
	return offsetsOf(l.Cluster.Committed(ctx, l.group, topic, partitions))
}

// waitingLog is the cluster in the words of package waiting.
type waitingLog struct{ custodiansLog }

func (l waitingLog) NewReader(topic string, partition int32, offset int64) waiting.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

// WaitingStore shows and changes what waits.
func WaitingStore(cluster *kafka.Cluster, c config.Config, journal *operations.Log) *waiting.Store {
	topics := cluster.Topics()
	return waiting.New(waiting.Params{
		Log: waitingLog{custodiansLog{cluster, c.Custody.Group}}, Journal: journal,
		Topics: waiting.Topics{Retry: topics.Retry, Receipts: topics.Receipts},
	})
}

// explainLog is the cluster in the words of package explain.
type explainLog struct{ custodiansLog }

func (l explainLog) NewReader(topic string, partition int32, offset int64) explain.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

// Explainer tells the stories of messages.
func Explainer(cluster *kafka.Cluster, c config.Config, journal *operations.Log) *explain.Explainer {
	topics := cluster.Topics()
	return explain.New(explain.Params{
		Log: explainLog{custodiansLog{cluster, c.Custody.Group}}, Operations: journal,
		Topics: explain.Topics{
			Requests: topics.Requests, Retry: topics.Retry, DeadLetter: topics.DeadLetter,
			Receipts: topics.Receipts, Outcomes: topics.Outcomes,
		},
		Limits: c.Limits(), DropExpired: c.Message.Expired == config.ExpiredDrop,
	})
}
