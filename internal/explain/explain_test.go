package explain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/explain"
	"pushgate/internal/operations"
	"pushgate/internal/push"
)

func TestADeliveredMessageIsToldFromItsProducerToItsClient(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m", push.Header{Key: push.HeaderTraceParent, Value: []byte("00-abc-def-01")}, push.Header{Key: push.HeaderType, Value: []byte("order")})
	tick()
	r.receipt("42", push.Receipt{Queued: []int64{rec.Offset}, ReadThrough: rec.Offset + 1})
	tick()
	r.receipt("42", push.Receipt{Held: []int64{rec.Offset}, ReadThrough: rec.Offset + 1})
	tick()
	r.receipt("42", push.Receipt{Delivered: []int64{rec.Offset}, ReadThrough: rec.Offset + 1})
	m := r.only(explain.Ask{User: "42"})
	assert.Equal(t, []explain.Kind{explain.Produced, explain.Queued, explain.Written, explain.Delivered}, kinds(m))
	assert.Equal(t, "m", m.ID)
	assert.Equal(t, "order", m.Type)
	assert.Equal(t, "delivered", m.Outcome)
	p := m.Events[0]
	assert.Equal(t, push.DefaultID("push.requests", home("42"), rec.Offset), p.Where)
	assert.True(t, rec.Time.Equal(p.Time), "the time is the record's")
	assert.Contains(t, p.Text, "traceparent 00-abc-def-01")
	assert.Contains(t, p.Text, "2 bytes")
	assert.Equal(t, "a", m.Events[1].Where)
	assert.Contains(t, m.Events[3].Text, "acknowledged")
	r.gap(r.story(explain.Ask{User: "42"}), "not the connection")
}

func TestTheStoryOfAUserWhoWasAway(t *testing.T) {
	r := newRig(t)
	r.receipt("42", push.Receipt{Node: "b", ReadThrough: 0})
	rec := r.send("42", "m")
	tick()
	r.receipt("42", push.Receipt{Node: "a", ReadThrough: rec.Offset + 1})
	tick()
	r.receipt("42", push.Receipt{Node: "b", ReadThrough: rec.Offset + 1})
	tick()
	r.wait(rec, rec.Offset, 1, push.Offline)
	m := r.only(explain.Ask{User: "42"})
	assert.Equal(t, explain.Waiting, m.Outcome)
	assert.Equal(t, []explain.Kind{explain.Produced, explain.NotHeld, explain.WaitBegan}, kinds(m))
	assert.Equal(t, "a, b", m.Events[1].Where)
	assert.Contains(t, m.Events[2].Text, "offline")

	tick()
	r.receipt("42", push.Receipt{Node: "b", ReadThrough: rec.Offset + 1, Connected: []push.Binding{{User: "42", Type: push.AllTypes}, {User: "43", Type: push.AllTypes}}})
	r.receipt("42", push.Receipt{Node: "a", ReadThrough: rec.Offset + 1, Connected: []push.Binding{{User: "42", Type: "another type"}}})
	tick()
	again := r.offer(rec, 2, rec.Offset)
	r.end("42", rec.Offset)
	tick()
	r.receipt("42", push.Receipt{Node: "b", Delivered: []int64{again}, ReadThrough: again + 1})
	m = r.only(explain.Ask{User: "42"})
	assert.Equal(t, []explain.Kind{
		explain.Produced, explain.NotHeld, explain.WaitBegan, explain.Connected, explain.Offered, explain.WaitEnded, explain.Delivered,
	}, sortedOffer(kinds(m)))
	assert.Equal(t, "b", r.event(m, explain.Connected).Where)
	assert.Contains(t, r.event(m, explain.Connected).Text, "all types")
	assert.Contains(t, r.event(m, explain.Offered).Text, "attempt 2")
	assert.Equal(t, "b", r.event(m, explain.Delivered).Where)
	assert.Equal(t, "delivered", m.Outcome)
}

