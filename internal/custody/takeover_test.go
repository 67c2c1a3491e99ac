package custody_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// What is being written as a wait counts as in flight. Were restoring to end because
// too much is, the second message would look like the first: the offering of that,
// further on in the log, would not have been read yet.
func TestInStrictOrderASuccessorWaitsForItsWritesAndGoesOnRestoring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const others, inFlight, slow = 40, 10, 100 * time.Millisecond
		m := newMemory()
		m.produce = func(ctx context.Context, topic string) error {
			if topic == retryTopic {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(slow):
				}
			}
			return nil
		}
		m.request("42") // 0: the first, offered and committed
		m.request("42") // 1: the second
		for i := range others {
			m.request("other-" + strconv.Itoa(i))
		}
		first := m.records(requestTopic, 0)[0]
		now := time.Now()
		m.append(requestTopic, 0, push.OfferRecord(&first, push.Lineage{
			ID: "first", Attempt: 1, Order: 1, FirstSeen: now, Expires: now.Add(time.Hour),
		}, push.NoWait))
		end := int64(len(m.records(requestTopic, 0)))
		m.committed[requestTopic][0] = 1
		m.say(push.Receipt{ReadThrough: end, Held: []int64{end - 1}})
		stop, _ := m.serve(t, func(p *custody.Params) {
			p.Policy.Strict = true
			p.Policy.Custody.MaxInFlight = inFlight
		})
		for range 10 { // the client has not acknowledged the first
			awhile(time.Second)
			m.say(push.Receipt{ReadThrough: int64(len(m.records(requestTopic, 0)))})
		}
		for _, rec := range m.records(requestTopic, 0)[end:] {
			q, err := push.ParseRequest(&rec, requestTopic, push.Limits{DefaultTTL: time.Hour})
			require.NoError(t, err)
			assert.False(t, q.User == "42" && q.Order == 2, "the second is offered while the first is held")
		}
		require.NoError(t, stop())
	})
}
