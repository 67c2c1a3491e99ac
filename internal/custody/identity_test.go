package custody_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

func TestAHeaderEndsOnlyTheWaitItsOfferingCameFrom(t *testing.T) {
	offering := func(r *custody.Request) { r.EndsWait, r.Attempt = 0, 2 }
	for name, change := range map[string]func(*custody.Request){
		"another user":    func(r *custody.Request) { r.User = "43" },
		"another type":    func(r *custody.Request) { r.Type = "chat" },
		"another attempt": func(r *custody.Request) { r.Attempt = 1 },
		"another expiry":  func(r *custody.Request) { r.Expires = r.Expires.Add(time.Second) },
	} {
		b := offline(t)
		b.request(1, offering, change)
		assert.Empty(t, b.Actions(), name)
		assert.Equal(t, 1, b.Stats().Waiting, name)
	}
	b := offline(t)
	b.request(1, offering)
	b.only(custody.EndWait)
}

// successor is a custodian that finds the wait of user 42 named 4 in the retry log.
func successor(t *testing.T) *bench {
	b := newBench(t, policy())
	b.RestoreWait(custody.Restored{User: "42", Type: "order", Wait: push.Wait{
		Lineage: push.Lineage{Attempt: 1, Expires: noon.Add(time.Hour)},
		Origin:  4, Reason: push.Offline, Due: noon.Add(time.Minute),
	}})
	b.RetryRead(1)
	b.retry = 1
	b.say(push.Receipt{Node: "A", Epoch: 1, Presence: push.Announce})
	return b
}

func somebodyElse(r *custody.Request) { r.User = "43" }

func TestARequestInThePlaceOfOneThatWaitsIsNotTakenForIt(t *testing.T) {
	for name, early := range map[string]bool{"while restoring": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			b := successor(t)
			if !early {
				b.Restored()
			}
			b.request(4, somebodyElse)
			if early {
				b.Restored()
			}
			b.say(push.Receipt{ReadThrough: 5})
			actions := b.Actions()
			require.Equal(t, []custody.ActionKind{custody.Offer, custody.Offer}, kinds(actions), "each gets a name of its own")
			assert.Equal(t, []bool{true, false}, []bool{actions[0].FromRetry, actions[1].FromRetry})
			b.done(actions[1])
			assert.Equal(t, int64(4), b.Positions().Requests, "a successor must know that the wait is another's")
			b.done(actions[0])
			b.done(b.only(custody.EndWait))
			assert.Equal(t, int64(5), b.Positions().Requests)
			assert.Zero(t, b.Stats().Waiting+b.Stats().InFlight)
		})
	}
}

func TestAReceiptEndsNoWaitThatHasOnlyTheNumberOfWhatWasDelivered(t *testing.T) {
	for name, first := range map[string]bool{"receipt first": true, "request first": false} {
		t.Run(name, func(t *testing.T) {
			b := successor(t)
			b.Restored()
			delivered := push.Receipt{ReadThrough: 5, Delivered: []int64{4}}
			if first {
				b.say(delivered)
			}
			b.request(4, somebodyElse)
			if !first {
				b.say(delivered)
				b.say(delivered) // and once more, when the request is settled
			}
			a := b.only(custody.Offer)
			assert.Equal(t, "42", a.User, "it still has to be delivered")
		})
	}
}

func TestAReceiptThatIsAheadOfASuccessorEndsTheWaitItIsAbout(t *testing.T) {
	b := successor(t)
	b.Restored()
	b.say(push.Receipt{ReadThrough: 5, Delivered: []int64{4}})
	assert.Empty(t, b.Actions())
	b.request(4)
	b.done(b.only(custody.EndWait))
	assert.Equal(t, int64(5), b.Positions().Requests)
}

