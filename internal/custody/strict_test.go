package custody_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// inOrder is a bench with strict order whose offerings are read back.
type inOrder struct {
	*bench
	log []custody.Request
	// heardFirst: that an offering is written is heard before it is read, else after.
	heardFirst bool
}

func strict(p *custody.Policy) { p.Strict = true }

func newInOrder(t *testing.T, change ...func(*custody.Policy)) *inOrder {
	p := policy()
	strict(&p)
	for _, c := range change {
		c(&p)
	}
	o := &inOrder{bench: newBench(t, p)}
	o.Restored()
	o.say(push.Receipt{Node: "A", Epoch: 1, Presence: push.Announce})
	return o
}

// send writes requests as a producer does, and has them read.
func (o *inOrder) send(users ...string) {
	for _, user := range users {
		o.read(custody.Request{User: user, Type: "order", EndsWait: push.NoWait, Expires: noon.Add(time.Hour)})
	}
}

func (o *inOrder) read(r custody.Request) {
	r.Offset = int64(len(o.log))
	o.log = append(o.log, r)
	o.Request(r)
	o.RequestsRead(r.Offset + 1)
}

// carry carries out what is to be written and returns the orders of what was
// offered.
func (o *inOrder) carry() []int64 {
	var offered []int64
	for actions := o.Actions(); len(actions) > 0; actions = o.Actions() {
		for _, a := range actions {
			if a.Kind != custody.Offer {
				o.done(a)
				continue
			}
			offered = append(offered, a.Order)
			at, r := o.last()+1, o.offering(a)
			if o.heardFirst {
				o.Done(a.ID, at)
			}
			o.read(r)
			if !o.heardFirst {
				o.Done(a.ID, at)
			}
		}
	}
	return offered
}

// offering is what is written for an offer.
func (o *inOrder) offering(a custody.Action) custody.Request {
	r := o.log[a.Origin]
	r.Attempt, r.Failures, r.Order, r.EndsWait, r.MayRepeat = a.Attempt, a.Failures, a.Order, push.NoWait, a.MayRepeat
	if a.FromRetry {
		r.EndsWait = a.Origin
	}
	return r
}

// forADay is what a producer writes for user 42 that outlives the test.
func forADay() custody.Request {
	return custody.Request{User: "42", Type: "order", EndsWait: push.NoWait, Size: 100, Expires: noon.Add(24 * time.Hour)}
}

// last is the offset of the latest offering.
func (o *inOrder) last() int64 { return int64(len(o.log)) - 1 }

func (o *inOrder) delivered() {
	o.say(push.Receipt{ReadThrough: o.last() + 1, Delivered: []int64{o.last()}})
}

func (o *inOrder) failed(r push.Reason) {
	o.say(push.Receipt{ReadThrough: o.last() + 1, Failed: []push.Failure{{Offset: o.last(), Reason: r}}})
}

func TestInStrictOrderEachMessageIsOfferedWhenThoseBeforeItAreSettled(t *testing.T) {
	o := newInOrder(t)
	o.send("42", "42", "42")
	assert.Equal(t, []int64{1}, o.carry(), "the first, as its first attempt")
	assert.Equal(t, 1, o.log[3].Attempt)
	assert.Empty(t, o.carry())
	o.delivered()
	assert.Equal(t, []int64{2}, o.carry())
	o.delivered()
	assert.Equal(t, []int64{3}, o.carry())
	o.delivered()
	assert.Empty(t, o.carry())
	assert.Equal(t, o.last()+1, o.Positions().Requests)
	assert.Zero(t, o.Stats().Waiting+o.Stats().InFlight)
}

func TestInStrictOrderUsersAndTypesDoNotWaitForEachOther(t *testing.T) {
	o := newInOrder(t)
	o.send("42", "43")
	o.read(custody.Request{User: "42", Type: "chat", EndsWait: push.NoWait, Expires: noon.Add(time.Hour)})
	assert.Equal(t, []int64{1, 2, 3}, o.carry())
}

