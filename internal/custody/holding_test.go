package custody

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

func TestAgesOfALogAreKnownToASecondInBoundedMemory(t *testing.T) {
	var a ages
	assert.True(t, a.of(5).IsZero())
	began := time.Unix(1_700_000_000, 0)
	when := func(at int64) time.Time { return began.Add(time.Duration(at) * 100 * time.Millisecond) }
	for at := range int64(1000) {
		a.wrote(at, when(at))
	}
	for _, at := range []int64{0, 7, 123, 999} {
		assert.WithinDuration(t, when(at), a.of(at), time.Second, "%d", at)
	}
	assert.LessOrEqual(t, len(a.marks), 2, "what is older than the oldest wait is forgotten")

	var long ages
	for at := range int64(100_000) {
		long.wrote(10*at, when(10*at))
	}
	assert.LessOrEqual(t, len(long.marks), maxMarks)
	assert.WithinDuration(t, when(0), long.of(0), 0)
	assert.WithinDuration(t, when(999_990), long.of(999_990), 2*time.Second)
}

func TestHowFarACustodianIsBehindIsNoOlderThanTheEndItHasReached(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	at := func(ago time.Duration) []push.Record { return []push.Record{{Time: now.Add(-ago)}} }
	var b behind
	b.read(push.Batch{Records: at(time.Hour), Next: 1, HighWatermark: 10}, now)
	assert.Equal(t, now.Add(-time.Hour), b.since, "what comes next was written after that")
	b.read(push.Batch{Records: at(time.Minute), Next: 10, HighWatermark: 10}, now)
	assert.Equal(t, now, b.since)
	b.read(push.Batch{Records: at(time.Minute), Next: 11, HighWatermark: 20}, now.Add(time.Hour))
	assert.Equal(t, now, b.since, "the end was reached then: what is there now came later")
}
