package ledger

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

func binding(user string) push.Binding { return push.Binding{User: user, Type: push.AllTypes} }

func saw(user string, n int64) push.Binding {
	b := binding(user)
	b.Saw = n
	return b
}

func TestWhenReadingEndsEverythingUnderWayIsListed(t *testing.T) {
	l := New(10, nil)
	l.Begin()
	l.Enter(10)
	l.Enter(11)
	l.Read(12)
	report(l, 10, push.Done, push.ReasonNone)
	l.Call()
	assert.True(t, signalled(l.wake), "custodians are to know soon")
	r := l.Cut()
	assert.Equal(t, push.Receipt{Called: true, Delivered: []int64{10}, Queued: []int64{11}}, r)
	l.Durable(&r)
	r = l.Cut()
	assert.Empty(t, r.Queued, "once")
	report(l, 11, push.Done, push.ReasonNone)
	r = l.Cut()
	l.Durable(&r)
	assert.Equal(t, int64(12), l.Committable())
	assert.Zero(t, l.UnderWay())
}

func TestWhatSessionsHaveSeenIsCountedFromWhereReadingBeginsAgain(t *testing.T) {
	l := New(100, nil)
	l.Call()
	l.Found(binding("found"))
	l.Connected(binding("not yet"))
	assert.True(t, l.Called())
	l.Restart(40)
	assert.False(t, l.Called())
	l.Name([]push.Binding{binding("there")})
	l.Found(binding("named when it connected"))
	l.Begin()
	l.Read(45)
	l.Connected(binding("new"))
	r := l.Cut()
	assert.Equal(t, push.Receipt{
		ReadThrough: 45, Connected: []push.Binding{saw("found", 5), saw("there", 5), saw("new", 0)},
	}, r)
	assert.Equal(t, int64(45), l.Committable(), "it goes back")
}

func TestAReceiptOfAnotherModeThatCouldNotBeWrittenClaimsNothingAboutWhatIsReadNow(t *testing.T) {
	l := New(100, nil)
	l.Call()
	l.Found(binding("user"))
	called := l.Cut()
	l.Restart(40)
	l.Begin()
	l.Read(50)
	l.Uncut(called)
	r := l.Cut()
	assert.Equal(t, []push.Binding{saw("user", 0)}, r.Connected)

	l.Connected(binding("user"))
	l.Begin()
	l.Read(60)
	read := l.Cut()
	l.Call()
	l.Uncut(read)
	r = l.Cut()
	assert.Equal(t, push.Receipt{Called: true, Connected: []push.Binding{binding("user")}}, r)
}

func TestWhatIsReadAgainIsEnteredAgain(t *testing.T) {
	l := New(10, nil)
	l.Begin()
	l.Enter(10)
	l.Read(11)
	l.Cut()
	l.Call()
	l.Restart(10)
	l.Begin()
	l.Enter(10)
	l.Read(11)
	r := l.Cut()
	assert.Equal(t, []int64{10}, r.Queued)
	assert.Equal(t, int64(10), l.Committable())
	report(l, 10, push.Done, push.ReasonNone)
	r = l.Cut()
	l.Durable(&r)
	assert.Equal(t, int64(11), l.Committable())
}

func TestACarriedOffsetIsCountedOnceHoweverManyBroughtIt(t *testing.T) {
	type seen struct {
		s     push.Status
		first bool
	}
	var observed []seen
	l := New(0, func(_ *push.Message, s push.Status, _ push.Reason, first bool) {
		observed = append(observed, seen{s, first})
	})
	l.Call()
	m := &push.Message{Offset: 7}
	word := func(s push.Status, late bool) {
		l.Word(m, Word{Status: s, Reason: push.AckTimeout, Late: late})
	}
	for range 3 {
		l.Carry(7)
	}
	l.CarryBack(7) // nobody took the third
	word(push.Held, false)
	word(push.Held, false)
	word(push.Failed, false)
	word(push.Done, true) // a late word to the first
	assert.Equal(t, 1, l.UnderWay())
	word(push.Done, false)
	assert.Zero(t, l.UnderWay())
	assert.Equal(t, []seen{{push.Held, true}, {push.Failed, false}, {push.Done, false}}, observed)
	r := l.Cut()
	assert.Equal(t, push.Receipt{
		Called: true, Held: []int64{7, 7}, Delivered: []int64{7, 7}, Failed: []push.Failure{{Offset: 7, Reason: push.AckTimeout}},
	}, r, "what is said twice of one offset says no more than once")
}
