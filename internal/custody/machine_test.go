package custody_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func policy() custody.Policy {
	return custody.Policy{Custody: custody.DefaultConfig(), Retry: custody.DefaultRetryConfig(), Waiting: custody.DefaultWaitingConfig()}
}

// bench drives one machine by hand.
type bench struct {
	*testing.T
	*custody.Machine
	now      time.Time
	receipts int64
	retry    int64
}

func newBench(t *testing.T, p custody.Policy) *bench {
	b := &bench{T: t, now: noon, Machine: custody.NewMachine(custody.Start{Policy: p, Now: noon})}
	return b
}

func started(t *testing.T) *bench {
	b := newBench(t, policy())
	b.Restored()
	b.say(push.Receipt{Node: "A", Epoch: 1, Presence: push.Announce})
	return b
}

func (b *bench) request(offset int64, change ...func(*custody.Request)) {
	r := custody.Request{
		Offset: offset, User: "42", Type: "order", Attempt: 1,
		Expires: noon.Add(time.Hour), EndsWait: push.NoWait,
	}
	for _, c := range change {
		c(&r)
	}
	b.Request(r)
}

func (b *bench) say(r push.Receipt) {
	if r.Node == "" {
		r.Node, r.Epoch = "A", 1
	}
	b.Receipt(b.receipts, &r)
	b.receipts++
}

// pass lets time go by with receipts current, in steps a real custodian makes.
func (b *bench) pass(d time.Duration) {
	const step = 250 * time.Millisecond
	for ; d > 0; d -= step {
		b.now = b.now.Add(min(step, d))
		b.Advance(b.now, true)
	}
}

// passHeard lets time go by while gateway A goes on saying that it is alive.
func (b *bench) passHeard(d time.Duration, readThrough int64) {
	const step = 500 * time.Millisecond
	for ; d > 0; d -= step {
		b.pass(min(step, d))
		b.say(push.Receipt{ReadThrough: readThrough})
	}
}

// write makes everything durable that the machine asked for, until it asks for
// nothing more, and returns it.
func (b *bench) write() []custody.Action {
	var all []custody.Action
	for actions := b.Actions(); len(actions) > 0; actions = b.Actions() {
		for _, a := range actions {
			all = append(all, a)
			b.done(a)
		}
	}
	return all
}

func (b *bench) done(a custody.Action) {
	at := int64(0)
	if a.Kind == custody.MakeWait || a.Kind == custody.EndWait {
		at = b.retry
		b.retry++
	}
	b.Done(a.ID, at)
}

func (b *bench) only(kind custody.ActionKind) custody.Action {
	b.Helper()
	actions := b.Actions()
	require.Len(b, actions, 1)
	require.Equal(b, kind, actions[0].Kind, actions[0].Kind.String())
	return actions[0]
}

func kinds(actions []custody.Action) []custody.ActionKind {
	var k []custody.ActionKind
	for _, a := range actions {
		k = append(k, a.Kind)
	}
	return k
}

// offline brings request 0 to waiting for an absent user.
func offline(t *testing.T) *bench {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1})
	b.done(b.only(custody.MakeWait))
	b.Settled()
	return b
}

func TestADeliveredMessageIsSettledAndCommitted(t *testing.T) {
	b := started(t)
	b.request(0)
	assert.Equal(t, int64(0), b.Positions().Requests)
	b.say(push.Receipt{ReadThrough: 1, Delivered: []int64{0}})
	assert.Equal(t, int64(1), b.Positions().Requests)
	assert.Empty(t, b.Actions())
	assert.Equal(t, []custody.Settled{{Origin: 0, Outcome: push.Delivered, Node: "A"}}, b.Settled())
}

