package push_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func wait() push.Wait {
	return push.Wait{
		Lineage: push.Lineage{ID: "e-1", Attempt: 2, Failures: 1, FirstSeen: written, Expires: written.Add(time.Hour)},
		Origin:  17, Reason: push.AckTimeout, Due: written.Add(time.Second),
	}
}

func TestAWaitIsReadAsItWasWritten(t *testing.T) {
	src := request("ce_id", "e-1", "ce_type", "order", "x-shop", "berlin", "pushgate-attempt", "1", "pushgate-wait", "3")
	rec := push.WaitRecord(&src, wait())

	e, err := push.ParseRetry(&rec)
	require.NoError(t, err)
	assert.False(t, e.Ends)
	assert.Equal(t, "42", e.User)
	assert.Equal(t, "order", e.Type)
	assert.Equal(t, wait(), e.Wait)
	assert.Equal(t, src.Value, rec.Value)
	assert.Equal(t, "berlin", rec.Headers.Text("x-shop"), "the producer's own headers go along")
	assert.Equal(t, "ack_timeout", rec.Headers.Text("pushgate-reason"))
}

func TestAnEndNamesTheWaitItEnds(t *testing.T) {
	rec := push.EndRecord("42", 17)
	e, err := push.ParseRetry(&rec)
	require.NoError(t, err)
	assert.True(t, e.Ends)
	assert.Equal(t, int64(17), e.Origin)
	assert.Nil(t, rec.Value)
}

func TestARetryRecordThatIsNoneIsAnError(t *testing.T) {
	src := request()
	for name, change := range map[string]func(*push.Record){
		"no wait":   func(r *push.Record) { r.Headers = push.Headers{} },
		"no kind":   func(r *push.Record) { r.Headers.AddText("pushgate-kind", "") },
		"no reason": func(r *push.Record) { r.Headers.AddText("pushgate-reason", "") },
		"no due":    func(r *push.Record) { r.Headers.AddText("pushgate-due", "later") },
	} {
		rec := push.WaitRecord(&src, wait())
		change(&rec)
		_, err := push.ParseRetry(&rec)
		assert.Error(t, err, name)
	}
}

func TestADeadLetterKeepsTheBytesAndSaysWhy(t *testing.T) {
	src := request("ce_id", "e-1", "x-shop", "berlin")
	src.Key = []byte{0xff, 0xfe} // invalid in any way
	death := push.Death{
		Lineage: push.Lineage{ID: "e-1", Attempt: 8, Failures: 8, FirstSeen: written, Expires: written.Add(time.Hour)},
		Reason:  push.Exhausted, Error: "8 attempts failed",
		OriginTopic: topic, OriginPartition: 3, OriginOffset: 17, At: written.Add(time.Minute), Node: "a",
	}
	rec := push.DeadLetterRecord(&src, death)
	assert.Equal(t, src.Key, rec.Key)
	assert.Equal(t, src.Value, rec.Value)
	assert.Equal(t, "berlin", rec.Headers.Text("x-shop"))

	d, err := push.ParseDeadLetter(&rec)
	require.NoError(t, err)
	assert.Equal(t, death, d.Death)
	assert.Equal(t, string(src.Key), d.User)
}

func TestReasonsAndOutcomesHaveTheNamesOfTheInterface(t *testing.T) {
	var names []string
	for _, r := range append(push.Deaths(), push.Failures()...) {
		names = append(names, r.String())
		back, err := push.ParseReason(r.String())
		require.NoError(t, err)
		assert.Equal(t, r, back)
	}
	assert.Equal(t, []string{
		"invalid", "too_large", "expired", "exhausted", "overflow", "discarded",
		"write_error", "slow_consumer", "ack_timeout", "unreachable", "offline",
	}, names)
	assert.Equal(t, "dead_lettered", push.DeadLettered.String())
	_, err := push.ParseReason("")
	assert.Error(t, err)
	assert.False(t, push.Offline.UsesAttempt(), "being away uses up no attempt")
}
