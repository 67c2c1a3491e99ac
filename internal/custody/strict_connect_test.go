package custody_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

func (o *inOrder) connect() {
	o.say(push.Receipt{ReadThrough: o.last() + 1, Connected: []push.Binding{{User: "42", Type: push.AllTypes}}})
}

// away: the gateway has read everything, and nobody is there.
func (o *inOrder) away() { o.say(push.Receipt{ReadThrough: o.last() + 1}) }

// passCarrying lets time go by, with the gateway heard and what is to be written
// carried out.
func (o *inOrder) passCarrying(d time.Duration) {
	const step = 500 * time.Millisecond
	for ; d > 0; d -= step {
		o.now = o.now.Add(step)
		o.away()
		o.Advance(o.now, true)
		o.carry()
	}
}

func TestInStrictOrderWhatFailsBeforeItsOfferIsKnownToBeWrittenIsOfferedAgain(t *testing.T) {
	o := newInOrder(t)
	o.read(forADay())
	a := o.only(custody.Offer)
	o.read(o.offering(a)) // before the writer has its answer
	o.failed(push.AckTimeout)
	o.Done(a.ID, o.last())
	require.NoError(t, o.Books())
	o.carry()
	require.NoError(t, o.Books())
	before := o.last()
	o.passCarrying(10 * time.Minute)
	o.connect()
	o.carry()
	assert.Greater(t, o.last(), before, "it must not wait for a place that it has itself: %+v", o.Stats())
}

func TestInStrictOrderWhoHasLeftAgainDoesNotHoldUpReceipts(t *testing.T) {
	o := newInOrder(t)
	o.heardFirst = true
	o.read(forADay())
	o.read(forADay())
	o.carry()
	o.away()
	o.carry()
	require.Equal(t, 2, o.Stats().Waiting)
	o.passCarrying(5 * time.Second)
	o.connect()
	o.carry()
	o.passCarrying(time.Hour)
	assert.LessOrEqual(t, o.receipts-o.Positions().Receipts, int64(100), "what waits behind another may do so for a day")
}

func TestInStrictOrderAnOfferingIsWantedAlsoWhileItsWaitStillEnds(t *testing.T) {
	o := newInOrder(t)
	o.heardFirst = true
	o.read(forADay())
	o.carry()
	o.away()
	o.carry()
	o.connect()
	a := o.only(custody.Offer)
	offering := o.offering(a)
	o.Done(a.ID, o.last()+1)
	end := o.Actions()[0] // is being written
	o.read(offering)
	// The session has gone before the gateway has read the offering, and is back
	// after it has.
	o.connect()
	o.done(end)
	before := o.last()
	o.carry()
	o.passCarrying(time.Minute)
	assert.Greater(t, o.last(), before, "its user is connected: %+v", o.Stats())
}

func TestWhatWaitedUnderRelaxedOrderComesAtOnceUnderStrict(t *testing.T) {
	const waits = 3
	p := policy()
	strict(&p)
	m := custody.NewMachine(custody.Start{Policy: p, Now: noon, Requests: waits, RequestsEnd: waits})
	o := &inOrder{bench: &bench{T: t, Machine: m, now: noon, retry: waits}, heardFirst: true}
	for at := range int64(waits) {
		m.RestoreWait(custody.Restored{At: at, User: "42", Type: "order", Wait: push.Wait{
			Lineage: push.Lineage{Attempt: 1, Expires: noon.Add(time.Hour)},
			Origin:  at, Reason: push.Offline, Due: noon.Add(15 * time.Minute),
		}})
		o.log = append(o.log, custody.Request{User: "42", Type: "order", Expires: noon.Add(time.Hour)})
	}
	m.RetryRead(waits)
	m.Restored()
	o.say(push.Receipt{Presence: push.Announce})
	o.connect()
	for range waits {
		o.carry()
		o.delivered()
		o.carry()
	}
	assert.Zero(t, o.Stats().Waiting, "the user is connected and reads")
}
