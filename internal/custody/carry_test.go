package custody_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// targeted returns a bench with gateway A, which is called.
func targeted(t *testing.T) *bench {
	p := policy()
	p.Targeted = true
	b := newBench(t, p)
	b.Restored()
	b.say(push.Receipt{Node: "A", Epoch: 1, Presence: push.Announce, Called: true})
	return b
}

// answer plays the answer to a call, after which the courier is done with the
// offsets.
func (b *bench) answer(r push.Receipt, over ...int64) {
	if r.Node == "" {
		r.Node, r.Epoch, r.Called = "A", 1, true
	}
	b.Carried(&push.Carried{Receipt: &r, Over: over})
}

func (b *bench) outcomes() (list []push.Outcome) {
	for _, s := range b.Settled() {
		list = append(list, s.Outcome)
	}
	return list
}

func TestEachRequestIsAParcelOnce(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.request(1, func(r *custody.Request) { r.Invalid = &push.InvalidError{Reason: push.Invalid} })
	b.request(2, func(r *custody.Request) { r.Foreign, r.Home = true, 1 })
	b.request(3, func(r *custody.Request) { r.Expires = noon })
	assert.Equal(t, []push.Parcel{{Offset: 0, User: "42", Type: "order"}}, b.Parcels(), "what is for nobody is not carried")
	assert.Empty(t, b.Parcels())
}

func TestTheAnswerOfACallSettlesTheMessageWhenTheLogSaysItToo(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	delivered := push.Receipt{Node: "A", Epoch: 1, Called: true, Delivered: []int64{0}}
	b.answer(delivered, 0)
	assert.Empty(t, b.outcomes(), "no log says so yet")
	assert.Zero(t, b.Positions().Requests)
	b.pass(time.Second)
	assert.Empty(t, b.Actions())
	b.say(delivered)
	assert.Equal(t, []push.Outcome{push.Delivered}, b.outcomes())
	assert.EqualValues(t, 1, b.Positions().Requests)
}

func TestWhatAGatewayAnsweredAndDidNotSayBeforeItDiedIsOfferedAgain(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	b.answer(push.Receipt{Delivered: []int64{0}}, 0)
	b.pass(10 * time.Second)
	assert.Equal(t, push.Offline, b.only(custody.MakeWait).Reason)
}

func TestNodesThatCannotBeReachedExhaustNoMessage(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	for offset := range int64(20) {
		b.Carried(&push.Carried{Node: "B", Failed: []push.Failure{{Offset: offset, Reason: push.Unreachable}}, Over: []int64{offset}})
		a := b.only(custody.MakeWait)
		assert.Zero(t, a.Failures)
		assert.GreaterOrEqual(t, a.Due.Sub(b.now), min(time.Second<<offset, 30*time.Second)/2, "it waits longer each time")
		b.done(a)
		b.now = a.Due
		b.Advance(b.now, true)
		b.say(push.Receipt{Node: "A", Epoch: 1, Called: true})
		b.done(b.only(custody.Offer))
		b.write()
		b.request(offset+1, func(r *custody.Request) {
			r.Attempt, r.Expires = int(offset)+2, noon.Add(1000*time.Hour)
		})
		b.RequestsRead(offset + 2)
	}
}

func TestNothingIsJudgedBeforeTheCourierIsDone(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	for range 20 { // the directory is away, say
		b.pass(time.Second)
		b.say(push.Receipt{Node: "A", Epoch: 1, Called: true})
	}
	assert.Empty(t, b.Actions())
	b.Carried(&push.Carried{Over: []int64{0}})
	assert.Equal(t, push.Offline, b.only(custody.MakeWait).Reason, "at once: it has been looked for")
}

func TestAMessageThatIsHeldIsItsGatewaysToAnswerFor(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	b.answer(push.Receipt{Held: []int64{0}}, 0)
	b.pass(time.Second)
	assert.Empty(t, b.Actions())
	b.say(push.Receipt{Node: "A", Epoch: 1, Called: true, Delivered: []int64{0}})
	assert.Equal(t, []push.Outcome{push.Delivered}, b.outcomes())
}

