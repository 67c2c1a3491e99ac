package kafka

import (
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/assert"
)

func TestPartitionsThatMissReplicasOrALeaderAreNamed(t *testing.T) {
	three := []kafkago.Broker{{Host: "a"}, {Host: "b"}, {Host: "c"}}
	well := kafkago.Partition{Leader: three[0], Replicas: three, Isr: three}
	behind := kafkago.Partition{ID: 4, Leader: three[0], Replicas: three, Isr: three[:1]}
	leaderless := kafkago.Partition{ID: 7, Replicas: three, Error: kafkago.LeaderNotAvailable}
	assert.Empty(t, ailing([]kafkago.Partition{well}))
	assert.Equal(t, "no leader of partition 7; not all in sync of partition 4 (1 of 3)", ailing([]kafkago.Partition{well, behind, leaderless}))
}
