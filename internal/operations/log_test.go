package operations_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// records is the real adapter on an embedded broker.
type records struct{ *kafka.Cluster }

func (r records) NewReader(topic string, partition int32, offset int64) operations.Reader {
	return r.Cluster.NewReader(topic, partition, offset)
}

const topic = "push.operations"

func newLog(t *testing.T, c *kafka.Cluster) *operations.Log {
	t.Helper()
	return operations.New(records{c}, topic)
}

func replayOf(partitions ...int32) operations.Operation {
	return operations.Operation{
		Kind: operations.Replay, By: "alice@desk", Filter: map[string]string{"user": "42"}, Partitions: partitions,
	}
}

func TestWhatAnOperatorDidIsToldNewestFirst(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	l := newLog(t, c)
	run, err := l.Begin(t.Context(), replayOf(0, 1), false)
	require.NoError(t, err)
	run.Update(func(o *operations.Operation) { o.Matched, o.Done, o.Skipped = 5, 3, 2 })
	first, err := run.End(t.Context(), operations.Done, nil)
	require.NoError(t, err)
	require.NoError(t, l.Record(t.Context(), operations.Operation{Kind: operations.PruneGroups, By: "bob", Done: 1}))

	list, err := newLog(t, c).List(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, operations.PruneGroups, list[0].Kind)
	assert.Equal(t, operations.Done, list[0].State)
	assert.NotEmpty(t, list[0].ID)
	assert.Equal(t, first.ID, list[1].ID)
	assert.Equal(t, "alice@desk", list[1].By)
	assert.Equal(t, map[string]string{"user": "42"}, list[1].Filter)
	assert.Equal(t, []int{5, 3, 2}, []int{list[1].Matched, list[1].Done, list[1].Skipped})
	assert.False(t, list[1].Ended.IsZero())

	list, err = l.List(t.Context(), time.Time{}, 1)
	require.NoError(t, err)
	assert.Len(t, list, 1)
	one, err := l.Get(t.Context(), first.ID)
	require.NoError(t, err)
	assert.Equal(t, 3, one.Done)
}

func TestAnOperationThatIsNotThereIsNotFound(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	_, err := newLog(t, c).Get(t.Context(), push.NewID(time.Now()))
	require.ErrorIs(t, err, operations.ErrNotFound)
}

func TestOfTwoOperatorsAtOnceExactlyOneBegins(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 3)
	const operators = 6
	runs := make([]*operations.Run, operators)
	errs := make([]error, operators)
	var all sync.WaitGroup
	for i := range operators {
		l := newLog(t, c) // each at a machine of its own
		all.Go(func() { runs[i], errs[i] = l.Begin(t.Context(), replayOf(1, int32(i%2)), false) })
	}
	all.Wait()
	begun := 0
	for i := range operators {
		if errs[i] == nil {
			begun++
			_, err := runs[i].End(t.Context(), operations.Done, nil)
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, errs[i], operations.ErrBusy)
	}
	assert.Equal(t, 1, begun)
}

func TestOperationsOverDifferentPartitionsRunTogether(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	l := newLog(t, c)
	for p := range int32(2) {
		run, err := l.Begin(t.Context(), replayOf(p), false)
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = run.End(context.Background(), operations.Done, nil) })
	}
}

