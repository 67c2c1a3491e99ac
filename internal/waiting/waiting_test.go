package waiting_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
	"pushgate/internal/waiting"
)

func TestWhatWaitsIsListedAndWhatHasEndedIsNot(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	r.wait("42", "b", 11, func(w *push.Wait) { w.Reason, w.Failures, w.Attempt = push.AckTimeout, 2, 3 })
	r.wait("42", "c", 12)
	r.end("42", 10)
	found := r.page(waiting.Filter{})
	require.Equal(t, []string{"b", "c"}, ids(found))
	b := found[0]
	assert.Equal(t, "42", b.User)
	assert.Equal(t, "order", b.Type)
	assert.Equal(t, push.AckTimeout, b.Reason)
	assert.Equal(t, home("42"), b.Partition)
	assert.Equal(t, int64(11), b.Origin)
	assert.Equal(t, 3, b.Attempt)
	assert.Equal(t, 2, b.Failures)
	assert.WithinDuration(t, time.Now().Add(15*time.Minute), b.Due, 10*time.Second)
	assert.WithinDuration(t, time.Now(), b.Since, 10*time.Second)
	assert.Nil(t, b.Data, "no payload in a listing")
}

func TestAWaitThatWasWrittenAnewIsOneWaitAndWaitsSinceItsFirstRecord(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	first := r.page(waiting.Filter{})[0]
	<-time.After(20 * time.Millisecond)
	r.wait("42", "a", 10, func(w *push.Wait) { w.Reason = push.WriteError })
	found := r.page(waiting.Filter{})
	require.Len(t, found, 1)
	assert.Equal(t, first.Since, found[0].Since)
	assert.Equal(t, push.WriteError, found[0].Reason, "what was written last counts")
	assert.Empty(t, r.page(waiting.Filter{Reason: push.Offline}))
	assert.Len(t, r.page(waiting.Filter{Reason: push.WriteError}), 1)
}

func TestAWriteOfAWaitThatComesAfterItsEndIsNoWait(t *testing.T) {
	r := newRig(t)
	rec := waitRecord("42", "a", 10)
	r.write("push.retry", home("42"), rec)
	r.end("42", 10)
	r.write("push.retry", home("42"), rec)
	assert.Empty(t, r.page(waiting.Filter{}))
}

func TestOnlyWhatACustodianWouldReadIsRead(t *testing.T) {
	r := newRig(t)
	r.wait("42", "stale", 10) // its end was trimmed, say
	at := r.wait("42", "a", 11)
	r.committed[home("42")] = at
	assert.Equal(t, []string{"a"}, ids(r.page(waiting.Filter{})))
	r.committed[home("42")] = at + 100
	assert.Len(t, r.page(waiting.Filter{}), 2, "an offset beyond the end means nothing: the topic was made anew")
	r.committed[home("42")] = -1
	assert.Len(t, r.page(waiting.Filter{}), 2)
}

func TestEachFilterTakesWhatItNames(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	r.wait("43", "b", 11, func(w *push.Wait) { w.Reason = push.SlowConsumer })
	rec := source("44", "c", "ads", "x")
	r.write("push.retry", home("44"), push.WaitRecord(&rec, push.Wait{
		Lineage: push.Lineage{ID: "c", Attempt: 1, FirstSeen: rec.Time.Add(-time.Hour), Expires: rec.Time.Add(time.Hour)},
		Origin:  12, Reason: push.Offline, Due: rec.Time,
	}))
	for _, one := range []struct {
		filter waiting.Filter
		want   []string
	}{
		{waiting.Filter{User: "42"}, []string{"a"}},
		{waiting.Filter{Type: "ads"}, []string{"c"}},
		{waiting.Filter{ID: "b"}, []string{"b"}},
		{waiting.Filter{Reason: push.SlowConsumer}, []string{"b"}},
		{waiting.Filter{OlderThan: 30 * time.Minute}, []string{"c"}},
		{waiting.Filter{User: "42", ID: "b"}, []string{}},
		{waiting.Filter{User: "nobody"}, []string{}},
	} {
		assert.Equal(t, one.want, ids(r.page(one.filter)), "%+v", one.filter)
	}
	assert.True(t, waiting.Filter{}.Empty())
	assert.False(t, waiting.Filter{User: "42"}.Empty())
}