func TestInStrictOrderAFailedMessageHoldsUpThoseBehindIt(t *testing.T) {
	o := newInOrder(t)
	o.send("42", "42", "42")
	o.carry()
	o.failed(push.AckTimeout)
	assert.Empty(t, o.carry(), "all wait")
	assert.Equal(t, 3, o.Stats().Waiting)
	o.send("42")
	assert.Empty(t, o.carry())
	assert.Equal(t, 4, o.Stats().Waiting)
	assert.Equal(t, o.last()+1, o.Positions().Requests, "and are safe where they wait")
	o.passHeard(2*time.Second, o.last()+1)
	for _, order := range []int64{1, 2, 3, 5} {
		require.Equal(t, []int64{order}, o.carry())
		o.delivered()
	}
	assert.Empty(t, o.carry())
	assert.Zero(t, o.Stats().Waiting)
}

func TestInStrictOrderAMessageThatDiesLetsTheNextPass(t *testing.T) {
	o := newInOrder(t, func(p *custody.Policy) { p.Retry.MaxAttempts = 1 })
	o.send("42", "42")
	o.carry()
	o.failed(push.AckTimeout)
	assert.Equal(t, []int64{2}, o.carry())
}

func TestInStrictOrderWhatExpiresInTheQueueLetsTheNextPass(t *testing.T) {
	o := newInOrder(t)
	o.send("42")
	o.read(custody.Request{User: "42", Type: "order", EndsWait: push.NoWait, Expires: noon.Add(time.Second)})
	o.send("42")
	require.Equal(t, []int64{1}, o.carry())
	o.passHeard(2*time.Second, o.last()+1)
	o.say(push.Receipt{ReadThrough: o.last() + 1, Delivered: []int64{o.last()}})
	assert.Equal(t, []int64{3}, o.carry())
}

func TestInStrictOrderWhoWasAwayGetsAllInOrderOnConnecting(t *testing.T) {
	o := newInOrder(t)
	o.send("42", "42", "42")
	o.carry()
	o.say(push.Receipt{ReadThrough: o.last() + 1})
	assert.Empty(t, o.carry())
	require.Equal(t, 3, o.Stats().Waiting)
	o.passHeard(time.Second, o.last()+1)
	assert.Empty(t, o.carry(), "nobody is there")
	o.say(push.Receipt{ReadThrough: o.last() + 1, Connected: []push.Binding{{User: "42", Type: push.AllTypes}}})
	for order := range int64(3) {
		require.Equal(t, []int64{order + 1}, o.carry())
		o.delivered()
	}
	assert.Zero(t, o.Stats().Waiting)
}

func TestInStrictOrderASuccessorKeepsTheOrderOfWhatWaitsAndWhatIsNew(t *testing.T) {
	p := policy()
	strict(&p)
	m := custody.NewMachine(custody.Start{Policy: p, Now: noon, Requests: 3, RequestsEnd: 5})
	// The second began to wait before the first did.
	for at, order := range []int64{2, 1} {
		m.RestoreWait(custody.Restored{At: int64(at), User: "42", Type: "order", Wait: push.Wait{
			Lineage: push.Lineage{Order: order, Expires: noon.Add(time.Hour)}, Origin: order - 1, Reason: push.Offline, Due: noon,
		}})
	}
	m.RetryRead(2)
	o := &inOrder{bench: &bench{T: t, Machine: m, now: noon, retry: 2}, log: make([]custody.Request, 3)}
	for i := range o.log {
		o.log[i] = custody.Request{Offset: int64(i), User: "42", Type: "order", Expires: noon.Add(time.Hour)}
	}
	o.send("42")
	o.say(push.Receipt{Presence: push.Announce})
	m.Restored()
	m.Advance(noon, true)
	for _, order := range []int64{1, 2, 4} {
		require.Equal(t, []int64{order}, o.carry())
		o.delivered()
	}
	assert.Zero(t, o.Stats().Waiting+o.Stats().InFlight)
}

