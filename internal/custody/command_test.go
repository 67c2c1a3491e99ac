package custody_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

func (b *bench) command(kind push.CommandKind, origins ...int64) {
	c := push.Command{Kind: kind, Operation: "o", By: "ann", Why: "sent twice"}
	for _, o := range origins {
		c.Waits = append(c.Waits, push.CommandWait{User: "42", Origin: o})
	}
	b.Command(b.receipts, &c)
	b.receipts++
}

func TestWhatAnOperatorDiscardsIsADeadLetterThatSaysWhoAndWhy(t *testing.T) {
	b := offline(t)
	b.command(push.Discard, 0)
	dead := b.only(custody.DeadLetter)
	assert.Equal(t, push.Discarded, dead.Reason)
	assert.Equal(t, "discarded by ann: sent twice", dead.Text)
	assert.True(t, dead.FromRetry)
	assert.Equal(t, int64(2), b.Positions().Receipts, "a successor has to read the command, too")
	b.done(dead)
	b.done(b.only(custody.EndWait))
	assert.Equal(t, []custody.Settled{{Outcome: push.DeadLettered, Reason: push.Discarded}}, b.Settled())
	assert.Equal(t, b.receipts, b.Positions().Receipts)
	assert.Zero(t, b.Stats().Waiting)
}

func TestWhatAnOperatorReleasesIsOfferedAtOnce(t *testing.T) {
	b := offline(t)
	b.command(push.Release, 0)
	offer := b.only(custody.Offer)
	assert.Equal(t, int64(2), b.Positions().Receipts)
	b.done(offer)
	b.done(b.only(custody.EndWait))
	assert.Equal(t, b.receipts, b.Positions().Receipts)
}

func TestACommandIsForTheWaitsThatItNamesAndNoOthers(t *testing.T) {
	b := offline(t)
	b.Command(b.receipts, &push.Command{Kind: push.Discard, Waits: []push.CommandWait{{User: "43", Origin: 0}, {User: "42", Origin: 7}}})
	b.receipts++
	assert.Empty(t, b.Actions())
	assert.Equal(t, 1, b.Stats().Waiting)
	assert.Equal(t, b.receipts, b.Positions().Receipts, "there is nothing to keep it for")
}

func TestACommandThatIsReadTwiceIsDoneOnce(t *testing.T) {
	b := offline(t)
	b.command(push.Discard, 0)
	b.receipts--
	b.command(push.Release, 0)
	assert.Equal(t, []custody.ActionKind{custody.DeadLetter, custody.EndWait}, kinds(b.write()))
}

func TestWhatIsOfferedAlreadyIsNotDiscarded(t *testing.T) {
	b := offline(t)
	b.command(push.Release, 0)
	b.command(push.Discard, 0)
	assert.Equal(t, []custody.ActionKind{custody.Offer, custody.EndWait}, kinds(b.write()))
}

func TestASuccessorDiscardsWhatWasOnItsWayOutAndNeverOut(t *testing.T) {
	b := offline(t)
	b.passHeard(2*policy().Custody.OfflineRecheck, 1)
	offer := b.only(custody.Offer)
	commanded := b.receipts
	b.command(push.Discard, 0)
	assert.Empty(t, b.Actions(), "it is on its way out")
	assert.Equal(t, commanded, b.Positions().Receipts, "a successor may find it waiting, and has to read the command")
	b.done(offer)
	b.done(b.only(custody.EndWait))
	assert.Equal(t, b.receipts, b.Positions().Receipts)
}

func TestAWaitThatIsBeingWrittenIsDiscardedWhenItIsThere(t *testing.T) {
	b := started(t)
	b.request(0)
	b.say(push.Receipt{ReadThrough: 1})
	wait := b.only(custody.MakeWait)
	b.command(push.Discard, 0)
	assert.Empty(t, b.Actions())
	b.done(wait)
	assert.Equal(t, []custody.ActionKind{custody.DeadLetter, custody.EndWait}, kinds(b.write()))
}

func TestASuccessorDoesWhatItsPredecessorWasAskedFor(t *testing.T) {
	for kind, first := range map[push.CommandKind]custody.ActionKind{push.Discard: custody.DeadLetter, push.Release: custody.Offer} {
		b := newBench(t, policy())
		b.RestoreWait(custody.Restored{User: "42", Type: "order", Wait: push.Wait{
			Lineage: push.Lineage{ID: "m", Attempt: 1, Expires: noon.Add(time.Hour)}, Reason: push.Offline, Due: noon.Add(time.Minute),
		}})
		b.command(kind, 0)
		assert.Empty(t, b.Actions(), "it may turn out to have ended")
		b.Restored()
		actions := b.Actions()
		require.NotEmpty(t, actions)
		assert.Equal(t, first, actions[0].Kind)
	}
}

func TestWhatHasEndedForThePredecessorIsNotDiscarded(t *testing.T) {
	b := newBench(t, policy())
	b.RestoreWait(custody.Restored{User: "42", Type: "order", Wait: push.Wait{
		Lineage: push.Lineage{ID: "m", Attempt: 1, Expires: noon.Add(time.Hour)}, Reason: push.Offline, Due: noon.Add(time.Minute),
	}})
	b.command(push.Discard, 0)
	b.request(3, func(r *custody.Request) { r.EndsWait, r.Attempt = 0, 2 })
	b.Restored()
	assert.NotContains(t, kinds(b.write()), custody.DeadLetter)
}

func TestAReasonAsLongAsACommandMayBeMakesNoDeadLetterThatTheBrokerRefuses(t *testing.T) {
	b := offline(t)
	b.Command(b.receipts, &push.Command{Kind: push.Discard, By: "ann", Why: strings.Repeat("x", 900<<10), Waits: []push.CommandWait{{User: "42"}}})
	b.receipts++
	dead := b.only(custody.DeadLetter)
	const headerRoom = 64 << 10 // of kafka.TopicSpecs: what a hop may add
	assert.Less(t, len(dead.Text), headerRoom/2, "the dead letter may be larger than its topic takes: the lane tries for ever")
}