func TestWhatWaitsForAUserIsReadFromTheHomeOfTheUserOnly(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	r.write("push.retry", (home("42")+1)%partitions, waitRecord("42", "elsewhere", 11))
	assert.Equal(t, []string{"a"}, ids(r.page(waiting.Filter{User: "42"})))
	assert.Len(t, r.page(waiting.Filter{}), 2)
}

func TestPagesTogetherHoldEverythingOnce(t *testing.T) {
	r := newRig(t)
	for i := range 25 {
		user := fmt.Sprint("user-", i%7)
		r.wait(user, fmt.Sprint(i), int64(i))
	}
	seen := map[string]int{}
	cursor, pages := "", 0
	for {
		page, err := r.store.Page(t.Context(), waiting.Filter{}, 4, cursor)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(page.Waits), 4)
		for _, id := range ids(page.Waits) {
			seen[id]++
		}
		pages++
		assert.Equal(t, page.Next == "", page.Complete)
		if cursor = page.Next; cursor == "" {
			break
		}
		require.Less(t, pages, 50)
	}
	assert.Len(t, seen, 25)
	for id, n := range seen {
		assert.Equal(t, 1, n, id)
	}
}

func TestAFilterOrCursorThatIsNoneIsTheFaultOfWhoAsks(t *testing.T) {
	r := newRig(t)
	var bad *waiting.BadRequestError
	for _, cursor := range []string{"x", "1", "1-", "-1-2", "1-x", "99999999999-1"} {
		_, err := r.store.Page(t.Context(), waiting.Filter{}, 10, cursor)
		require.ErrorAs(t, err, &bad, cursor)
	}
	_, err := r.store.Page(t.Context(), waiting.Filter{OlderThan: -time.Second}, 10, "")
	require.ErrorAs(t, err, &bad)
	_, err = r.store.Summary(t.Context(), waiting.Filter{User: ".."})
	require.ErrorAs(t, err, &bad)
	_, err = r.store.Discard(t.Context(), waiting.Filter{User: "42"}, waiting.Order{Why: " "})
	require.ErrorAs(t, err, &bad, "a reason is needed")
}

func TestASummaryCountsByReasonAndPartitionAndNamesTheOldest(t *testing.T) {
	r := newRig(t)
	empty, err := r.store.Summary(t.Context(), waiting.Filter{})
	require.NoError(t, err)
	assert.Zero(t, empty.Total)
	assert.True(t, empty.Oldest.IsZero())

	old := time.Now().Add(-3 * time.Hour).Truncate(time.Millisecond)
	r.wait("42", "a", 10, func(w *push.Wait) { w.FirstSeen, w.Due = old, old.Add(time.Minute) })
	r.wait("42", "b", 11)
	r.wait("43", "c", 12, func(w *push.Wait) { w.Reason = push.AckTimeout })
	sum, err := r.store.Summary(t.Context(), waiting.Filter{})
	require.NoError(t, err)
	assert.Equal(t, 3, sum.Total)
	assert.Equal(t, map[string]int{"offline": 2, "ack_timeout": 1}, sum.ByReason)
	assert.Equal(t, map[int32]int{home("42"): 2, home("43"): 1}, sum.ByPartition)
	assert.True(t, old.Equal(sum.Oldest))
	assert.True(t, old.Add(time.Minute).Equal(sum.NextDue))
}