// sortedOffer puts an offering before the end of its wait: they may be of the same
// millisecond.
func sortedOffer(all []explain.Kind) []explain.Kind {
	for i := 1; i < len(all); i++ {
		if all[i] == explain.Offered && all[i-1] == explain.WaitEnded {
			all[i], all[i-1] = all[i-1], all[i]
		}
	}
	return all
}

func TestAFailureNamesItsNodeAndReasonAndWhatFollowed(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	tick()
	r.receipt("42", push.Receipt{Node: "a", Held: []int64{rec.Offset}, ReadThrough: rec.Offset + 1})
	tick()
	r.receipt("42", push.Receipt{Node: "a", Failed: []push.Failure{{Offset: rec.Offset, Reason: push.AckTimeout}}, ReadThrough: rec.Offset + 1})
	tick()
	r.wait(rec, rec.Offset, 1, push.AckTimeout)
	m := r.only(explain.Ask{User: "42"})
	assert.Equal(t, []explain.Kind{explain.Produced, explain.Written, explain.Failed, explain.WaitBegan}, kinds(m))
	failed := r.event(m, explain.Failed)
	assert.Equal(t, "a", failed.Where)
	assert.Contains(t, failed.Text, "ack_timeout")
	assert.Contains(t, r.event(m, explain.WaitBegan).Text, "1 failed")
}

func TestAGatewayThatDiedWithTheMessageIsNamed(t *testing.T) {
	for name, last := range map[string]*push.Receipt{
		"it was not heard of any more": nil,
		"it said goodbye":              {Presence: push.Goodbye},
		"it began anew":                {Presence: push.Announce, Epoch: 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			rec := r.send("42", "m")
			tick()
			r.receipt("42", push.Receipt{Node: "a", Held: []int64{rec.Offset}, ReadThrough: rec.Offset + 1})
			tick()
			if last != nil {
				last.Node, last.ReadThrough = "a", rec.Offset+1
				r.receipt("42", *last)
				tick()
			}
			r.wait(rec, rec.Offset, 1, push.Offline)
			m := r.only(explain.Ask{User: "42"})
			assert.Equal(t, []explain.Kind{explain.Produced, explain.Written, explain.GatewayEnded, explain.WaitBegan}, kinds(m))
			assert.Equal(t, "a", m.Events[2].Where)
		})
	}
}

func TestADeadLetterTellsWhyAndWhoDecided(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	tick()
	at := r.die(rec, push.Exhausted, "8 attempts failed")
	m := r.only(explain.Ask{User: "42"})
	died := r.event(m, explain.Died)
	assert.Contains(t, died.Text, "exhausted: 8 attempts failed")
	assert.Contains(t, died.Text, "custodian-1")
	assert.Equal(t, push.DefaultID("push.dead-letter", home("42"), at), died.Where)
	assert.Equal(t, "dead_lettered", m.Outcome)

	rec = r.send("43", "n")
	r.die(rec, push.TimeToLive, "")
	assert.Equal(t, "expired", r.only(explain.Ask{User: "43"}).Outcome)
}

func TestAnInvalidRequestIsToldByItsPlaceAlsoWithoutUser(t *testing.T) {
	r := newRig(t)
	rec := r.sendTo(1, push.Record{Value: []byte("{}")})
	r.die(rec, push.Invalid, "no key: the key of a request is the user id")
	id := push.DefaultID("push.requests", 1, rec.Offset)
	m := r.only(explain.Ask{ID: id})
	assert.Equal(t, []explain.Kind{explain.Produced, explain.Died}, kinds(m))
	assert.Contains(t, m.Events[0].Text, "not valid: no key")
	assert.Empty(t, m.User)
	assert.Equal(t, id, m.ID)
}

