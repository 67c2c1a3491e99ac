package push_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func TestAnOutcomeComesBackAsItWasWritten(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.UTC)
	for _, want := range []push.OutcomeReport{
		{
			ID: "m", User: "42", Type: "order", Outcome: push.Delivered, Node: "a", Attempts: 1,
			Accepted: at, FirstWritten: at.Add(time.Millisecond), Settled: at.Add(time.Second), Partition: 3, Offset: 7,
		},
		{
			ID: "m", User: "42", Type: "order", Outcome: push.DeadLettered, Reason: push.Exhausted, Node: "b", Attempts: 9, Failures: 8,
			Accepted: at, Settled: at, MayRepeat: true,
		},
	} {
		rec, err := push.OutcomeRecord(want)
		require.NoError(t, err)
		assert.Equal(t, "42", string(rec.Key))
		got, err := push.ParseOutcome(&rec)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestAnOutcomeReadsWell(t *testing.T) {
	rec, err := push.OutcomeRecord(push.OutcomeReport{
		ID: "m", User: "42", Type: "order", Outcome: push.Expired, Reason: push.TimeToLive, Node: "a", Attempts: 2,
	})
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"m","user":"42","type":"order","outcome":"expired","reason":"expired","node":"a","attempts":2,"failures":0,
		"accepted":"0001-01-01T00:00:00Z","settled":"0001-01-01T00:00:00Z","partition":0,"offset":0}`, string(rec.Value))
}

func TestWhatIsNoOutcomeIsAnError(t *testing.T) {
	for _, value := range []string{"", "{}", `{"outcome":"lost"}`, `{"outcome":"delivered","reason":"boredom"}`} {
		_, err := push.ParseOutcome(&push.Record{Value: []byte(value)})
		assert.Error(t, err, value)
	}
}