func TestASecondOperationIsRefusedUntilTheFirstHasEndedUnlessForced(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	l := newLog(t, c)
	first, err := l.Begin(t.Context(), replayOf(0), false)
	require.NoError(t, err)
	_, err = l.Begin(t.Context(), replayOf(0), false)
	var busy *operations.BusyError
	require.ErrorAs(t, err, &busy)
	assert.Equal(t, first.Operation().ID, busy.Other.ID)
	forced, err := l.Begin(t.Context(), replayOf(0), true)
	require.NoError(t, err)
	_, err = forced.End(t.Context(), operations.Done, nil)
	require.NoError(t, err)
	_, err = first.End(t.Context(), operations.Done, nil)
	require.NoError(t, err)
	second, err := l.Begin(t.Context(), replayOf(0), false)
	require.NoError(t, err)
	_, err = second.End(t.Context(), operations.Done, nil)
	require.NoError(t, err)
	// The refusal is on record, too.
	list, err := l.List(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	require.Len(t, list, 4)
	assert.Equal(t, operations.Failed, list[2].State)
	assert.Contains(t, list[2].Error, "refused")
}

// killed is what a process that was killed leaves: an operation that says it runs.
func killed(t *testing.T, c *kafka.Cluster, at time.Time) {
	t.Helper()
	o := replayOf(0)
	o.State, o.Began = operations.Running, at
	require.NoError(t, newLog(t, c).Record(t.Context(), o))
}

func TestAKilledOperationIsInterruptedAndHoldsUpNobodyForLong(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	l := newLog(t, c)
	killed(t, c, time.Now())
	_, err := l.Begin(t.Context(), replayOf(0), false)
	require.ErrorIs(t, err, operations.ErrBusy)
	deadline := time.Now().Add(operations.Silence + 10*time.Second)
	for {
		run, err := l.Begin(t.Context(), replayOf(0), false)
		if err == nil {
			_, err = run.End(t.Context(), operations.Done, nil)
			require.NoError(t, err)
			break
		}
		require.ErrorIs(t, err, operations.ErrBusy)
		require.True(t, time.Now().Before(deadline))
		select {
		case <-t.Context().Done():
		case <-time.After(time.Second):
		}
	}
	list, err := l.List(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	assert.Equal(t, operations.Interrupted, list[len(list)-1].State)
}

func TestARunningOperationIsHeardOfAndEndsWhereverSomebodyCancelsIt(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	run, err := newLog(t, c).Begin(t.Context(), replayOf(0), false)
	require.NoError(t, err)
	elsewhere := newLog(t, c)
	began, err := elsewhere.Get(t.Context(), run.Operation().ID)
	require.NoError(t, err)
	assert.Equal(t, operations.Running, began.State)
	require.NoError(t, elsewhere.Cancel(t.Context(), run.Operation().ID, "bob"))
	select {
	case <-run.Context().Done():
	case <-time.After(20 * time.Second):
		t.Fatal("nothing happens")
	}
	cause := context.Cause(run.Context())
	require.ErrorIs(t, cause, operations.ErrCancelled)
	assert.Contains(t, cause.Error(), "bob")
	_, err = run.End(t.Context(), operations.Cancelled, cause)
	require.NoError(t, err)
	ended, err := elsewhere.Get(t.Context(), run.Operation().ID)
	require.NoError(t, err)
	assert.Equal(t, operations.Cancelled, ended.State)
	assert.True(t, ended.Updated.After(began.Updated))
}

func TestWhatIsHandledIsKnownEverywhereAndTheLastWordCounts(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	l := newLog(t, c)
	written := time.Now()
	discard := replayOf(0, 1)
	discard.Kind = operations.Discard
	run, err := l.Begin(t.Context(), discard, false)
	require.NoError(t, err)
	require.NoError(t, run.Handled(t.Context(), 1, []int64{3, 4, 5, 4095, 4096, 9000}))
	discarded, err := run.End(t.Context(), operations.Done, nil)
	require.NoError(t, err)
	reader := newLog(t, c)
	known, err := reader.Letters(t.Context(), []int32{0, 1})
	require.NoError(t, err)
	for _, offset := range []int64{3, 4, 5, 4095, 4096, 9000} {
		assert.Equal(t, operations.Discarded, known.Of(1, offset, written), offset)
	}
	for _, offset := range []int64{0, 2, 6, 4094, 4097, 8999, 1 << 40} {
		assert.Equal(t, operations.Open, known.Of(1, offset, written), offset)
	}
	assert.Equal(t, operations.Open, known.Of(0, 3, written), "another partition")

	run, err = l.Begin(t.Context(), replayOf(1), false)
	require.NoError(t, err)
	require.NoError(t, run.Handled(t.Context(), 1, []int64{4}))
	replayed, err := run.End(t.Context(), operations.Done, nil)
	require.NoError(t, err)
	known, err = reader.Letters(t.Context(), []int32{1})
	require.NoError(t, err)
	assert.Equal(t, operations.Replayed, known.Of(1, 4, written))
	assert.Equal(t, operations.Discarded, known.Of(1, 3, written))

	for offset, want := range map[int64]string{3: discarded.ID, 4: replayed.ID, 6: ""} {
		id, _, err := l.By(t.Context(), 1, offset)
		require.NoError(t, err)
		assert.Equal(t, want, id, offset)
	}
}

func TestALetterThatIsNewerThanAllThatWasHandledIsOpenAfterTheTopicWasMadeAnew(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	l := newLog(t, c)
	run, err := l.Begin(t.Context(), replayOf(0), false)
	require.NoError(t, err)
	require.NoError(t, run.Handled(t.Context(), 0, []int64{3}))
	_, err = run.End(t.Context(), operations.Done, nil)
	require.NoError(t, err)
	known, err := l.Letters(t.Context(), []int32{0})
	require.NoError(t, err)
	assert.Equal(t, operations.Replayed, known.Of(0, 3, time.Now()))
	assert.Equal(t, operations.Open, known.Of(0, 3, time.Now().Add(time.Hour)))
}

func TestRecordsThatMakeNoSenseHideNothing(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	l := newLog(t, c)
	headers := func(kind string) push.Headers {
		return push.NewHeaders(push.Header{Key: push.HeaderKind, Value: []byte(kind)})
	}
	_, err := c.Produce(t.Context(), topic, 0, []push.Record{
		{Value: []byte("x")},
		{Value: []byte("{"), Headers: headers("operation")},
		{Value: []byte(`{"kind":"replay","runs":[1]}`), Headers: headers("handled")},
		{Value: []byte(`{"kind":"replay","runs":[-5,3,7,-1,9,9223372036854775807]}`), Headers: headers("handled")},
		{Value: []byte(`{"kind":"mischief","runs":[1,3]}`), Headers: headers("handled")},
	})
	require.NoError(t, err)
	require.NoError(t, l.Record(t.Context(), replayOf(0)))
	list, err := l.List(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	assert.Len(t, list, 1)
	known, err := l.Letters(t.Context(), []int32{0})
	require.NoError(t, err)
	assert.Equal(t, operations.Open, known.Of(0, 1, time.Time{}))
	assert.Equal(t, operations.Replayed, known.Of(0, 9, time.Time{}))
}

func TestAnOperationWhoseContextEndsStillHasItsLastWord(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	l := newLog(t, c)
	ctx, cancel := context.WithCancelCause(t.Context())
	run, err := l.Begin(ctx, replayOf(0), false)
	require.NoError(t, err)
	cancel(operations.ErrCancelled)
	<-run.Context().Done()
	require.ErrorIs(t, context.Cause(run.Context()), operations.ErrCancelled)
	o, err := run.End(ctx, operations.Cancelled, errors.New("why"))
	require.NoError(t, err)
	kept, err := l.Get(t.Context(), o.ID)
	require.NoError(t, err)
	assert.Equal(t, operations.Cancelled, kept.State)
	assert.Equal(t, "why", kept.Error)
}

func TestWithoutItsTopicNothingIsHandledAndNothingCanBeDone(t *testing.T) {
	c := kafkatest.Open(t, kafkatest.Broker(t).Addresses())
	specs := kafka.DefaultConfig().TopicSpecs(2, 1, 1<<16)
	without := func(s kafka.TopicSpec) bool { return s.Name == topic }
	require.NoError(t, c.ApplyTopics(t.Context(), slices.DeleteFunc(slices.Clone(specs), without)))
	l := newLog(t, c)
	list, err := l.List(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	assert.Empty(t, list)
	known, err := l.Letters(t.Context(), []int32{0, 1})
	require.NoError(t, err)
	assert.Equal(t, operations.Open, known.Of(0, 0, time.Now()))
	_, h, err := l.By(t.Context(), 1, 0)
	require.NoError(t, err)
	assert.Equal(t, operations.Open, h)
	var absent *operations.AbsentError
	_, err = l.Begin(t.Context(), replayOf(1), false)
	require.ErrorAs(t, err, &absent)
	assert.Contains(t, err.Error(), "topics apply")
	require.ErrorAs(t, l.Record(t.Context(), replayOf(1)), &absent)
	// Once it is there, it is used.
	require.NoError(t, c.ApplyTopics(t.Context(), specs))
	require.Eventually(t, func() bool { return l.Record(t.Context(), replayOf(1)) == nil }, 10*time.Second, 50*time.Millisecond)
	list, err = l.List(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	assert.Len(t, list, 1)
}