func TestWhatOperatorsAskedForIsTold(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	tick()
	r.wait(rec, rec.Offset, 1, push.Offline)
	tick()
	command := func(kind push.CommandKind, why, user string) {
		c, err := push.CommandRecord(push.Command{
			Kind: kind, Operation: "op-1", By: "alice", Why: why, Waits: []push.CommandWait{{User: user, Origin: rec.Offset}},
		})
		require.NoError(t, err)
		r.write("push.receipts", home("42"), c)
	}
	command(push.Release, "", "somebody else")
	command(push.Discard, "campaign is over", "42")
	tick()
	r.die(rec, push.Discarded, "discarded by alice: campaign is over")
	r.end("42", rec.Offset)
	m := r.only(explain.Ask{User: "42"})
	asked := r.event(m, explain.Operator)
	assert.Contains(t, asked.Text, "alice asked the custodian to discard it: campaign is over (operation op-1)")
	assert.Contains(t, asked.Where, "push.receipts/")
	n := 0
	for _, k := range kinds(m) {
		if k == explain.Operator {
			n++
		}
	}
	assert.Equal(t, 1, n, "what is about another user's wait is not told")
	assert.Equal(t, "dead_lettered", m.Outcome)
}

func TestAReplayIsOneStoryWithTwoLives(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	tick()
	at := r.die(rec, push.Exhausted, "8 attempts failed")
	run, err := r.journal.Begin(t.Context(), operations.Operation{Kind: operations.Replay, By: "alice", Filter: map[string]string{"user": "42"}}, false)
	require.NoError(t, err)
	require.NoError(t, run.Handled(t.Context(), home("42"), []int64{at}))
	op, err := run.End(t.Context(), operations.Done, nil)
	require.NoError(t, err)
	letters, err := r.c.Find(t.Context(), "push.dead-letter", home("42"), []int64{at})
	require.NoError(t, err)
	d, err := push.ParseDeadLetter(&letters[0])
	require.NoError(t, err)
	tick()
	again := r.write("push.requests", home("42"), push.ReplayRecord(&letters[0], &d, op.ID, 0, time.Now()))
	tick()
	r.receipt("42", push.Receipt{Delivered: []int64{again}, ReadThrough: again + 1})

	for _, ask := range []explain.Ask{{User: "42"}, {ID: "m"}} {
		m := r.only(ask)
		assert.Equal(t, "delivered", m.Outcome)
		assert.ElementsMatch(t, []explain.Kind{explain.Produced, explain.Died, explain.Operator, explain.Replayed, explain.Delivered}, kinds(m))
		replayed := r.event(m, explain.Replayed)
		assert.Contains(t, replayed.Text, "exhausted")
		assert.Contains(t, replayed.Text, op.ID)
		handled := r.event(m, explain.Operator)
		assert.Contains(t, handled.Text, "replayed by alice")
	}
}

func TestAMessageThatWasMovedHomeIsToldFromBothPlacesByItsID(t *testing.T) {
	r := newRig(t)
	rec := r.sendTo(elsewhere("42"), request("42", "m"))
	tick()
	at := r.write("push.requests", home("42"), push.OfferRecord(&rec, r.lineage(rec, 1, 0), push.NoWait))
	tick()
	r.receipt("42", push.Receipt{Delivered: []int64{at}, ReadThrough: at + 1})

	m := r.only(explain.Ask{ID: "m"})
	assert.Equal(t, []explain.Kind{explain.Produced, explain.MovedHome, explain.Delivered}, kinds(m))
	assert.Contains(t, m.Events[0].Text, "not the home of its user")
	assert.Equal(t, push.DefaultID("push.requests", elsewhere("42"), rec.Offset), m.Events[0].Where)

	s := r.story(explain.Ask{User: "42"})
	require.Len(t, s.Messages, 1)
	assert.Equal(t, []explain.Kind{explain.MovedHome, explain.Delivered}, kinds(s.Messages[0]), "its first place is known from headers only")
	r.gap(s, "where it had been is not")
}