func TestWhatEveryLivingGatewayHasReadAndNoneListsWaitsAsOffline(t *testing.T) {
	b := started(t)
	b.say(push.Receipt{Node: "B", Epoch: 1, Presence: push.Announce})
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1})
	assert.Empty(t, b.Actions(), "B has not read it yet")
	b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: 1})
	a := b.only(custody.MakeWait)
	assert.Equal(t, push.Offline, a.Reason)
	assert.Equal(t, int64(0), b.Positions().Requests, "not before the wait is durable")
	b.done(a)
	assert.Equal(t, int64(1), b.Positions().Requests)
	assert.Equal(t, 1, b.Stats().Waiting)
}

func TestWithoutAnyGatewayAMessageWaits(t *testing.T) {
	b := newBench(t, policy())
	b.Restored()
	b.request(0)
	b.RequestsRead(1)
	b.only(custody.MakeWait)
}

func TestALaggingGatewayIsWaitedForAsLongAsItReads(t *testing.T) {
	b := started(t)
	b.request(100)
	for through := int64(1); through <= 60; through++ {
		b.pass(time.Second)
		b.say(push.Receipt{ReadThrough: through})
		require.Empty(t, b.Actions())
	}
	b.say(push.Receipt{ReadThrough: 101, Delivered: []int64{100}})
	assert.Empty(t, b.Actions())
	assert.Equal(t, int64(101), b.Positions().Requests)
}

func TestAGatewayThatStandsStillIsOutwaitedByTheWindow(t *testing.T) {
	b := started(t)
	b.request(0)
	b.passHeard(2*time.Second, 0)
	assert.Empty(t, b.Actions())
	b.passHeard(2*time.Second, 0)
	b.only(custody.MakeWait)
}

func TestAnOutageOfTheLogIsNotTakenForTheDeathOfGateways(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1, Held: []int64{0}})
	b.now = b.now.Add(time.Hour) // receipts could not be read for an hour
	b.Advance(b.now, true)
	assert.Empty(t, b.Actions())
	b.say(push.Receipt{ReadThrough: 1, Delivered: []int64{0}})
	assert.Equal(t, int64(1), b.Positions().Requests)
}

func TestAFailedAttemptWaitsWithBackoffThatDoubles(t *testing.T) {
	p := policy()
	p.Retry.Backoff.Jitter = 0
	b := newBench(t, p)
	b.Restored()
	for failures, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		at := int64(failures)
		b.request(at, func(r *custody.Request) { r.Failures, r.Attempt = failures, failures+1 })
		b.say(push.Receipt{ReadThrough: at + 1, Failed: []push.Failure{{Offset: at, Reason: push.AckTimeout}}})
		a := b.only(custody.MakeWait)
		assert.Equal(t, push.AckTimeout, a.Reason)
		assert.Equal(t, failures+1, a.Failures)
		assert.Equal(t, want, a.Due.Sub(b.now))
	}
}

func TestAWaitIsOfferedAgainWhenItIsDueAndEndsThen(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.SlowConsumer}}})
	b.done(b.only(custody.MakeWait))
	b.passHeard(800*time.Millisecond, 1)
	assert.Empty(t, b.Actions())
	b.passHeard(700*time.Millisecond, 1)
	a := b.only(custody.Offer)
	assert.True(t, a.FromRetry)
	assert.Equal(t, 2, a.Attempt)
	assert.Equal(t, 1, a.Failures)
	assert.Equal(t, int64(0), b.Positions().Retry, "the wait is needed until the offer is durable and ended")
	b.done(a)
	assert.Equal(t, int64(0), b.Positions().Retry)
	b.done(b.only(custody.EndWait))
	assert.Equal(t, b.retry, b.Positions().Retry)
	assert.Zero(t, b.Stats().Waiting)
}

func TestWhoConnectsGetsWhatWaitsAtOnce(t *testing.T) {
	for _, session := range []string{"order", "all"} {
		b := offline(t)
		b.say(push.Receipt{ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: session}}})
		assert.Equal(t, []custody.ActionKind{custody.Offer, custody.EndWait}, kinds(b.write()))
	}
}