func TestInStrictOrderASuccessorDoesNotOfferAgainWhatItsPredecessorOffered(t *testing.T) {
	p := policy()
	strict(&p)
	o := &inOrder{bench: newBench(t, p)}
	o.say(push.Receipt{Presence: push.Announce})
	o.send("42", "42")
	o.read(custody.Request{
		User: "42", Type: "order", Attempt: 1, Order: 1, EndsWait: push.NoWait, Expires: noon.Add(time.Hour),
	})
	o.Restored()
	assert.Empty(t, o.carry())
	o.delivered()
	assert.Equal(t, []int64{2}, o.carry())
}

func TestInStrictOrderAMessageThatIsMovedHomeIsNotTakenForAnother(t *testing.T) {
	o := newInOrder(t)
	o.send("43", "43") // the second is queued
	require.Equal(t, []int64{1}, o.carry())
	// From another partition, where it stood at the offset that is the second's here.
	o.read(custody.Request{User: "43", Type: "order", Order: 2, EndsWait: push.NoWait, Expires: noon.Add(time.Hour)})
	assert.Equal(t, 3, o.Stats().InFlight, "the first's offering, the second, and what was moved")

	o.read(custody.Request{User: "9", Foreign: true, Home: 3, Type: "order", EndsWait: push.NoWait, Expires: noon.Add(time.Hour)})
	moved := o.only(custody.MoveHome)
	assert.Zero(t, moved.Order, "its place here means nothing there")
}

func TestInStrictOrderAQueueThatIsTooLongForMemoryGoesToTheLog(t *testing.T) {
	o := newInOrder(t, func(p *custody.Policy) { p.Custody.MaxInFlight = 4 })
	o.send("42", "42", "42", "42", "42", "42")
	require.Equal(t, []int64{1}, o.carry())
	assert.Less(t, o.Stats().InFlight, 4, "or what they wait for would never be read")
	for _, order := range []int64{1, 2, 3, 4, 5} {
		o.delivered()
		require.Equal(t, []int64{order + 1}, o.carry())
	}
}

func TestInStrictOrderWhatWasQueuedWhilePartitionsWereAddedMoves(t *testing.T) {
	p := policy()
	strict(&p)
	o := &inOrder{bench: newBench(t, p)}
	o.send("42")
	o.Rehome(func(string) (int32, bool) { return 1, true })
	o.Restored()
	assert.Equal(t, int32(1), o.only(custody.MoveHome).Home)
}

func TestInStrictOrderASuccessorWithALongQueueStillKnowsWhatWasOffered(t *testing.T) {
	p := policy()
	strict(&p)
	p.Custody.MaxInFlight = 4
	o := &inOrder{bench: newBench(t, p)}
	o.say(push.Receipt{Presence: push.Announce})
	o.send("42", "42", "42", "42", "42", "42")
	require.Empty(t, o.carry(), "some wait, nothing is offered")
	require.Less(t, o.Stats().InFlight, 4)
	for order := int64(1); order <= 5; order += 4 { // one is in flight, one a wait
		o.read(custody.Request{
			User: "42", Type: "order", Attempt: 1, Order: order, EndsWait: push.NoWait, Expires: noon.Add(time.Hour),
		})
	}
	o.Restored()
	require.Empty(t, o.carry())
	o.say(push.Receipt{ReadThrough: 8, Delivered: []int64{6, 7}})
	for _, order := range []int64{2, 3, 4, 6} {
		require.Equal(t, []int64{order}, o.carry())
		o.delivered()
	}
	o.carry()
	assert.Zero(t, o.Stats().Waiting+o.Stats().InFlight)
	assert.Equal(t, o.last()+1, o.Positions().Requests)
}

func TestInStrictOrderAnOfferingMayNameTheNumberOfARequestThatMoves(t *testing.T) {
	o := newInOrder(t)
	o.read(custody.Request{User: "42", Foreign: true, Home: 1, Type: "order", EndsWait: push.NoWait, Expires: noon.Add(time.Hour)})
	o.read(custody.Request{
		User: "42", Type: "order", Attempt: 1, Order: 1, EndsWait: push.NoWait, Expires: noon.Add(time.Hour),
	})
	assert.Equal(t, 2, o.Stats().InFlight)
}
