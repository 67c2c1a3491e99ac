package delivery

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func newTestLedger(start int64) *ledger {
	return newLedger(start, NewMetrics(prometheus.NewRegistry()))
}

func report(l *ledger, offset int64, s push.Status, reason push.Reason) {
	l.Report(&push.Message{Offset: offset, Attempt: 1}, s, reason)
}

// signalled says whether a signal is there, and takes it.
func signalled(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestEveryOwnedOffsetBelowTheReadThroughIsListed(t *testing.T) {
	l := newTestLedger(10)
	l.begin()
	for _, o := range []int64{11, 13, 14, 16} {
		l.enter(o)
	}
	report(l, 11, push.Done, push.ReasonNone)
	report(l, 13, push.Held, push.ReasonNone)
	report(l, 14, push.Failed, push.SlowConsumer)

	r := l.cut()
	assert.Equal(t, int64(10), r.ReadThrough, "the batch is not done")
	assert.Empty(t, r.Queued, "what the read-through does not cover needs no listing yet")
	assert.Equal(t, []int64{11}, r.Delivered)
	assert.Equal(t, []int64{13}, r.Held)
	assert.Equal(t, []push.Failure{{Offset: 14, Reason: push.SlowConsumer}}, r.Failed)

	l.read(20)
	r = l.cut()
	assert.Equal(t, int64(20), r.ReadThrough)
	assert.Equal(t, []int64{16}, r.Queued, "it is owned, though nothing has been done about it")
}

func TestAQueuedOffsetIsListedOnce(t *testing.T) {
	l := newTestLedger(0)
	l.begin()
	l.enter(0)
	l.read(1)
	first := l.cut()
	assert.Equal(t, []int64{0}, first.Queued)
	l.durable(&first)
	second := l.cut()
	assert.True(t, second.Empty())
	report(l, 0, push.Done, push.ReasonNone)
	third := l.cut()
	assert.Equal(t, []int64{0}, third.Delivered)
	assert.Empty(t, third.Queued)
}

func TestAnOffsetThatTurnsOutNotToBeOwnedIsNeverListed(t *testing.T) {
	l := newTestLedger(0)
	l.begin()
	l.enter(0)
	l.leave(0)
	l.read(1)
	r := l.cut()
	assert.True(t, r.Empty())
	assert.Equal(t, int64(1), l.committable(), "it holds nothing up")
}

func TestASessionOpenedInTheMiddleOfABatchIsNamedOnlyAfterIt(t *testing.T) {
	l := newTestLedger(0)
	alice, bob := push.Binding{User: "alice", Type: push.AllTypes}, push.Binding{User: "bob", Type: "order"}
	l.connected(alice)
	l.begin()
	l.connected(bob) // its user may have been looked for in vain already
	r := l.cut()
	assert.Equal(t, []push.Binding{alice}, r.Connected)
	l.read(5)
	r = l.cut()
	assert.Equal(t, []push.Binding{bob}, r.Connected)
	assert.Equal(t, int64(5), r.ReadThrough)
}

func TestASessionIsNamedAlsoWhenTheBatchBroughtNothing(t *testing.T) {
	l := newTestLedger(5)
	l.begin()
	l.connected(push.Binding{User: "alice", Type: push.AllTypes})
	l.read(5)
	r := l.cut()
	assert.Len(t, r.Connected, 1)
}

func TestAnOffsetIsSettledOnlyWhenItsReceiptIsDurable(t *testing.T) {
	l := newTestLedger(0)
	l.begin()
	for o := range int64(4) {
		l.enter(o)
	}
	l.read(4)
	report(l, 0, push.Done, push.ReasonNone)
	report(l, 1, push.Held, push.ReasonNone)
	report(l, 2, push.Failed, push.Offline)
	assert.Zero(t, l.committable(), "reported is not written")
	r := l.cut()
	assert.Zero(t, l.committable(), "cut is not written")
	assert.Equal(t, 4, l.unsettled())
	l.durable(&r)
	assert.Equal(t, int64(3), l.committable(), "up to the queued one, about which nothing has been done")
	assert.Equal(t, 1, l.unsettled())
}

func TestAReceiptThatCouldNotBeWrittenIsSaidByTheNext(t *testing.T) {
	l := newTestLedger(0)
	l.presence(push.Announce)
	l.connected(push.Binding{User: "alice", Type: push.AllTypes})
	l.begin()
	for o := range int64(5) {
		l.enter(o)
	}
	l.read(5)
	report(l, 0, push.Done, push.ReasonNone)
	report(l, 1, push.Held, push.ReasonNone)
	report(l, 2, push.Failed, push.AckTimeout)
	lost := l.cut()
	assert.Equal(t, []int64{3, 4}, sorted(lost.Queued))

	// Meanwhile life goes on.
	report(l, 3, push.Done, push.ReasonNone)
	report(l, 1, push.Done, push.ReasonNone)
	l.connected(push.Binding{User: "bob", Type: push.AllTypes})
	l.uncut(lost)
	assert.True(t, signalled(l.wake), "it must not wait for something else to happen")

	r := l.cut()
	assert.Equal(t, push.Receipt{
		Presence: push.Announce, ReadThrough: 5,
		Delivered: []int64{0, 3, 1}, Held: []int64{1}, Queued: []int64{4},
		Failed:    []push.Failure{{Offset: 2, Reason: push.AckTimeout}},
		Connected: []push.Binding{{User: "alice", Type: push.AllTypes, Saw: 5}, {User: "bob", Type: push.AllTypes}},
	}, r)
	l.durable(&r)
	assert.Equal(t, int64(4), l.committable())
}

func TestAGoodbyeIsNotForgottenForAHeartbeat(t *testing.T) {
	l := newTestLedger(0)
	l.presence(push.Goodbye)
	lost := l.cut()
	l.uncut(lost)
	assert.Equal(t, push.Goodbye, l.cut().Presence)
}

func TestALateAcknowledgementIsSaidAfterTheFailure(t *testing.T) {
	l := newTestLedger(0)
	l.begin()
	l.enter(0)
	l.read(1)
	report(l, 0, push.Held, push.ReasonNone)
	report(l, 0, push.Failed, push.AckTimeout)
	r := l.cut()
	l.durable(&r)
	assert.Equal(t, int64(1), l.committable())
	report(l, 0, push.Done, push.ReasonNone)
	r = l.cut()
	assert.Equal(t, []int64{0}, r.Delivered)
	l.durable(&r)
	assert.Equal(t, int64(1), l.committable())
	assert.Zero(t, l.unsettled())
}

func TestReadingNeverGoesBack(t *testing.T) {
	l := newTestLedger(10)
	l.read(20)
	l.read(15)
	assert.Equal(t, int64(20), l.cut().ReadThrough)
	assert.Equal(t, int64(20), l.committable())
}

func TestSignalsSayWhatThereIsToSayAndACutAnswersThemAll(t *testing.T) {
	l := newTestLedger(0)
	l.begin()
	l.read(0)
	assert.False(t, signalled(l.moved), "the read-through has not moved")
	l.read(1)
	assert.True(t, signalled(l.moved))
	assert.False(t, signalled(l.wake), "how far was read is less urgent than what was delivered")
	for range manyItems - 1 {
		l.connected(push.Binding{User: "u", Type: push.AllTypes})
	}
	assert.False(t, signalled(l.full))
	l.connected(push.Binding{User: "u", Type: push.AllTypes})
	assert.True(t, signalled(l.full))

	l.read(2)
	l.connected(push.Binding{User: "u", Type: push.AllTypes})
	l.cut()
	for name, c := range map[string]chan struct{}{"moved": l.moved, "wake": l.wake, "full": l.full} {
		assert.False(t, signalled(c), "a receipt that says nothing would follow from %s", name)
	}
}

func TestAReceiptIsSplitWhenItNamesManySessionsAndEachPartCanBeReadAlone(t *testing.T) {
	named := func(n int) push.Receipt {
		r := push.Receipt{Node: "a", Epoch: 3, ReadThrough: 9, Delivered: []int64{1}, Queued: []int64{2}}
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
				assert.Equal(t, []any{"a", int64(3), int64(9)}, []any{p.Node, p.Epoch, p.ReadThrough})
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
	assert.Less(t, len(r.AppendBinary(nil)), kafkasDefault/2)
}