func TestWhoConnectsForAnotherTypeOrIsSomebodyElseGetsNothing(t *testing.T) {
	b := offline(t)
	b.say(push.Receipt{ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: "chat"}, {User: "43", Type: "all"}}})
	assert.Empty(t, b.Actions())
}

func TestWhoConnectsWhileTheMessageIsJudgedGetsItWithoutAWait(t *testing.T) {
	b := started(t)
	b.say(push.Receipt{Node: "B", Epoch: 1, Presence: push.Announce})
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: "all"}}})
	assert.Empty(t, b.Actions(), "B may still hold the user")
	b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: 1})
	a := b.only(custody.Offer)
	assert.False(t, a.FromRetry)
	b.done(a)
	assert.Equal(t, int64(1), b.Positions().Requests)
}

func TestWhoConnectedBeforeTheCustodianReadTheMessageGetsIt(t *testing.T) {
	b := started(t)
	b.say(push.Receipt{ReadThrough: 5, Connected: []push.Binding{{User: "42", Type: "all"}}})
	b.request(3)
	b.RequestsRead(4)
	assert.Equal(t, []custody.ActionKind{custody.Offer}, kinds(b.write()))
	b.request(7) // the session sees this one by itself
	b.say(push.Receipt{ReadThrough: 8, Delivered: []int64{7}})
	assert.Empty(t, b.Actions())
}

func TestWhoConnectsWhileTheWaitIsBeingWrittenGetsItWhenItIs(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1})
	a := b.only(custody.MakeWait)
	b.say(push.Receipt{ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: "all"}}})
	assert.Empty(t, b.Actions())
	b.done(a)
	b.only(custody.Offer)
}

func TestAReceiptThatIsAheadOfTheCustodianCountsWhenTheRequestIsRead(t *testing.T) {
	b := started(t)
	b.say(push.Receipt{ReadThrough: 10, Delivered: []int64{3}, Held: []int64{4}})
	b.request(3)
	b.request(4)
	b.RequestsRead(5)
	assert.Empty(t, b.Actions())
	assert.Equal(t, int64(4), b.Positions().Requests)
	b.say(push.Receipt{ReadThrough: 10, Delivered: []int64{4}})
	assert.Equal(t, int64(5), b.Positions().Requests)
}

func TestAttemptsRunOutIntoADeadLetter(t *testing.T) {
	b := started(t)
	b.request(0, func(r *custody.Request) { r.Failures, r.Attempt = 7, 9 })
	b.say(push.Receipt{ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.AckTimeout}}})
	a := b.only(custody.DeadLetter)
	assert.Equal(t, push.Exhausted, a.Reason)
	assert.Equal(t, "8 of 8 attempts failed, the last with ack_timeout", a.Text)
	assert.Equal(t, int64(0), b.Positions().Requests)
	b.done(a)
	assert.Equal(t, int64(1), b.Positions().Requests)
	assert.Equal(t, push.DeadLettered, b.Settled()[0].Outcome)
}

func TestBeingOfflineUsesUpNoAttempt(t *testing.T) {
	b := started(t)
	b.request(0, func(r *custody.Request) { r.Failures = 7 })
	b.say(push.Receipt{ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.Offline}}})
	a := b.only(custody.MakeWait)
	assert.Equal(t, push.Offline, a.Reason)
	assert.Equal(t, 7, a.Failures)
}

func TestWhileAnotherGatewayHoldsTheMessageOneFailureDecidesNothing(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: 1, Held: []int64{0}})
	b.say(push.Receipt{ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.SlowConsumer}}})
	assert.Empty(t, b.Actions())
	b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: 1, Delivered: []int64{0}})
	assert.Equal(t, int64(1), b.Positions().Requests)
	assert.Empty(t, b.Actions())
}

