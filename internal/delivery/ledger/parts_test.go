package ledger

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func TestAReceiptThatNamesManySessionsIsMadeOfPartsThatCanBeReadAlone(t *testing.T) {
	const most = 10
	named := func(n int) push.Receipt {
		r := push.Receipt{Node: "a", Epoch: 3, Called: true, ReadThrough: 9, Delivered: []int64{1}, Queued: []int64{2}}
		for range n {
			r.Connected = append(r.Connected, push.Binding{User: "u", Type: push.AllTypes})
		}
		return r
	}
	for n, parts := range map[int]int{0: 1, 1: 1, most: 1, most + 1: 2, 3 * most: 3, 3*most + 7: 4} {
		for _, presence := range []push.Presence{push.Heartbeat, push.Announce, push.Goodbye} {
			r := named(n)
			r.Presence = presence
			got := New(0, nil).Parts(r, Most{Offsets: most, Sessions: most})
			require.Len(t, got, parts, "%d sessions", n)
			sessions := 0
			for i, p := range got {
				assert.LessOrEqual(t, len(p.Connected), most)
				sessions += len(p.Connected)
				assert.Equal(t, presenceOf(presence, i, parts), p.Presence, "part %d of %d", i, parts)
				assert.Equal(t, []any{"a", int64(3), true, int64(9)}, []any{p.Node, p.Epoch, p.Called, p.ReadThrough})
				assert.Equal(t, i == 0, len(p.Delivered) == 1 && len(p.Queued) == 1, "said first, and once")
			}
			assert.Equal(t, n, sessions)
		}
	}
}

// presenceOf is what a part says where the whole says p.
func presenceOf(p push.Presence, part, parts int) push.Presence {
	if p == push.Announce && part == 0 || p == push.Goodbye && part == parts-1 {
		return p
	}
	return push.Heartbeat
}

// long is a receipt that lists 41 offsets and names five sessions.
func long() push.Receipt {
	r := push.Receipt{Node: "a", Epoch: 3, ReadThrough: 50}
	for o := range int64(10) {
		// Not in order, as in life.
		r.Delivered = append(r.Delivered, 9-o)
		r.Held = append(r.Held, 20+o)
		r.Queued = append(r.Queued, 39-o)
		r.Failed = append(r.Failed, push.Failure{Offset: 40 + o, Reason: push.AckTimeout})
		if o%2 == 0 {
			r.Connected = append(r.Connected, push.Binding{User: "u", Type: push.AllTypes, Saw: o})
		}
	}
	r.Held = append(r.Held, 0) // and delivered
	return r
}

func TestPartsAreNoEvidenceBeforeAllOffsetsAreListed(t *testing.T) {
	parts := New(0, nil).Parts(long(), Most{Offsets: 12, Sessions: 3})
	require.Len(t, parts, 5)
	for _, p := range parts[:3] {
		assert.Equal(t, 12, len(p.Delivered)+len(p.Held)+len(p.Queued)+len(p.Failed))
		assert.Zero(t, p.ReadThrough)
		assert.Empty(t, p.Connected)
	}
	assert.Len(t, parts[3].Failed, 5)
	for i, sessions := range []int{3, 2} {
		assert.Len(t, parts[3+i].Connected, sessions)
		assert.Equal(t, int64(50), parts[3+i].ReadThrough)
	}
}

func TestThatAGatewayReadsNoMoreIsSaidWhenAllOffsetsAreListed(t *testing.T) {
	l := New(0, nil)
	many := Most{Offsets: 12, Sessions: 3}
	called := func(is bool) []bool {
		r := long()
		if r.Called = is; is {
			r.ReadThrough = 0
		}
		var said []bool
		for _, p := range l.Parts(r, many) {
			said = append(said, p.Called)
			_ = p.AppendBinary(nil)
			l.Durable(&p)
		}
		return said
	}
	assert.Equal(t, []bool{false, false, false, false, false}, called(false))
	assert.Equal(t, []bool{false, false, false, true, true}, called(true), "it is evidence, too")
	assert.Equal(t, []bool{true, true, true, true, true}, called(true), "it had been said before")
	assert.Equal(t, []bool{false, false, false, false, false}, called(false), "a gateway that has begun to read is waited for")
}

func TestAReceiptThatCouldNotBeWrittenMayHaveSaidInPartThatTheGatewayReads(t *testing.T) {
	l := New(0, nil)
	said := func(called bool) []bool {
		r := long()
		r.Called = called
		var said []bool
		for _, p := range l.Parts(r, Most{Offsets: 12, Sessions: 5}) {
			said = append(said, p.Called)
		}
		return said
	}
	l.Durable(&push.Receipt{Called: true})
	l.Uncut(push.Receipt{Called: true})
	assert.Equal(t, []bool{true, true, true, true}, said(true))
	l.Uncut(push.Receipt{Called: false})
	assert.Equal(t, []bool{false, false, false, true}, said(true))
}

func TestPartsAreTheWholeAgainAlsoAfterTheyWereEncoded(t *testing.T) {
	for _, presence := range []push.Presence{push.Heartbeat, push.Announce, push.Goodbye} {
		for encoded := range 6 {
			r := long()
			r.Presence = presence
			parts := New(0, nil).Parts(r, Most{Offsets: 12, Sessions: 3})
			for i := range parts {
				assert.Equal(t, presenceOf(presence, i, len(parts)), parts[i].Presence)
				if i < encoded {
					_ = parts[i].AppendBinary(nil)
				}
			}
			whole, want := Whole(parts), long()
			want.Presence = presence
			for _, list := range [][]int64{whole.Delivered, whole.Held, whole.Queued, want.Delivered, want.Held, want.Queued} {
				slices.Sort(list)
			}
			assert.Equal(t, want, whole, "%d parts encoded", encoded)
		}
	}
}

func TestTheLongestReceiptFitsIntoARecord(t *testing.T) {
	const kafkasDefault, offsets, sessions = 1 << 20, 20_000, 1000 // those of package delivery
	r := push.Receipt{Node: "a"}
	text := func(n int) string { return string(make([]byte, n)) }
	for range sessions {
		r.Connected = append(r.Connected, push.Binding{User: text(push.MaxUserBytes), Type: text(push.MaxTypeBytes)})
	}
	for i := range int64(offsets) {
		r.Failed = append(r.Failed, push.Failure{Offset: math.MaxInt64 - i, Reason: push.AckTimeout})
	}
	assert.Less(t, len(r.AppendBinary(nil)), kafkasDefault*3/4)
}
