package push_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

// The partitions were computed with org.apache.kafka.common.utils.Utils.murmur2
// of kafka-clients 4.3.1: (murmur2(key) & 0x7fffffff) % partitions.
func TestHomeIsWhereJavaProducersSendTheKey(t *testing.T) {
	for _, row := range javaHomes {
		assert.Equal(t, row.of12, push.Home(row.key, 12), "%q of 12", row.key)
		assert.Equal(t, row.of7, push.Home([]byte(row.key), 7), "%q of 7", row.key)
	}
}

func TestHomeOfNoPartitionsIsZero(t *testing.T) {
	assert.Zero(t, push.Home("42", 0))
}