func TestAUserWhoMovedWhileTheOldGatewayHeldTheMessageGetsItAtTheNewOne(t *testing.T) {
	for name, order := range map[string][]int{"connect first": {0, 1}, "failure first": {1, 0}} {
		b := started(t)
		b.say(push.Receipt{Node: "B", Epoch: 1, Presence: push.Announce})
		b.request(0)
		b.say(push.Receipt{ReadThrough: 1, Held: []int64{0}})
		b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: 1})
		events := []push.Receipt{
			{Node: "B", Epoch: 1, ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: "all"}}},
			{Node: "A", Epoch: 1, ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.Offline}}},
		}
		b.say(events[order[0]])
		b.say(events[order[1]])
		got := kinds(b.write())
		assert.Contains(t, got, custody.Offer, name)
	}
}

func TestASessionOpenedOnTheSameGatewayAfterItsPredecessorHungGetsTheMessage(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1, Held: []int64{0}})
	b.say(push.Receipt{ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: "all"}}})
	assert.Empty(t, b.Actions())
	b.say(push.Receipt{ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.Offline}}})
	b.only(custody.Offer)
}

func TestTheEndOfAGatewayPutsWhatItHeldUnderJudgementAgain(t *testing.T) {
	ends := map[string]func(*bench){
		"goodbye":     func(b *bench) { b.say(push.Receipt{ReadThrough: 1, Presence: push.Goodbye}) },
		"silence":     func(b *bench) { b.pass(4 * time.Second) },
		"newer epoch": func(b *bench) { b.say(push.Receipt{Node: "A", Epoch: 2, Presence: push.Announce, ReadThrough: 1}) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			b := started(t)
			b.request(0)
			b.say(push.Receipt{ReadThrough: 1, Held: []int64{0}})
			assert.Empty(t, b.Actions())
			end(b)
			assert.Equal(t, push.Offline, b.only(custody.MakeWait).Reason)
		})
	}
}

func TestAnOlderEpochSpeaksForItsDeliveriesOnly(t *testing.T) {
	b := started(t)
	b.say(push.Receipt{Node: "A", Epoch: 5, Presence: push.Announce})
	b.request(0)
	b.request(1)
	b.say(push.Receipt{Node: "A", Epoch: 1, ReadThrough: 2, Held: []int64{0}, Delivered: []int64{1}})
	assert.Empty(t, b.Actions(), "its read-through is not that of the living gateway")
	b.say(push.Receipt{Node: "A", Epoch: 5, ReadThrough: 2})
	a := b.only(custody.MakeWait)
	assert.Equal(t, int64(0), a.Origin, "nobody holds 0; 1 was delivered")
}

func TestAReceiptThatComesLateStillEndsTheWait(t *testing.T) {
	b := offline(t)
	b.say(push.Receipt{ReadThrough: 1, Delivered: []int64{0}})
	b.done(b.only(custody.EndWait))
	assert.Equal(t, push.Delivered, b.Settled()[0].Outcome)
	assert.Zero(t, b.Stats().Waiting)
	assert.Equal(t, b.retry, b.Positions().Retry)
}

func TestAFailureThatComesLateShortensTheWait(t *testing.T) {
	b := offline(t)
	b.say(push.Receipt{ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.AckTimeout}}})
	assert.Empty(t, b.Actions())
	b.passHeard(1500*time.Millisecond, 1)
	a := b.only(custody.Offer)
	assert.Equal(t, 1, a.Failures)
}

func TestWhatWasDeliveredWhileItsWaitWasWrittenEndsAtOnce(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1})
	a := b.only(custody.MakeWait)
	b.say(push.Receipt{ReadThrough: 1, Delivered: []int64{0}})
	b.done(a)
	b.only(custody.EndWait)
}

func TestAnInvalidRequestIsDeadLetteredOnceAndHoldsUpNobody(t *testing.T) {
	b := started(t)
	b.request(0, func(r *custody.Request) {
		r.User, r.Invalid = "", &push.InvalidError{Reason: push.Invalid, Text: "no key"}
	})
	b.request(1)
	a := b.only(custody.DeadLetter)
	assert.Equal(t, push.Invalid, a.Reason)
	assert.Equal(t, "no key", a.Text)
	b.say(push.Receipt{ReadThrough: 2, Delivered: []int64{1}})
	assert.Equal(t, int64(0), b.Positions().Requests)
	b.done(a)
	assert.Equal(t, int64(2), b.Positions().Requests)
	assert.Empty(t, b.Actions())
}

