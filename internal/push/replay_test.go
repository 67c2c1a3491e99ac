package push_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

// died returns the dead letter of a message that lived for an hour, a day ago.
func died(t *testing.T, src *push.Record, reason push.Reason) (push.Record, push.DeadLetter) {
	t.Helper()
	begun := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	src.Time = begun
	m, err := push.ParseRequest(src, "push.requests", push.Limits{DefaultTTL: time.Hour})
	require.NoError(t, err)
	rec := push.DeadLetterRecord(src, push.Death{Lineage: m.Lineage(), Reason: reason, Error: "why", OriginTopic: "push.requests", At: begun})
	d, err := push.ParseDeadLetter(&rec)
	require.NoError(t, err)
	return rec, d
}

func TestAReplayIsTheMessageUnderItsIDWithAnotherLife(t *testing.T) {
	src := push.Record{Key: []byte("42"), Value: []byte(`{"order":991}`), Headers: push.NewHeaders(
		push.Header{Key: push.HeaderType, Value: []byte("order")},
		push.Header{Key: push.HeaderExpiryTime, Value: []byte("2030-01-01T13:00:00Z")},
		push.Header{Key: push.HeaderTraceParent, Value: []byte("00-1-2-01")},
	)}
	letter, d := died(t, &src, push.Exhausted)
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	again := push.ReplayRecord(&letter, &d, "op-1", 0, now)
	again.Time, again.Offset = now, 77

	m, err := push.ParseRequest(&again, "push.requests", push.Limits{DefaultTTL: time.Minute})
	require.NoError(t, err)
	assert.Equal(t, "push.requests/0/0", m.ID, "the id it had, not one of its new place")
	assert.Equal(t, "order", m.Type)
	assert.Equal(t, "00-1-2-01", m.TraceParent)
	assert.Equal(t, src.Value, m.Data)
	assert.Equal(t, now.Add(time.Hour), m.Expires, "as long as it was at first, whatever the producer's header says by now")
	assert.Equal(t, now, m.FirstSeen)
	assert.Equal(t, 1, m.Attempt)
	assert.Zero(t, m.Failures)
	assert.True(t, m.Raw(), "where order is strict it gets a place like any other")
	assert.Equal(t, push.Replay{Count: 1, Reason: push.Exhausted, Operation: "op-1"}, m.Replay)

	other := push.ReplayRecord(&letter, &d, "op-2", 5*time.Minute, now)
	m, err = push.ParseRequest(&other, "push.requests", push.Limits{})
	require.NoError(t, err)
	assert.Equal(t, now.Add(5*time.Minute), m.Expires)
}

func TestTheMarkOfAReplayStaysWithTheMessageToItsDeath(t *testing.T) {
	src := push.Record{Key: []byte("42"), Value: []byte("x")}
	letter, d := died(t, &src, push.Exhausted)
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	replayed := push.ReplayRecord(&letter, &d, "op-1", 0, now)
	l := push.Lineage{ID: d.ID, Attempt: 2, FirstSeen: now, Expires: now.Add(time.Hour)}
	wait := push.WaitRecord(&replayed, push.Wait{Lineage: l, Origin: 3, Reason: push.Offline, Due: now})
	offer := push.OfferRecord(&wait, l, 3)
	m, err := push.ParseRequest(&offer, "push.requests", push.Limits{})
	require.NoError(t, err)
	assert.Equal(t, "op-1", m.Replay.Operation)

	dead := push.DeadLetterRecord(&offer, push.Death{Lineage: l, Reason: push.Exhausted, At: now})
	once, err := push.ParseDeadLetter(&dead)
	require.NoError(t, err)
	assert.True(t, once.Replay.Again(once.Reason))
	assert.False(t, once.Replay.Again(push.Overflow))
	assert.False(t, d.Replay.Again(d.Reason), "it has died once")

	twice := push.ReplayRecord(&dead, &once, "op-2", 0, now)
	m, err = push.ParseRequest(&twice, "push.requests", push.Limits{})
	require.NoError(t, err)
	assert.Equal(t, push.Replay{Count: 2, Reason: push.Exhausted, Operation: "op-2"}, m.Replay)
	assert.Len(t, twice.Headers.List(), 3, "id, expiry and one mark")
}

func TestAMarkOfAReplayThatIsNoneIsNamed(t *testing.T) {
	for _, text := range []string{"", "1", "0 exhausted op", "1 bored op", "-1 exhausted op", "1 exhausted a b"} {
		rec := push.Record{Key: []byte("42"), Headers: push.NewHeaders(push.Header{Key: push.HeaderReplay, Value: []byte(text)})}
		_, err := push.ParseRequest(&rec, "t", push.Limits{})
		require.ErrorContains(t, err, push.HeaderReplay, "%q", text)
	}
}
