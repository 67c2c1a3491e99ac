package ledger

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

func report(l *Ledger, offset int64, s push.Status, reason push.Reason) {
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
	l := New(10, nil)
	l.Begin()
	for _, o := range []int64{11, 13, 14, 16} {
		l.Enter(o)
	}
	report(l, 11, push.Done, push.ReasonNone)
	report(l, 13, push.Held, push.ReasonNone)
	report(l, 14, push.Failed, push.SlowConsumer)

	r := l.Cut()
	assert.Equal(t, int64(10), r.ReadThrough, "the batch is not done")
	assert.Empty(t, r.Queued, "what the read-through does not cover needs no listing yet")
	assert.Equal(t, []int64{11}, r.Delivered)
	assert.Equal(t, []int64{13}, r.Held)
	assert.Equal(t, []push.Failure{{Offset: 14, Reason: push.SlowConsumer}}, r.Failed)

	l.Read(20)
	r = l.Cut()
	assert.Equal(t, int64(20), r.ReadThrough)
	assert.Equal(t, []int64{16}, r.Queued, "it is owned, though nothing has been done about it")
}

func TestAQueuedOffsetIsListedOnce(t *testing.T) {
	l := New(0, nil)
	l.Begin()
	l.Enter(0)
	l.Read(1)
	first := l.Cut()
	assert.Equal(t, []int64{0}, first.Queued)
	l.Durable(&first)
	second := l.Cut()
	assert.True(t, second.Empty())
	report(l, 0, push.Done, push.ReasonNone)
	third := l.Cut()
	assert.Equal(t, []int64{0}, third.Delivered)
	assert.Empty(t, third.Queued)
}

func TestAnOffsetThatTurnsOutNotToBeOwnedIsNeverListed(t *testing.T) {
	l := New(0, nil)
	l.Begin()
	l.Enter(0)
	l.Leave(0)
	l.Read(1)
	r := l.Cut()
	assert.True(t, r.Empty())
	assert.Equal(t, int64(1), l.Committable(), "it holds nothing up")
}

func TestASessionOpenedInTheMiddleOfABatchIsNamedOnlyAfterIt(t *testing.T) {
	l := New(0, nil)
	alice, bob := push.Binding{User: "alice", Type: push.AllTypes}, push.Binding{User: "bob", Type: "order"}
	l.Connected(alice)
	l.Begin()
	l.Connected(bob) // its user may have been looked for in vain already
	r := l.Cut()
	assert.Equal(t, []push.Binding{alice}, r.Connected)
	l.Read(5)
	r = l.Cut()
	assert.Equal(t, []push.Binding{bob}, r.Connected)
	assert.Equal(t, int64(5), r.ReadThrough)
}

func TestASessionIsNamedAlsoWhenTheBatchBroughtNothing(t *testing.T) {
	l := New(5, nil)
	l.Begin()
	l.Connected(push.Binding{User: "alice", Type: push.AllTypes})
	l.Read(5)
	r := l.Cut()
	assert.Len(t, r.Connected, 1)
}

func TestAnOffsetIsSettledOnlyWhenItsReceiptIsDurable(t *testing.T) {
	l := New(0, nil)
	l.Begin()
	for o := range int64(4) {
		l.Enter(o)
	}
	l.Read(4)
	report(l, 0, push.Done, push.ReasonNone)
	report(l, 1, push.Held, push.ReasonNone)
	report(l, 2, push.Failed, push.Offline)
	assert.Zero(t, l.Committable(), "reported is not written")
	r := l.Cut()
	assert.Zero(t, l.Committable(), "cut is not written")
	assert.Equal(t, 4, l.Unsettled())
	l.Durable(&r)
	assert.Equal(t, int64(3), l.Committable(), "up to the queued one, about which nothing has been done")
	assert.Equal(t, 1, l.Unsettled())
}

func TestAReceiptThatCouldNotBeWrittenIsSaidByTheNext(t *testing.T) {
	l := New(0, nil)
	l.Presence(push.Announce)
	l.Connected(push.Binding{User: "alice", Type: push.AllTypes})
	l.Begin()
	for o := range int64(5) {
		l.Enter(o)
	}
	l.Read(5)
	report(l, 0, push.Done, push.ReasonNone)
	report(l, 1, push.Held, push.ReasonNone)
	report(l, 2, push.Failed, push.AckTimeout)
	lost := l.Cut()
	assert.Equal(t, []int64{3, 4}, sorted(lost.Queued))

	// Meanwhile life goes on.
	report(l, 3, push.Done, push.ReasonNone)
	report(l, 1, push.Done, push.ReasonNone)
	l.Connected(push.Binding{User: "bob", Type: push.AllTypes})
	l.Uncut(lost)
	assert.True(t, signalled(l.wake), "it must not wait for something else to happen")

	r := l.Cut()
	assert.Equal(t, push.Receipt{
		Presence: push.Announce, ReadThrough: 5,
		Delivered: []int64{0, 3, 1}, Held: []int64{1}, Queued: []int64{4},
		Failed:    []push.Failure{{Offset: 2, Reason: push.AckTimeout}},
		Connected: []push.Binding{{User: "alice", Type: push.AllTypes, Saw: 5}, {User: "bob", Type: push.AllTypes}},
	}, r)
	l.Durable(&r)
	assert.Equal(t, int64(4), l.Committable())
}

func TestAGoodbyeIsNotForgottenForAHeartbeat(t *testing.T) {
	l := New(0, nil)
	l.Presence(push.Goodbye)
	lost := l.Cut()
	l.Uncut(lost)
	assert.Equal(t, push.Goodbye, l.Cut().Presence)
}

func TestALateAcknowledgementIsSaidAfterTheFailure(t *testing.T) {
	l := New(0, nil)
	l.Begin()
	l.Enter(0)
	l.Read(1)
	report(l, 0, push.Held, push.ReasonNone)
	report(l, 0, push.Failed, push.AckTimeout)
	r := l.Cut()
	l.Durable(&r)
	assert.Equal(t, int64(1), l.Committable())
	report(l, 0, push.Done, push.ReasonNone)
	r = l.Cut()
	assert.Equal(t, []int64{0}, r.Delivered)
	l.Durable(&r)
	assert.Equal(t, int64(1), l.Committable())
	assert.Zero(t, l.Unsettled())
}

func TestReadingNeverGoesBack(t *testing.T) {
	l := New(10, nil)
	l.Read(20)
	l.Read(15)
	assert.Equal(t, int64(20), l.Cut().ReadThrough)
	assert.Equal(t, int64(20), l.Committable())
}

func TestSignalsSayWhatThereIsToSayAndACutAnswersThemAll(t *testing.T) {
	l := New(0, nil)
	l.Begin()
	l.Read(0)
	assert.False(t, signalled(l.moved), "the read-through has not moved")
	l.Read(1)
	assert.True(t, signalled(l.moved))
	assert.False(t, signalled(l.wake), "how far was read is less urgent than what was delivered")
	for range manyItems - 1 {
		l.Connected(push.Binding{User: "u", Type: push.AllTypes})
	}
	assert.False(t, signalled(l.full))
	l.Connected(push.Binding{User: "u", Type: push.AllTypes})
	assert.True(t, signalled(l.full))

	l.Read(2)
	l.Connected(push.Binding{User: "u", Type: push.AllTypes})
	l.Cut()
	for name, c := range map[string]chan struct{}{"moved": l.moved, "wake": l.wake, "full": l.full} {
		assert.False(t, signalled(c), "a receipt that says nothing would follow from %s", name)
	}
}