func TestARequestOutsideItsUsersHomeIsMovedThere(t *testing.T) {
	b := started(t)
	b.request(0, func(r *custody.Request) { r.Foreign, r.Home = true, 7 })
	a := b.only(custody.MoveHome)
	assert.Equal(t, int32(7), a.Home)
	assert.Equal(t, 1, a.Attempt)
	b.say(push.Receipt{ReadThrough: 1})
	assert.Equal(t, int64(0), b.Positions().Requests)
	b.done(a)
	assert.Equal(t, int64(1), b.Positions().Requests)
}

func TestWhatExpiredBeforeItWasReadIsNotOffered(t *testing.T) {
	b := started(t)
	b.request(0, func(r *custody.Request) { r.Expires = noon })
	a := b.only(custody.DeadLetter)
	assert.Equal(t, push.TimeToLive, a.Reason)
	b.done(a)
	assert.Equal(t, push.Expired, b.Settled()[0].Outcome)
}

func TestAWaitThatExpiresIsDeadLetteredAndEnds(t *testing.T) {
	b := offline(t)
	b.now = b.now.Add(time.Hour)
	b.Advance(b.now, false)
	got := b.write()
	assert.Equal(t, []custody.ActionKind{custody.DeadLetter, custody.EndWait}, kinds(got))
	assert.Equal(t, push.TimeToLive, got[0].Reason)
	assert.True(t, got[0].FromRetry)
}

func TestExpiredMessagesMayBeDroppedByConfiguration(t *testing.T) {
	p := policy()
	p.DropExpired = true
	b := newBench(t, p)
	b.Restored()
	b.request(0, func(r *custody.Request) { r.Expires = noon })
	assert.Empty(t, b.Actions())
	assert.Equal(t, push.Expired, b.Settled()[0].Outcome)
	assert.Equal(t, int64(1), b.Positions().Requests)
}

func TestTheNextMessageOfAFullWaitingUserOverflows(t *testing.T) {
	p := policy()
	p.Waiting.MaxPerUser = 2
	b := newBench(t, p)
	b.Restored()
	for o := range int64(3) {
		b.request(o)
	}
	b.request(3, func(r *custody.Request) { r.User = "43" })
	b.RequestsRead(4)
	got := b.write()
	assert.Equal(t, []custody.ActionKind{custody.MakeWait, custody.MakeWait, custody.DeadLetter, custody.MakeWait}, kinds(got))
	assert.Equal(t, push.Overflow, got[2].Reason)
}

func TestWaitsThatAreOfferedAndComeBackDoNotOverflowTheirOwnLimit(t *testing.T) {
	p := policy()
	p.Waiting.MaxPerUser = 1
	b := newBench(t, p)
	b.Restored()
	b.request(0)
	b.RequestsRead(1)
	b.write()
	b.say(push.Receipt{ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: "all"}}})
	b.done(b.only(custody.Offer)) // its end is not durable yet
	end := b.only(custody.EndWait)
	b.request(1, func(r *custody.Request) { r.EndsWait, r.Attempt = 0, 2 })
	b.say(push.Receipt{ReadThrough: 2, Presence: push.Goodbye})
	b.done(b.only(custody.MakeWait))
	assert.Equal(t, int64(1), b.Positions().Requests, "the offering settles after the wait it came from has ended")
	b.done(end)
	assert.Equal(t, int64(2), b.Positions().Requests)
}

func TestASlowTimerOffersAgainWhatWaitsForTheAbsent(t *testing.T) {
	b := offline(t)
	b.now = b.now.Add(20 * time.Minute)
	b.Advance(b.now, false)
	b.only(custody.Offer)
}