func TestIDsThatTellTheirTimeOrPlaceAreFoundAndOthersInTheTimeAskedFor(t *testing.T) {
	r := newRig(t)
	timed := push.NewID(time.Now())
	r.send("42", timed)
	placed := r.send("43", "")
	r.send("44", "named by its producer")
	assert.Equal(t, "42", r.only(explain.Ask{ID: timed}).User)
	assert.Equal(t, "43", r.only(explain.Ask{ID: push.DefaultID("push.requests", home("43"), placed.Offset)}).User)
	assert.Equal(t, "44", r.only(explain.Ask{ID: "named by its producer"}).User)

	// An id that was made long before it was used.
	early := push.NewID(time.Now().Add(-3 * time.Hour))
	r.send("45", early)
	assert.Equal(t, "45", r.only(explain.Ask{ID: early}).User)
	// And one whose maker's clock is ahead.
	late := push.NewID(time.Now().Add(3 * time.Hour))
	r.send("46", late)
	assert.Equal(t, "46", r.only(explain.Ask{ID: late}).User)

	// A place leads to its message, whatever that is called.
	named := r.send("47", "has a name")
	assert.Equal(t, "has a name", r.only(explain.Ask{ID: push.DefaultID("push.requests", home("47"), named.Offset)}).ID)

	s := r.story(explain.Ask{ID: "push.requests/99/0"})
	assert.Empty(t, s.Messages)
	r.gap(s, "push.requests has partitions 0 to")
	s = r.story(explain.Ask{ID: "unknown"})
	assert.Empty(t, s.Messages)
	r.gap(s, "no message with the id unknown")
	s = r.story(explain.Ask{ID: "push.requests/0/123456"})
	assert.Empty(t, s.Messages)
	r.gap(s, "is not in the log any more, or not yet")
}

func TestAnIDThatIsUsedTwiceIsTwoMessages(t *testing.T) {
	r := newRig(t)
	first := r.send("42", "m")
	r.receipt("42", push.Receipt{Delivered: []int64{first.Offset}, ReadThrough: first.Offset + 1})
	tick()
	r.send("42", "m")
	other := r.send("43", "m")
	r.receipt("43", push.Receipt{Delivered: []int64{other.Offset}, ReadThrough: other.Offset + 1})
	s := r.story(explain.Ask{User: "42", ID: "m"})
	require.Len(t, s.Messages, 2)
	assert.Equal(t, "delivered", s.Messages[0].Outcome)
	assert.Equal(t, explain.UnderWay, s.Messages[1].Outcome)
	s = r.story(explain.Ask{ID: "m"})
	assert.Len(t, s.Messages, 3, "also of other users")
	assert.Empty(t, s.User)
}

func TestOutcomesAreToldWhereTheyAreReportedAndMissedWhereNot(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	r.gap(r.story(explain.Ask{User: "42"}), "outcomes.enabled")
	tick()
	o := push.OutcomeRecord(&push.OutcomeReport{
		ID: "m", User: "42", Type: "default", Outcome: push.Delivered, Node: "a", Attempts: 1, Accepted: rec.Time, Settled: rec.Time.Add(time.Second),
		Partition: home("42"), Offset: rec.Offset,
	})
	r.write("push.outcomes", home("42"), o)
	s := r.story(explain.Ask{User: "42"})
	r.noGap(s, "outcomes.enabled")
	assert.Equal(t, "delivered", s.Messages[0].Outcome)
	assert.Contains(t, r.event(s.Messages[0], explain.Outcome).Text, "1s after it was accepted")
}

func TestWhatIsSettledAndOfWhichNothingIsKnownIsSaidToBeUnknown(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	assert.Equal(t, explain.UnderWay, r.only(explain.Ask{User: "42"}).Outcome)
	r.committed["push.requests"] = map[int32]int64{home("42"): rec.Offset + 1}
	assert.Equal(t, explain.Unknown, r.only(explain.Ask{User: "42"}).Outcome)
	r.limits.DefaultTTL = time.Nanosecond
	assert.Equal(t, "expired", r.only(explain.Ask{User: "42"}, func(p *explain.Params) { p.DropExpired = true }).Outcome)
}

