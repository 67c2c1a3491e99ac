package custody_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// queue is a bench whose offerings go to the log and can be read from there.
type queue struct {
	*bench
	next    int64 // offset of the next request
	offered []custody.Action
	at      []int64
}

// manyOffline brings n requests of 100 bytes to waiting for an absent user, whose
// window is small.
func manyOffline(t *testing.T, n int, change ...func(*custody.Policy)) *queue {
	p := policy()
	p.Waiting.OfferMessages, p.Waiting.OfferBytes = 3, 100_000
	for _, c := range change {
		c(&p)
	}
	q := &queue{bench: newBench(t, p)}
	q.Restored()
	q.say(push.Receipt{Node: "A", Epoch: 1, Presence: push.Announce})
	for ; q.next < int64(n); q.next++ {
		q.request(q.next, func(r *custody.Request) { r.Size = 100 })
	}
	q.say(push.Receipt{ReadThrough: q.next})
	q.write()
	require.Equal(t, n, q.Stats().Waiting)
	q.connect()
	return q
}

func (q *queue) connect() {
	q.say(push.Receipt{ReadThrough: q.next, Connected: []push.Binding{{User: "42", Type: "all"}}})
}

// carry carries out what is to be written and returns how many offerings went to
// the log.
func (q *queue) carry() int {
	n := 0
	for actions := q.Actions(); len(actions) > 0; actions = q.Actions() {
		for _, a := range actions {
			if a.Kind != custody.Offer {
				q.done(a)
				continue
			}
			n++
			q.offered, q.at = append(q.offered, a), append(q.at, q.next)
			q.Done(a.ID, q.next)
			q.next++
		}
	}
	return n
}

// read reads the offerings in the log and returns their offsets.
func (q *queue) read(change ...func(*custody.Request)) []int64 {
	at := q.at
	for i, a := range q.offered {
		q.request(q.at[i], append([]func(*custody.Request){func(r *custody.Request) {
			r.EndsWait, r.Attempt, r.Size = a.Origin, a.Attempt, 100
		}}, change...)...)
	}
	q.offered, q.at = nil, nil
	return at
}

func TestWaitingMessagesAreOfferedAWindowAtATime(t *testing.T) {
	q := manyOffline(t, 10)
	total := 0
	for total < 10 {
		n := q.carry()
		assert.LessOrEqual(t, n, 3)
		require.Positive(t, n, "after %d", total)
		total += n
		at := q.read()
		assert.Zero(t, q.carry(), "the window is full until something is delivered")
		q.say(push.Receipt{ReadThrough: q.next, Delivered: at})
	}
	q.carry()
	assert.Equal(t, 10, total)
	assert.Zero(t, q.Stats().Waiting)
	assert.Equal(t, q.next, q.Positions().Requests)
}

func TestAWindowIsBoundedInBytesButNeverClosed(t *testing.T) {
	q := manyOffline(t, 4, func(p *custody.Policy) { p.Waiting.OfferBytes = 150 })
	assert.Equal(t, 1, q.carry())
	q.say(push.Receipt{ReadThrough: q.next, Delivered: q.read()})
	assert.Equal(t, 1, q.carry())

	q = manyOffline(t, 2, func(p *custody.Policy) { p.Waiting.OfferBytes = 1 })
	assert.Equal(t, 1, q.carry(), "one goes in any case")
}

func TestAFailedOfferingMakesRoomForTheNext(t *testing.T) {
	q := manyOffline(t, 6)
	require.Equal(t, 3, q.carry())
	at := q.read()
	q.say(push.Receipt{ReadThrough: q.next, Held: at[1:], Failed: []push.Failure{{Offset: at[0], Reason: push.AckTimeout}}})
	assert.Equal(t, 1, q.carry())
}

func TestWhoLeavesWhileMessagesAreOfferedKeepsThemAllWaiting(t *testing.T) {
	q := manyOffline(t, 20)
	for q.carry() > 0 {
		q.read()
		q.say(push.Receipt{ReadThrough: q.next}) // nobody lists them
	}
	assert.Equal(t, 20, q.Stats().Waiting)
	q.connect()
	assert.Equal(t, 3, q.carry(), "the window is whole again")
}

func TestAnOfferingThatExpiredOrIsGoneGivesItsPlaceBack(t *testing.T) {
	q := manyOffline(t, 9)
	require.Equal(t, 3, q.carry())
	q.read(func(r *custody.Request) { r.Expires = noon.Add(-time.Hour) })
	assert.Equal(t, 3, q.carry(), "expired")
	q.RequestsRead(q.next)
	assert.Equal(t, 3, q.carry(), "gone from the log")
}

func TestWhatWaitsForItsTurnExpiresInTime(t *testing.T) {
	q := manyOffline(t, 10)
	require.Equal(t, 3, q.carry())
	at := q.read()
	q.say(push.Receipt{ReadThrough: q.next, Held: at})
	q.passHeard(61*time.Minute, q.next)
	dead := 0
	for _, a := range q.write() {
		if a.Kind == custody.DeadLetter {
			assert.Equal(t, push.TimeToLive, a.Reason)
			dead++
		}
	}
	assert.Equal(t, 7, dead)
}

func TestNobodyEndsTheWaitOfAnotherUserByAHeader(t *testing.T) {
	b := offline(t)
	b.request(1, func(r *custody.Request) { r.User, r.EndsWait = "43", 0 })
	assert.Empty(t, b.Actions())
	assert.Equal(t, 1, b.Stats().Waiting)
}