func TestASuccessorRestoresWhatWaitsAndForgetsWhatEnded(t *testing.T) {
	b := newBench(t, policy())
	restored := func(at, origin int64) custody.Restored {
		return custody.Restored{At: at, User: "42", Type: "order", Wait: push.Wait{
			Lineage: push.Lineage{Attempt: 1, Expires: noon.Add(time.Hour)},
			Origin:  origin, Reason: push.Offline, Due: noon.Add(time.Minute),
		}}
	}
	b.RestoreWait(restored(10, 0))
	b.RestoreWait(restored(11, 1))
	b.RestoreWait(restored(12, 0)) // written twice
	b.RestoreEnd(1)
	b.RetryRead(14)
	b.Restored()
	assert.Equal(t, 1, b.Stats().Waiting)
	assert.Equal(t, int64(12), b.Positions().Retry)
	b.now = b.now.Add(time.Minute)
	b.Advance(b.now, false)
	a := b.only(custody.Offer)
	assert.Equal(t, int64(12), a.RetryAt)
}

func TestASuccessorMovesWaitsWhoseUsersHomeChanged(t *testing.T) {
	b := newBench(t, policy())
	b.RestoreWait(custody.Restored{At: 0, User: "42", Type: "order", Foreign: true, Home: 5, Wait: push.Wait{
		Lineage: push.Lineage{Attempt: 1, Expires: noon.Add(time.Hour)}, Reason: push.Offline, Due: noon.Add(time.Minute),
	}})
	b.Restored()
	got := b.write()
	assert.Equal(t, []custody.ActionKind{custody.MoveHome, custody.EndWait}, kinds(got))
	assert.Equal(t, int32(5), got[0].Home)
}

func TestASuccessorEndsTheWaitItsPredecessorHadOfferedAlready(t *testing.T) {
	b := newBench(t, policy())
	b.RestoreWait(custody.Restored{At: 3, User: "42", Type: "order", Wait: push.Wait{
		Lineage: push.Lineage{Attempt: 1, Expires: noon.Add(time.Hour)}, Origin: 0, Reason: push.Offline, Due: noon,
	}})
	b.say(push.Receipt{Node: "A", Epoch: 1, Presence: push.Announce})
	b.request(9, func(r *custody.Request) { r.EndsWait, r.Attempt = 0, 2 })
	b.Restored()
	b.say(push.Receipt{ReadThrough: 10, Delivered: []int64{9}})
	assert.Equal(t, []custody.ActionKind{custody.EndWait}, kinds(b.write()))
	assert.Equal(t, int64(10), b.Positions().Requests)
}

func TestASuccessorSettlesAnOfferingWhoseWaitWasWrittenButNotCommitted(t *testing.T) {
	b := newBench(t, policy())
	b.RestoreWait(custody.Restored{At: 0, User: "42", Type: "order", Wait: push.Wait{
		Lineage: push.Lineage{Attempt: 1, Expires: noon.Add(time.Hour)}, Origin: 4, Reason: push.Offline, Due: noon.Add(time.Minute),
	}})
	b.request(4)
	b.RequestsRead(5)
	b.Restored()
	assert.Empty(t, b.Actions())
	assert.Equal(t, int64(5), b.Positions().Requests)
	assert.Equal(t, 1, b.Stats().Waiting)
}

func TestAReceiptIsKeptUntilWhatItCausedIsDurable(t *testing.T) {
	b := offline(t)
	before := b.receipts
	b.say(push.Receipt{ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: "all"}}})
	b.say(push.Receipt{ReadThrough: 1})
	assert.Equal(t, before, b.Positions().Receipts)
	b.done(b.only(custody.Offer))
	assert.Equal(t, before+2, b.Positions().Receipts)
}