func TestWhatWaitsIsToldAlsoWhereItBeganBeforeTheTimeAskedFor(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	at := r.wait(rec, rec.Offset, 1, push.Offline)
	r.send("42", "settled long ago")
	r.committed["push.retry"] = map[int32]int64{home("42"): at}
	<-time.After(30 * time.Millisecond)
	s := r.story(explain.Ask{User: "42", Since: time.Now()})
	require.Len(t, s.Messages, 1)
	assert.Equal(t, explain.Waiting, s.Messages[0].Outcome)
	r.gap(s, "message m began before")
}

func TestOnlyTheNewestMessagesAreToldAndThatOthersAreLeftOutIsSaid(t *testing.T) {
	r := newRig(t)
	for i := range 12 {
		r.send("42", fmt.Sprint("m", i))
		tick()
	}
	s := r.story(explain.Ask{User: "42", Limit: 3})
	require.Len(t, s.Messages, 3)
	assert.Equal(t, "m9", s.Messages[0].ID)
	assert.Equal(t, "m11", s.Messages[2].ID)
	r.gap(s, "--limit")
	s = r.story(explain.Ask{User: "42"})
	assert.Len(t, s.Messages, 12)
	r.noGap(s, "--limit")
	until := s.Messages[5].FirstSeen
	assert.Len(t, r.story(explain.Ask{User: "42", Until: until}).Messages, 6)
	assert.Len(t, r.story(explain.Ask{User: "42", Since: until}).Messages, 7)
}

func TestAUserOfWhomThereIsNothingIsNoError(t *testing.T) {
	r := newRig(t)
	r.send("42", "m")
	s := r.story(explain.Ask{User: "nobody"})
	assert.Empty(t, s.Messages)
	assert.NotNil(t, s.Messages)
	r.gap(s, "nothing was found")
}

func TestWhatCannotBeAskedIsTheFaultOfWhoAsks(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "")
	for _, ask := range []explain.Ask{
		{},
		{User: "."},
		{User: "42", Limit: -1},
		{User: "42", Limit: explain.MaxLimit + 1},
		{User: "42", Since: time.Now(), Until: time.Now().Add(-time.Hour)},
		{User: "43", ID: push.DefaultID("push.requests", home("42"), rec.Offset)},
		{ID: string(make([]byte, 1000))},
	} {
		_, err := explain.New(explain.Params{Log: log{r}, Topics: explain.Topics{Requests: "push.requests"}}).Story(t.Context(), ask)
		var bad *explain.BadRequestError
		require.ErrorAs(t, err, &bad, "%+v", ask)
	}
}

func TestRecordsThatNobodyUnderstandsArePassedOverAndNamed(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	junk := push.Record{Key: []byte("42"), Value: []byte("junk")}
	for _, topic := range []string{"push.retry", "push.dead-letter", "push.receipts", "push.outcomes"} {
		r.write(topic, home("42"), junk)
	}
	r.write("push.receipts", home("42"), push.Record{Key: []byte("operator"), Value: []byte(`{"command":"dance"}`)})
	r.receipt("42", push.Receipt{Delivered: []int64{rec.Offset}, ReadThrough: rec.Offset + 1})
	s := r.story(explain.Ask{User: "42"})
	require.Len(t, s.Messages, 1)
	assert.Equal(t, "delivered", s.Messages[0].Outcome)
	for _, part := range []string{"is no record of a wait", "is no dead letter", "is no receipt", "is no outcome", "is no command"} {
		r.gap(s, part)
	}
}

func TestAGatewayThatIsCalledIsNotSaidToHaveReadAnything(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	tick()
	r.receipt("42", push.Receipt{Node: "a", Called: true, ReadThrough: rec.Offset + 1})
	tick()
	r.wait(rec, rec.Offset, 1, push.Offline)
	s := r.story(explain.Ask{User: "42"})
	assert.Equal(t, []explain.Kind{explain.Produced, explain.WaitBegan}, kinds(s.Messages[0]))
	r.gap(s, "targeted")
}

