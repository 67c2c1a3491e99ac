package custody_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

func TestAMessageThatIsDeliveredCostsTheMachineNoAllocationOfItsOwn(t *testing.T) {
	const batch = 1000
	m := custody.NewMachine(custody.Start{Policy: policy(), Now: noon})
	m.Restored()
	delivered := make([]int64, batch)
	next, receipts := int64(0), int64(0)
	round := func() {
		for i := range delivered {
			delivered[i] = next
			m.Request(custody.Request{Offset: next, User: "42", Type: "order", Expires: noon.Add(time.Hour), EndsWait: push.NoWait, Attempt: 1})
			next++
		}
		m.RequestsRead(next)
		m.Receipt(receipts, &push.Receipt{Node: "A", Epoch: 1, ReadThrough: next, Delivered: delivered})
		receipts++
		m.Settled()
		m.Positions()
	}
	round()
	assert.Less(t, testing.AllocsPerRun(10, round)/batch, 0.05)
}

// BenchmarkDelivered: requests that a gateway delivers, so many a receipt. One is a
// quiet partition, whose books are empty again after each message.
func BenchmarkDelivered(b *testing.B) {
	for _, batch := range []int64{1, 10, 1000} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			m := custody.NewMachine(custody.Start{Policy: policy(), Now: noon})
			m.Restored()
			delivered := make([]int64, batch)
			next, receipts := int64(0), int64(0)
			b.ReportAllocs()
			for b.Loop() {
				for i := range delivered {
					delivered[i] = next
					m.Request(custody.Request{Offset: next, User: "42", Type: "order", Expires: noon.Add(time.Hour), EndsWait: push.NoWait, Attempt: 1})
					next++
				}
				m.RequestsRead(next)
				m.Receipt(receipts, &push.Receipt{Node: "A", Epoch: 1, ReadThrough: next, Delivered: delivered})
				receipts++
				m.Settled()
				m.Positions()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(next), "ns/message")
		})
	}
}