func TestAMessageThatIsHeldWaitsWhenItsGatewayDies(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	b.answer(push.Receipt{Queued: []int64{0}}, 0)
	b.pass(10 * time.Second)
	assert.Equal(t, push.Offline, b.only(custody.MakeWait).Reason)
}

func TestAGatewayThatAnswersAndWritesNoReceiptsIsTakenForDead(t *testing.T) {
	b := targeted(t)
	for offset := range int64(20) {
		b.request(offset)
		b.RequestsRead(offset + 1)
		b.answer(push.Receipt{Held: []int64{offset}}, offset)
		b.pass(500 * time.Millisecond)
	}
	assert.NotEmpty(t, b.Actions(), "what it claims is offered again")
}

func TestAFailedCallMakesTheMessageWaitOnceAllHaveAnswered(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	b.Carried(&push.Carried{Node: "B", Failed: []push.Failure{{Offset: 0, Reason: push.Unreachable}}})
	assert.Empty(t, b.Actions(), "another node may have it")
	b.Carried(&push.Carried{Over: []int64{0}})
	a := b.only(custody.MakeWait)
	assert.Equal(t, push.Unreachable, a.Reason)
	assert.Zero(t, a.Failures)
}

func TestAFailedCallDecidesNothingWhereAnotherNodeDelivers(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	b.Carried(&push.Carried{Node: "B", Failed: []push.Failure{{Offset: 0, Reason: push.Unreachable}}})
	b.answer(push.Receipt{Delivered: []int64{0}}, 0)
	assert.Empty(t, b.Actions())
	b.say(push.Receipt{Node: "A", Epoch: 1, Called: true, Delivered: []int64{0}})
	assert.Equal(t, []push.Outcome{push.Delivered}, b.outcomes())
	assert.Empty(t, b.Actions())
}

func TestAFailureThatTheLogSaysAgainCountsOnce(t *testing.T) {
	again := push.Receipt{Node: "A", Epoch: 1, Called: true, Failed: []push.Failure{{Offset: 0, Reason: push.SlowConsumer}}}
	for name, when := range map[string]func(b *bench) custody.Action{
		"while its wait is being written": func(b *bench) custody.Action {
			a := b.only(custody.MakeWait)
			b.say(again)
			b.done(a)
			return a
		},
		"after it waits": func(b *bench) custody.Action {
			a := b.write()[0]
			b.say(again)
			return a
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := targeted(t)
			b.request(0)
			b.RequestsRead(1)
			b.answer(again, 0)
			assert.Equal(t, 1, when(b).Failures)
			b.passHeard(5*time.Second, 1)
			actions := b.Actions()
			require.NotEmpty(t, actions)
			assert.Equal(t, custody.Offer, actions[0].Kind)
			assert.Equal(t, 1, actions[0].Failures)
		})
	}
}

func TestAMessageWhoseUserLeftDuringTheCallWaitsAndUsesNoAttempt(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	b.answer(push.Receipt{Failed: []push.Failure{{Offset: 0, Reason: push.Offline}}}, 0)
	a := b.only(custody.MakeWait)
	assert.Equal(t, push.Offline, a.Reason)
	assert.Zero(t, a.Failures)
}

func TestWhoConnectsAtACalledGatewayIsOfferedWhatWasLookedUpBefore(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	// The look-up was made before the session was entered.
	b.say(push.Receipt{Node: "A", Epoch: 1, Called: true, Connected: []push.Binding{{User: "42", Type: push.AllTypes}}})
	b.Carried(&push.Carried{Over: []int64{0}})
	kinds := map[custody.ActionKind]int{}
	for _, a := range b.write() {
		kinds[a.Kind]++
	}
	assert.Equal(t, 1, kinds[custody.Offer])
}

func TestWhoIsFoundByLookingAgainIsOfferedWhatWaits(t *testing.T) {
	b := targeted(t)
	b.request(0)
	b.RequestsRead(1)
	b.Carried(&push.Carried{Over: []int64{0}})
	b.write()
	users, next := b.Absent(0, 10)
	assert.Equal(t, []string{"42"}, users)
	assert.Zero(t, next)
	b.Carried(&push.Carried{Present: []push.Binding{{User: "42", Type: "news"}}})
	assert.Empty(t, b.Actions(), "that session takes no orders")
	b.Carried(&push.Carried{Present: []push.Binding{{User: "42", Type: "order"}}})
	b.only(custody.Offer)
	users, _ = b.Absent(0, 10)
	assert.Empty(t, users)
}

