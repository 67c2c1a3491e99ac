package push_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pushgate/internal/push"
)

func receipt() push.Receipt {
	return push.Receipt{
		Node: "a", Epoch: 7, Presence: push.Announce, ReadThrough: 120,
		Delivered: []int64{100, 101, 102, 110}, Held: []int64{111}, Queued: []int64{112, 113},
		Failed:    []push.Failure{{Offset: 114, Reason: push.SlowConsumer}},
		Connected: []push.Binding{{User: "42", Type: "all", Saw: 3}},
	}
}

func TestAReceiptIsReadAsItWasWritten(t *testing.T) {
	r := receipt()
	got, err := push.DecodeReceipt(r.AppendBinary(nil))
	require.NoError(t, err)
	assert.Equal(t, receipt(), got)
}

func TestAThousandDeliveriesInARowCostAFewBytes(t *testing.T) {
	r := push.Receipt{Node: "a", ReadThrough: 1_000_000}
	for o := range int64(1000) {
		r.Delivered = append(r.Delivered, 999_000+o)
	}
	assert.Less(t, len(r.AppendBinary(nil)), 32)
}

func TestAnyReceiptSurvivesTheRoundTrip(t *testing.T) {
	offsets := rapid.SliceOfNDistinct(rapid.Int64Range(0, 1<<40), 0, 20, rapid.ID[int64])
	rapid.Check(t, func(t *rapid.T) {
		r := push.Receipt{
			Node:  rapid.StringN(1, 10, -1).Draw(t, "node"),
			Epoch: rapid.Int64().Draw(t, "epoch"), Presence: push.Presence(rapid.IntRange(0, 2).Draw(t, "presence")),
			ReadThrough: rapid.Int64Range(0, 1<<62).Draw(t, "through"),
			Called:      rapid.Bool().Draw(t, "called"),
			Delivered:   offsets.Draw(t, "delivered"), Held: offsets.Draw(t, "held"), Queued: offsets.Draw(t, "queued"),
		}
		got, err := push.DecodeReceipt(r.AppendBinary(nil))
		require.NoError(t, err)
		assert.Equal(t, r.ReadThrough, got.ReadThrough)
		assert.Equal(t, r.Called, got.Called)
		assert.ElementsMatch(t, r.Delivered, got.Delivered)
		assert.ElementsMatch(t, r.Held, got.Held)
		assert.ElementsMatch(t, r.Queued, got.Queued)
	})
}

func TestABrokenReceiptIsAnErrorNotAPanic(t *testing.T) {
	r := receipt()
	whole := r.AppendBinary(nil)
	for n := range whole {
		_, err := push.DecodeReceipt(whole[:n])
		assert.Error(t, err, "cut after %d bytes", n)
	}
	_, err := push.DecodeReceipt(append(whole, 0))
	require.ErrorContains(t, err, "after the end")
	whole[0] = 9
	_, err = push.DecodeReceipt(whole)
	require.ErrorContains(t, err, "version 9")
}

func FuzzDecodeReceipt(f *testing.F) {
	r := receipt()
	f.Add(r.AppendBinary(nil))
	f.Add([]byte{1, 0, 1, 'a', 0, 2, 1, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := push.DecodeReceipt(b)
		if err != nil {
			return
		}
		again, err := push.DecodeReceipt(r.AppendBinary(nil))
		require.NoError(t, err)
		require.Equal(t, r.ReadThrough, again.ReadThrough)
		require.Len(t, again.Failed, len(r.Failed))
	})
}