func TestRecordsThatAreNoWaitsArePassedOverAndCounted(t *testing.T) {
	r := newRig(t)
	bad := push.Record{Key: []byte("42"), Value: []byte("x")}
	odd := waitRecord("42", "odd", 9)
	odd.Headers.AddText(push.HeaderReason, "boredom")
	r.write("push.retry", home("42"), bad, push.Record{}, odd)
	r.wait("42", "a", 10)
	page, err := r.store.Page(t.Context(), waiting.Filter{}, 10, "")
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, ids(page.Waits))
	assert.Equal(t, 3, page.Malformed)
}

func TestThePayloadOfAPageIsFilledInAndShownAsWhatItIs(t *testing.T) {
	r := newRig(t)
	origin := int64(0)
	for id, data := range map[string]string{"json": `{"n":1}`, "text": "hello", "bytes": "\xff\x00"} {
		rec := source("42", id, "order", data)
		origin++
		r.write("push.retry", home("42"), push.WaitRecord(&rec, push.Wait{
			Lineage: push.Lineage{ID: id, Attempt: 1, FirstSeen: rec.Time, Expires: rec.Time}, Origin: origin, Reason: push.Offline, Due: rec.Time,
		}))
	}
	found := r.page(waiting.Filter{})
	_, err := r.store.Fill(t.Context(), found)
	require.NoError(t, err)
	shown := map[string]map[string]any{}
	for _, w := range found {
		b, err := json.Marshal(w)
		require.NoError(t, err)
		var m map[string]any
		require.NoError(t, json.Unmarshal(b, &m))
		shown[w.ID] = m
	}
	assert.Equal(t, map[string]any{"n": 1.0}, shown["json"]["data"])
	assert.Equal(t, "hello", shown["text"]["text"])
	assert.Equal(t, "/wA=", shown["bytes"]["data_base64"])
	assert.Equal(t, "offline", shown["json"]["reason"])
	assert.NotEmpty(t, shown["json"]["headers"])
}

func TestWhatIsGoneFromTheLogStaysWithoutPayload(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	found := r.page(waiting.Filter{})
	found[0].At = 1000
	_, err := r.store.Fill(t.Context(), found)
	require.NoError(t, err)
	assert.Nil(t, found[0].Data)
}

func TestAUserWithTenThousandWaitsIsListedWithoutPayloads(t *testing.T) {
	r := newRig(t)
	const many = 10_000
	batch := make([]push.Record, 0, 1000)
	for i := range many {
		batch = append(batch, waitRecord("42", fmt.Sprint("m", i), int64(i)))
		if len(batch) == cap(batch) {
			r.write("push.retry", home("42"), batch...)
			batch = batch[:0]
		}
	}
	n := 0
	_, err := r.store.Each(t.Context(), waiting.Filter{User: "42"}, func(w waiting.Wait) error {
		assert.Equal(t, int64(n), w.Origin)
		n++
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, many, n)
	sum, err := r.store.Summary(t.Context(), waiting.Filter{User: "42"})
	require.NoError(t, err)
	assert.Equal(t, many, sum.Total)
}

func TestWhatWasTrimmedFromTheLogIsPassedOver(t *testing.T) {
	r := newRig(t)
	r.wait("42", "gone", 10)
	at := r.wait("42", "a", 11)
	require.NoError(t, r.broker.DeleteRecords("push.retry", home("42"), at))
	assert.Equal(t, []string{"a"}, ids(r.page(waiting.Filter{})), "the committed position is below what the log holds")
	require.NoError(t, r.broker.DeleteRecords("push.retry", home("42"), at+1))
	assert.Empty(t, r.page(waiting.Filter{}))
}

func TestWhoCannotHaveATurnIsToldWhenItsTimeIsUp(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.store.Page(ctx, waiting.Filter{}, 10, "")
	require.ErrorIs(t, err, context.Canceled)
	_, err = r.store.Summary(ctx, waiting.Filter{})
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, r.page(waiting.Filter{}), 1, "nobody has kept the turn")
}