func TestStrictOrderIsToldAsSuch(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	tick()
	l := r.lineage(rec, 1, 0)
	l.Order = rec.Offset + 1
	at := r.write("push.requests", home("42"), push.OfferRecord(&rec, l, push.NoWait))
	tick()
	r.receipt("42", push.Receipt{Delivered: []int64{at}, ReadThrough: at + 1})
	m := r.only(explain.Ask{User: "42"})
	assert.Equal(t, []explain.Kind{explain.Produced, explain.Offered, explain.Delivered}, kinds(m))
	assert.Contains(t, m.Events[1].Text, "in its turn")
}

func TestAMessageThatIsOfferedAgainWithoutAWaitIsNotTakenForOneThatMoved(t *testing.T) {
	r := newRig(t)
	rec := r.send("42", "m")
	tick()
	r.offer(rec, 2, push.NoWait)
	m := r.only(explain.Ask{User: "42"})
	assert.Equal(t, []explain.Kind{explain.Produced, explain.Offered}, kinds(m))
}

func TestAUserWithThousandsOfMessagesIsToldWithinTheLimit(t *testing.T) {
	r := newRig(t)
	const many = 10_000
	var list []push.Record
	for i := range many {
		list = append(list, request("42", fmt.Sprint("m", i)))
	}
	_, err := r.c.Produce(t.Context(), "push.requests", home("42"), list)
	require.NoError(t, err)
	found, err := r.c.Find(t.Context(), "push.requests", home("42"), []int64{0, many - 1})
	require.NoError(t, err)
	list = list[:0]
	for i := range many {
		src := request("42", fmt.Sprint("m", i))
		src.Time = found[0].Time
		list = append(list, push.WaitRecord(&src, push.Wait{
			Lineage: push.Lineage{ID: fmt.Sprint("m", i), Attempt: 1, FirstSeen: found[0].Time.Add(time.Duration(i) * time.Millisecond), Expires: time.Now().Add(time.Hour)},
			Origin:  int64(i), Reason: push.Offline, Due: time.Now(),
		}))
	}
	_, err = r.c.Produce(t.Context(), "push.retry", home("42"), list)
	require.NoError(t, err)
	s := r.story(explain.Ask{User: "42", Limit: 20})
	assert.Len(t, s.Messages, 20)
	r.gap(s, "--limit")
}

func TestWhatTheLogsDoNotHoldAnyMoreIsSaidToBeGone(t *testing.T) {
	r := newRig(t)
	early := r.send("42", "early")
	r.receipt("42", push.Receipt{Delivered: []int64{early.Offset}, ReadThrough: early.Offset + 1})
	tick()
	r.wait(early, early.Offset, 1, push.Offline)
	tick()
	late := r.send("42", "late")
	r.receipt("42", push.Receipt{Delivered: []int64{late.Offset}, ReadThrough: late.Offset + 1})
	require.NoError(t, r.broker.DeleteRecords("push.requests", home("42"), late.Offset))
	require.NoError(t, r.broker.DeleteRecords("push.receipts", home("42"), 1))
	s := r.story(explain.Ask{User: "42"})
	require.Len(t, s.Messages, 2)
	assert.Equal(t, []explain.Kind{explain.WaitBegan}, kinds(s.Messages[0]), "what is left of it")
	assert.Equal(t, "delivered", s.Messages[1].Outcome)
	r.gap(s, push.DefaultID("push.requests", home("42"), 0)[:len("push.requests/0")]+" begins at")
	r.gap(s, "the first record of message early was not found")
	s = r.story(explain.Ask{ID: push.DefaultID("push.requests", home("42"), early.Offset)})
	r.gap(s, "is not in the log any more, or not yet")

	require.NoError(t, r.broker.DeleteRecords("push.receipts", home("42"), 2))
	s = r.story(explain.Ask{User: "42", ID: "late"})
	require.Len(t, s.Messages, 1)
	assert.NotEqual(t, "delivered", s.Messages[0].Outcome, "nothing says so any more")
	r.gap(s, "which gateways had what was offered from")
	require.NoError(t, r.broker.DeleteRecords("push.requests", home("42"), late.Offset+1))
	r.gap(r.story(explain.Ask{User: "42", ID: "late"}), "has lost everything")
}