func TestTheReceiptThatNamesASessionIsKeptUntilAllItIsOwedIsOffered(t *testing.T) {
	connected := push.Receipt{ReadThrough: 5, Connected: []push.Binding{{User: "42", Type: "all"}}}
	cases := map[string]func(*testing.T) (*bench, int64){
		"wait being written": func(t *testing.T) (*bench, int64) {
			b := started(t)
			b.request(0)
			b.say(push.Receipt{ReadThrough: 5})
			a := b.only(custody.MakeWait)
			b.say(connected)
			b.RequestsRead(5)
			b.done(a)
			return b, b.receipts - 1
		},
		"restoring": func(t *testing.T) (*bench, int64) {
			b := successor(t)
			b.say(connected)
			b.request(4)
			b.Restored()
			return b, b.receipts - 1
		},
		"request not read yet, then failed": func(t *testing.T) (*bench, int64) {
			p := policy()
			p.Waiting.OfferMessages = 1
			b := newBench(t, p)
			b.Restored()
			b.say(connected)
			b.request(0)
			b.request(1)
			b.RequestsRead(5)
			for _, a := range b.Actions() { // one is offered, the other waits for its turn
				b.done(a)
			}
			return b, 0
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			b, at := prepare(t)
			require.Equal(t, int64(5), b.Positions().Requests)
			assert.Equal(t, at, b.Positions().Receipts, "a successor would not know that the user is there")
		})
	}
}

func TestWhatIsUnderJudgementFollowsItsUserWhenPartitionsAreAdded(t *testing.T) {
	moved := func(string) (int32, bool) { return 7, true }
	cases := map[string]func(*bench){
		"not judged":         func(b *bench) { b.Rehome(moved); b.say(push.Receipt{ReadThrough: 1}) },
		"wait being written": func(b *bench) { b.say(push.Receipt{ReadThrough: 1}); b.Rehome(moved) },
		"failed": func(b *bench) {
			b.Rehome(moved)
			b.say(push.Receipt{ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.AckTimeout}}})
		},
	}
	for name, happens := range cases {
		t.Run(name, func(t *testing.T) {
			b := started(t)
			b.request(0)
			happens(b)
			var last custody.Action
			for _, a := range b.write() {
				if a.Kind == custody.MoveHome {
					last = a
				}
			}
			assert.Equal(t, int32(7), last.Home)
			assert.Equal(t, int64(1), b.Positions().Requests)
			assert.Zero(t, b.Stats().Waiting)
		})
	}
}

func TestWhatAGatewayDeliversIsNotMoved(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1, Held: []int64{0}})
	b.Rehome(func(string) (int32, bool) { return 7, true })
	b.say(push.Receipt{ReadThrough: 1, Delivered: []int64{0}})
	assert.Empty(t, b.Actions())
	assert.Equal(t, int64(1), b.Positions().Requests)
}

func TestAWriteOfAWaitThatComesAfterItsEndDoesNotBringItBack(t *testing.T) {
	m := custody.NewMachine(custody.Start{Policy: policy(), Now: noon})
	w := custody.Restored{User: "42", Type: "order", Wait: push.Wait{
		Lineage: push.Lineage{Attempt: 1, Expires: noon.Add(time.Hour)}, Origin: 7, Reason: push.Offline, Due: noon,
	}}
	m.RestoreWait(w)
	m.RestoreEnd(7)
	w.At = 2
	m.RestoreWait(w)
	assert.Zero(t, m.Stats().Waiting)
	w.At, w.Attempt = 3, 2
	m.RestoreWait(w)
	assert.Equal(t, 1, m.Stats().Waiting, "another message may have the number, after a log lost its end")
	m.RetryRead(4)
	assert.Equal(t, int64(3), m.Positions().Retry)
}

func TestAWaitThatBeganAnewIsNotTakenForALateWriteOfTheOneThatEnded(t *testing.T) {
	m := custody.NewMachine(custody.Start{Policy: policy(), Now: noon})
	w := custody.Restored{User: "42", Type: "order", Wait: push.Wait{
		Lineage: push.Lineage{Attempt: 1, Expires: noon.Add(time.Hour)}, Origin: 7, Reason: push.Offline, Due: noon,
	}}
	m.RestoreWait(w)
	m.RestoreEnd(7)
	w.At, w.Due = 2, noon.Add(time.Minute)
	m.RestoreWait(w)
	assert.Equal(t, 1, m.Stats().Waiting)
}
