package push_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

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
		rec := push.OutcomeRecord(&want)
		assert.Equal(t, "42", string(rec.Key))
		got, err := push.ParseOutcome(&rec)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestAnOutcomeReadsWell(t *testing.T) {
	rec := push.OutcomeRecord(&push.OutcomeReport{
		ID: "m", User: "42", Type: "order", Outcome: push.Expired, Reason: push.TimeToLive, Node: "a", Attempts: 2,
	})
	assert.JSONEq(t, `{"id":"m","user":"42","type":"order","outcome":"expired","reason":"expired","node":"a","attempts":2,"failures":0,
		"accepted":"0001-01-01T00:00:00Z","settled":"0001-01-01T00:00:00Z","partition":0,"offset":0}`, string(rec.Value))
}

func TestWhatIsNoOutcomeIsAnError(t *testing.T) {
	for _, value := range []string{"", "{}", `{"outcome":"lost"}`, `{"outcome":"delivered","reason":"boredom"}`} {
		_, err := push.ParseOutcome(&push.Record{Value: []byte(value)})
		assert.Error(t, err, value)
	}
}

func TestAnOutcomeOfAnyTextComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(0, 4e12).Draw(t, "at")
		want := push.OutcomeReport{
			ID: rapid.String().Draw(t, "id"), User: rapid.String().Draw(t, "user"), Type: rapid.String().Draw(t, "type"), Node: rapid.String().Draw(t, "node"),
			Outcome: push.Delivered, Attempts: rapid.Int().Draw(t, "attempts"), Failures: rapid.Int().Draw(t, "failures"),
			Accepted: time.UnixMilli(at).UTC(), Settled: time.Unix(0, at).UTC(), Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset"),
			MayRepeat: rapid.Bool().Draw(t, "may repeat"),
		}
		if rapid.Bool().Draw(t, "written") {
			want.FirstWritten = want.Accepted
		}
		rec := push.OutcomeRecord(&want)
		got, err := push.ParseOutcome(&rec)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		again, err := json.Marshal(want)
		require.NoError(t, err)
		assert.JSONEq(t, string(rec.Value), string(again))
	})
}

func BenchmarkOutcomeRecord(b *testing.B) {
	at := time.Now()
	r := push.OutcomeReport{
		ID: "0194f6a2-7a3c-7bfb-8f1f-3f1c2d9e0001", User: "user-4711", Type: "order", Outcome: push.Delivered, Node: "gateway-1", Attempts: 1,
		Accepted: at, FirstWritten: at, Settled: at, Partition: 3, Offset: 123456,
	}
	b.ReportAllocs()
	for b.Loop() {
		push.OutcomeRecord(&r)
	}
}
