package delivery

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func TestAReceiptIsSplitWhenItNamesManySessionsAndEachPartCanBeReadAlone(t *testing.T) {
	named := func(n int) push.Receipt {
		r := push.Receipt{Node: "a", Epoch: 3, Called: true, ReadThrough: 9, Delivered: []int64{1}, Queued: []int64{2}}
		for range n {
			r.Connected = append(r.Connected, push.Binding{User: "u", Type: push.AllTypes})
		}
		return r
	}
	for n, parts := range map[int]int{0: 1, 1: 1, maxConnected: 1, maxConnected + 1: 2, 3 * maxConnected: 3, 3*maxConnected + 7: 4} {
		for _, presence := range []push.Presence{push.Heartbeat, push.Announce, push.Goodbye} {
			r := named(n)
			r.Presence = presence
			got := split(r)
			require.Len(t, got, parts, "%d sessions", n)
			sessions := 0
			for i, p := range got {
				assert.LessOrEqual(t, len(p.Connected), maxConnected)
				sessions += len(p.Connected)
				want := push.Heartbeat
				if presence == push.Announce && i == 0 || presence == push.Goodbye && i == parts-1 {
					want = presence
				}
				assert.Equal(t, want, p.Presence, "part %d of %d", i, parts)
				assert.Equal(t, []any{"a", int64(3), true, int64(9)}, []any{p.Node, p.Epoch, p.Called, p.ReadThrough})
				assert.Equal(t, i == 0, len(p.Delivered) == 1 && len(p.Queued) == 1, "said first, and once")
			}
			assert.Equal(t, n, sessions)
		}
	}
}

func TestTheLongestReceiptFitsIntoARecord(t *testing.T) {
	const kafkasDefault = 1 << 20
	r := push.Receipt{Node: "a"}
	long := func(n int) string { return string(make([]byte, n)) }
	for range maxConnected {
		r.Connected = append(r.Connected, push.Binding{User: long(push.MaxUserBytes), Type: long(push.MaxTypeBytes)})
	}
	for i := range int64(maxListed) {
		r.Failed = append(r.Failed, push.Failure{Offset: math.MaxInt64 - i, Reason: push.AckTimeout})
	}
	assert.Less(t, len(r.AppendBinary(nil)), kafkasDefault*3/4)
}