func TestReceiptsThatSpeakOfUnsettledRequestsAreKept(t *testing.T) {
	b := started(t)
	b.request(0)
	b.request(1)
	kept := b.receipts
	b.say(push.Receipt{ReadThrough: 2, Held: []int64{0}, Delivered: []int64{1}})
	assert.Equal(t, kept, b.Positions().Receipts)
	b.say(push.Receipt{ReadThrough: 2, Delivered: []int64{0}})
	assert.Equal(t, kept+2, b.Positions().Receipts)
}

func TestAMessageTheBrokerRefusesIsDeadLettered(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1})
	b.Refused(b.only(custody.MakeWait).ID, "too large")
	a := b.only(custody.DeadLetter)
	assert.Equal(t, push.TooLarge, a.Reason)
	b.done(a)
	assert.Equal(t, int64(1), b.Positions().Requests)
}

func TestAWaitTheBrokerRefusesToTakeAnewIsSafeWhereItIs(t *testing.T) {
	b := offline(t)
	b.retry = 2000 // waits of others have come and ended: it is time to clean
	b.RetryRead(b.retry)
	b.say(push.Receipt{ReadThrough: 1})
	rewrite := b.only(custody.MakeWait)
	require.True(t, rewrite.FromRetry)
	b.Refused(rewrite.ID, "too large now")
	assert.Empty(t, b.Actions(), "no dead letter, and it is not tried again at once")
	assert.Equal(t, 1, b.Stats().Waiting)
	b.say(push.Receipt{ReadThrough: 1, Connected: []push.Binding{{User: "42", Type: push.AllTypes}}})
	b.only(custody.Offer)
}

func TestAMessageThatVanishedFromTheLogHoldsUpNobody(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1})
	b.Lost(b.only(custody.MakeWait).ID)
	assert.Equal(t, int64(1), b.Positions().Requests)
	assert.Zero(t, b.Stats().InFlight)
}

func TestGapsInTheLogStallNothing(t *testing.T) {
	b := started(t)
	b.request(0)
	b.request(5)
	b.RequestsRead(9)
	b.say(push.Receipt{ReadThrough: 9, Delivered: []int64{0, 5}})
	assert.Equal(t, int64(9), b.Positions().Requests)
}

func TestWhatFailedLateIsRememberedByItsReceiptUntilItIsOffered(t *testing.T) {
	b := offline(t)
	b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.SlowConsumer}}})
	at := b.receipts - 1
	b.say(push.Receipt{ReadThrough: 1})
	assert.Equal(t, at, b.Positions().Receipts, "its wait says that the user is away, and would be restored so")
	b.passHeard(2*time.Second, 1)
	b.write()
	assert.Greater(t, b.Positions().Receipts, at)
}

func TestAReceiptThatComesASecondTimeClaimsNothing(t *testing.T) {
	b := started(t)
	b.say(push.Receipt{Node: "B", Epoch: 1, Presence: push.Announce}) // has not read it yet
	b.request(0)
	queued := push.Receipt{ReadThrough: 1, Queued: []int64{0}}
	b.say(queued)
	b.say(push.Receipt{ReadThrough: 1, Failed: []push.Failure{{Offset: 0, Reason: push.Offline}}})
	b.say(queued)
	b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: 1})
	b.only(custody.MakeWait)
}

func TestAGatewayThatWasTakenForDeadClaimsNothingItHadGivenUp(t *testing.T) {
	b := started(t)
	b.say(push.Receipt{Node: "B", Epoch: 1, Presence: push.Announce})
	const offset = 20
	b.request(offset)
	queued := push.Receipt{ReadThrough: offset + 1, Queued: []int64{offset}}
	b.say(queued)
	b.say(push.Receipt{ReadThrough: offset + 1, Failed: []push.Failure{{Offset: offset, Reason: push.Offline}}})
	for through := range int64(offset) { // only B is heard of, which comes nearer
		b.pass(250 * time.Millisecond)
		b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: through})
	}
	assert.Equal(t, 1, b.Stats().Gateways)
	b.say(queued)
	b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: offset + 1})
	b.only(custody.MakeWait)
}
