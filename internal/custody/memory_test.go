package custody

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

// wokenFrom makes a custodian that has taken over a partition where messages wait.
func wokenFrom(waits int, userOf func(i int) string) *Machine {
	start := time.Now()
	m := NewMachine(Start{Policy: Policy{Custody: DefaultConfig(), Retry: DefaultRetryConfig(), Waiting: DefaultWaitingConfig()}, Now: start})
	for i := range waits {
		m.RestoreWait(Restored{
			At: int64(i), User: userOf(i), Type: "order", Size: 300,
			Wait: push.Wait{
				Lineage: push.Lineage{Attempt: 1, Expires: start.Add(24 * time.Hour)},
				Origin:  int64(2 * i), Reason: push.Offline, Due: start.Add(time.Hour + time.Duration(i)),
			},
		})
	}
	m.RetryRead(int64(waits))
	m.Restored()
	return m
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func TestAWaitingMessageCostsAtMost200Bytes(t *testing.T) {
	const waits, bound = 1_000_000, 200
	for _, perUser := range []int{1, 10} {
		names := make([]string, waits/perUser)
		for i := range names {
			names[i] = fmt.Sprintf("user-%011d", i) // sixteen bytes
		}
		before := heapInUse()
		m := wokenFrom(waits, func(i int) string { return string([]byte(names[i/perUser])) })
		after := heapInUse()
		require.Equal(t, waits, m.Stats().Waiting)
		each := float64(after-before) / waits
		t.Logf("%d waiting messages, %d a user: %.0f bytes each", waits, perUser, each)
		assert.LessOrEqual(t, each, float64(bound))
		runtime.KeepAlive(names)
		runtime.KeepAlive(m)
	}
}
