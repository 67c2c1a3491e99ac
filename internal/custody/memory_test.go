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
	m := NewMachine(Start{Policy: defaults(), Now: start})
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

func TestInStrictOrderWhatWaitsBehindAnotherCostsNoMoreThanTheRest(t *testing.T) {
	const messages = 500
	p, start := defaults(), time.Now()
	p.Strict = true
	m := NewMachine(Start{Policy: p, Now: start})
	m.Restored()
	end, retry := int64(0), int64(0)
	read := func(attempt int, order int64) {
		m.Request(Request{
			Offset: end, User: "42", Type: "order", Attempt: attempt, Order: order, EndsWait: push.NoWait, Expires: start.Add(time.Hour),
		})
		end++
		m.RequestsRead(end)
	}
	for range messages {
		read(0, 0)
	}
	offer := m.Actions()[0]
	m.Done(offer.ID, end)
	read(1, 1) // and there is no gateway
	for actions := m.Actions(); len(actions) > 0; actions = m.Actions() {
		for _, a := range actions {
			require.Equal(t, MakeWait, a.Kind)
			m.Done(a.ID, retry)
			retry++
		}
	}
	waits, busy := m.allBy(&m.waits), 0
	require.Len(t, waits, messages)
	for _, e := range waits {
		if e.state == waiting && e.work != nil {
			busy++
		}
	}
	assert.LessOrEqual(t, busy, 1, "what is known of it beyond that it waits")
}