func TestGatewaysThatReadAreWaitedForBesideTheCourier(t *testing.T) {
	b := targeted(t)
	b.say(push.Receipt{Node: "B", Epoch: 1, Presence: push.Announce})
	assert.Equal(t, []string{"B"}, b.Readers())
	b.request(0)
	b.RequestsRead(1)
	b.Carried(&push.Carried{Over: []int64{0}})
	assert.Empty(t, b.Actions(), "B has not read it")
	b.say(push.Receipt{Node: "B", Epoch: 1, ReadThrough: 1})
	b.only(custody.MakeWait)
}

func TestAGatewayThatChangesItsModeIsJudgedByTheNewOne(t *testing.T) {
	b := targeted(t)
	modes := b.Modes()
	b.say(push.Receipt{Node: "A", Epoch: 1, ReadThrough: 1})
	require.NotEqual(t, modes, b.Modes())
	assert.Equal(t, []string{"A"}, b.Readers())
	b.request(0)
	b.request(1)
	b.RequestsRead(2)
	b.Carried(&push.Carried{Over: []int64{0, 1}})
	require.Len(t, b.Actions(), 1, "it has read the first only")
	b.say(push.Receipt{Node: "A", Epoch: 1, Called: true})
	require.Len(t, b.Actions(), 1, "it will not read the second")
	assert.Empty(t, b.Readers())
	// It begins again further back than it had been.
	b.say(push.Receipt{Node: "A", Epoch: 1, Called: true, ReadThrough: 9})
	b.say(push.Receipt{Node: "A", Epoch: 1, ReadThrough: 2})
	b.request(2)
	b.RequestsRead(3)
	b.Carried(&push.Carried{Over: []int64{2}})
	assert.Empty(t, b.Actions())
}

func TestALateAnswerDoesNotUndoWhatTheLogSaysOfAMode(t *testing.T) {
	b := targeted(t)
	b.say(push.Receipt{Node: "A", Epoch: 1, ReadThrough: 0})
	b.request(0)
	b.RequestsRead(1)
	b.answer(push.Receipt{Delivered: []int64{0}}, 0)
	assert.Equal(t, []string{"A"}, b.Readers())
}

func TestACustodianThatBroadcastsOutwaitsAGatewayThatIsCalled(t *testing.T) {
	b := started(t)
	b.say(push.Receipt{ReadThrough: 1, Called: true})
	b.request(0)
	b.request(1)
	b.RequestsRead(2)
	assert.Empty(t, b.Parcels())
	for range 8 {
		b.pass(500 * time.Millisecond)
		b.say(push.Receipt{ReadThrough: 1, Called: true})
	}
	assert.Len(t, b.write(), 2)
	b.say(push.Receipt{ReadThrough: 1, Called: true, Connected: []push.Binding{{User: "42", Type: push.AllTypes}}})
	assert.NotEmpty(t, b.Actions(), "who connects there has seen nothing")
}

func TestWhatWasReadWhileTakingOverIsCarriedAfterwardsIfStillOpen(t *testing.T) {
	p := policy()
	p.Targeted = true
	b := newBench(t, p)
	b.request(0)
	b.request(1)
	b.RequestsRead(2)
	assert.Empty(t, b.Parcels())
	b.say(push.Receipt{Node: "A", Epoch: 1, Called: true, Delivered: []int64{0}})
	b.Restored()
	parcels := b.Parcels()
	require.Len(t, parcels, 1)
	assert.EqualValues(t, 1, parcels[0].Offset)
}

func TestInStrictOrderOnlyWhatIsOfferedIsCarried(t *testing.T) {
	p := policy()
	p.Targeted, p.Strict = true, true
	b := newBench(t, p)
	b.Restored()
	b.request(0, func(r *custody.Request) { r.Attempt = 0 })
	b.RequestsRead(1)
	assert.Empty(t, b.Parcels())
	b.only(custody.Offer)
	b.request(1, func(r *custody.Request) { r.Order = 1 })
	assert.Len(t, b.Parcels(), 1)
}
