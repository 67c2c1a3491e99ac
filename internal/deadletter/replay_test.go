package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/deadletter"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// requests are the replays that were written, by partition, as messages.
func requests(t *testing.T, c *kafka.Cluster) map[int32][]push.Message {
	t.Helper()
	count, err := c.Partitions(t.Context(), requestTopic)
	require.NoError(t, err)
	found := make(map[int32][]push.Message)
	for p := range count {
		_, end, err := c.Bounds(t.Context(), requestTopic, p)
		require.NoError(t, err)
		r := c.NewReader(requestTopic, p, 0)
		for at := int64(0); at < end; {
			batch, err := r.Read(t.Context())
			require.NoError(t, err)
			for i := range batch.Records {
				rec := batch.Records[i].Clone()
				m, _ := push.ParseRequest(&rec, requestTopic, push.Limits{DefaultTTL: time.Hour})
				found[p] = append(found[p], m)
			}
			at = batch.Next
		}
	}
	return found
}

// replayed counts the replays of each id.
func replayed(t *testing.T, c *kafka.Cluster) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for _, list := range requests(t, c) {
		for i := range list {
			counts[list[i].ID]++
		}
	}
	return counts
}

const fast = 1e6

func TestAReplayIsTheProducersMessageAtItsUsersHome(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 3)
	home := push.Home("42", 3)
	now := time.Now()
	bury(t, c, (home+1)%3, letter{user: "42", id: "m", reason: push.Exhausted, expires: now.Add(2 * time.Hour)})
	s, _ := open(&log{Cluster: c})
	op, err := s.Replay(t.Context(), deadletter.ReplayParams{By: "alice@desk"})
	require.NoError(t, err)
	assert.Equal(t, operations.Done, op.State)
	assert.Equal(t, []int{1, 1, 0, 0}, []int{op.Matched, op.Done, op.Skipped, op.Failed})
	found := requests(t, c)
	require.Len(t, found[home], 1)
	m := found[home][0]
	assert.Equal(t, "m", m.ID)
	assert.Equal(t, "42", m.User)
	assert.Equal(t, "order", m.Type)
	assert.JSONEq(t, `{"order":991}`, string(m.Data))
	assert.Equal(t, push.Replay{Count: 1, Reason: push.Exhausted, Operation: op.ID}, m.Replay)
	assert.Equal(t, 1, m.Attempt)
	assert.WithinDuration(t, time.Now().Add(2*time.Hour), m.Expires, time.Minute)
}

func TestAnOperationOnRecordSaysWhoWhenWhatAndHowMany(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	buryMany(t, c, 2, "m", 10, letter{reason: push.Overflow})
	s, _ := open(&log{Cluster: c})
	op, err := s.Discard(t.Context(), deadletter.DiscardParams{
		Choice: deadletter.Choice{Filter: deadletter.Filter{Reason: push.Overflow}}, By: "bob@desk", Why: "the campaign is over",
	})
	require.NoError(t, err)
	_, elsewhere := open(&log{Cluster: c})
	kept, err := elsewhere.Get(t.Context(), op.ID)
	require.NoError(t, err)
	assert.Equal(t, operations.Discard, kept.Kind)
	assert.Equal(t, "bob@desk", kept.By)
	assert.Equal(t, "the campaign is over", kept.Why)
	assert.Equal(t, map[string]string{"reason": "overflow"}, kept.Filter)
	assert.Equal(t, 10, kept.Done)
	assert.WithinDuration(t, time.Now(), kept.Ended, time.Minute)
}

func TestWhatIsHandledIsHiddenAndNotHandledAgain(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	buryMany(t, c, 2, "m", 10, letter{reason: push.Overflow})
	s, _ := open(&log{Cluster: c})
	op, err := s.Replay(t.Context(), deadletter.ReplayParams{Rate: fast, Choice: deadletter.Choice{Letters: []deadletter.Place{{Partition: 1, Offset: 2}, {Partition: 0, Offset: 0}, {Partition: 1, Offset: 2}}}})
	require.NoError(t, err)
	assert.Equal(t, 2, op.Done)
	assert.Equal(t, map[string]string{"letters": "1/2,0/0,1/2"}, op.Filter)
	_, err = s.Discard(t.Context(), deadletter.DiscardParams{Why: "test", Choice: deadletter.Choice{Letters: []deadletter.Place{{Partition: 0, Offset: 1}}}})
	require.NoError(t, err)

	other, _ := open(&log{Cluster: c}) // another process
	assert.Len(t, pages(t, other, deadletter.Query{}), 7)
	assert.Len(t, ids(t, other, deadletter.Filter{}), 7)
	assert.ElementsMatch(t, []string{"m-0", "m-5"}, pages(t, other, deadletter.Query{Filter: deadletter.Filter{State: deadletter.Replayed}}))
	assert.Equal(t, []string{"m-2"}, pages(t, other, deadletter.Query{Filter: deadletter.Filter{State: deadletter.Discarded}}))
	assert.Len(t, pages(t, other, deadletter.Query{Filter: deadletter.Filter{State: deadletter.All}}), 10)
	one, err := other.Get(t.Context(), deadletter.Place{Partition: 1, Offset: 2})
	require.NoError(t, err)
	assert.Equal(t, operations.Replayed, one.State)
	assert.Equal(t, op.ID, one.Operation)

	plan, err := other.PlanReplay(t.Context(), deadletter.ReplayParams{})
	require.NoError(t, err)
	assert.Equal(t, 10, plan.Matched)
	assert.Equal(t, 7, plan.Would)
	assert.Equal(t, map[deadletter.Skip]int{deadletter.SkipHandled: 3}, plan.Skipped)
	assert.Len(t, plan.Sample, 7)
	rest, err := other.Replay(t.Context(), deadletter.ReplayParams{Rate: fast})
	require.NoError(t, err)
	assert.Equal(t, []int{10, 7, 3}, []int{rest.Matched, rest.Done, rest.Skipped})
	counts := replayed(t, c)
	assert.Len(t, counts, 9)
	for id, n := range counts {
		assert.Equal(t, 1, n, id)
	}
	// Who asks for what is handled gets it.
	again, err := other.Replay(t.Context(), deadletter.ReplayParams{Choice: deadletter.Choice{Filter: deadletter.Filter{State: deadletter.Discarded}}})
	require.NoError(t, err)
	assert.Equal(t, 1, again.Done)
	assert.Equal(t, 1, replayed(t, c)["m-2"])
}

func TestADryRunSaysWhatWouldBeDoneAndDoesNothing(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	past := time.Now().Add(-time.Hour)
	bury(
		t, c, 0,
		letter{user: "1", id: "plain", reason: push.Exhausted},
		letter{user: "1", id: "too-old", reason: push.TimeToLive},
		letter{user: "1", id: "outlived", reason: push.Exhausted, at: past, expires: past.Add(time.Minute)},
		letter{user: "1", id: "again", reason: push.Exhausted, replay: "1 exhausted op"},
		letter{user: "1", id: "other-reason", reason: push.Exhausted, replay: "1 overflow op"},
		letter{user: "1", id: "broken", reason: push.Invalid, contentType: "application/json", payload: "{"},
		letter{user: "1", id: "mended", reason: push.TooLarge},
		letter{user: "1", id: "put-away", reason: push.Discarded},
		letter{user: "", id: "nobody", reason: push.Invalid},
	)
	s, ops := open(&log{Cluster: c})
	plan := func(p deadletter.ReplayParams) deadletter.Plan {
		t.Helper()
		plan, err := s.PlanReplay(t.Context(), p)
		require.NoError(t, err)
		left := 0
		for _, n := range plan.Skipped {
			left += n
		}
		assert.Equal(t, plan.Matched, plan.Would+left)
		return plan
	}
	names := func(p deadletter.Plan) []string {
		var list []string
		for i := range p.Sample {
			list = append(list, p.Sample[i].ID)
		}
		return list
	}
	broad := plan(deadletter.ReplayParams{})
	assert.Equal(t, []string{"plain", "other-reason", "mended"}, names(broad))
	assert.Equal(t, map[deadletter.Skip]int{
		deadletter.SkipExpired: 2, deadletter.SkipAgain: 1, deadletter.SkipHopeless: 2, deadletter.SkipDiscarded: 1,
	}, broad.Skipped)
	assert.Contains(t, names(plan(deadletter.ReplayParams{Expired: true})), "outlived")
	assert.Contains(t, names(plan(deadletter.ReplayParams{Expired: true})), "too-old")
	assert.Contains(t, names(plan(deadletter.ReplayParams{Again: true})), "again")
	choose := func(f deadletter.Filter) deadletter.ReplayParams {
		return deadletter.ReplayParams{Choice: deadletter.Choice{Filter: f}}
	}
	assert.Equal(t, []string{"again"}, names(plan(choose(deadletter.Filter{ID: "again"}))))
	assert.Equal(t, []string{"put-away"}, names(plan(choose(deadletter.Filter{Reason: push.Discarded}))))
	hopeless := plan(choose(deadletter.Filter{Reason: push.Invalid}))
	assert.Equal(t, []string{"broken", "nobody"}, names(hopeless))
	assert.Equal(t, 2, hopeless.DieAgain)
	placed := deadletter.ReplayParams{Choice: deadletter.Choice{Letters: []deadletter.Place{{Offset: 3}, {Offset: 99}}}}
	assert.Equal(t, []string{"again"}, names(plan(placed)))
	assert.Equal(t, 1, plan(placed).Missing)

	assert.Empty(t, replayed(t, c))
	list, err := ops.List(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	assert.Empty(t, list)
}

func TestWhatDiesAgainForTheSameReasonIsNotReplayedByABroadFilter(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	bury(t, c, 0, letter{user: "1", id: "m", reason: push.Exhausted})
	s, _ := open(&log{Cluster: c})
	first, err := s.Replay(t.Context(), deadletter.ReplayParams{})
	require.NoError(t, err)
	require.Equal(t, 1, first.Done)
	// It dies again: its replay carries the mark, and so does its second letter.
	m := requests(t, c)[0][0]
	bury(t, c, 0, letter{user: "1", id: "m", reason: push.Exhausted, replay: fmt.Sprintf("%d %s %s", m.Replay.Count, m.Replay.Reason, m.Replay.Operation)})
	second, err := s.Replay(t.Context(), deadletter.ReplayParams{})
	require.NoError(t, err)
	assert.Zero(t, second.Done)
	assert.Equal(t, map[string]int{"handled": 1, "again": 1}, second.SkippedFor)
	third, err := s.Replay(t.Context(), deadletter.ReplayParams{Again: true})
	require.NoError(t, err)
	assert.Equal(t, 1, third.Done)
	assert.Equal(t, 2, requests(t, c)[0][1].Replay.Count)
}

// errKilled stands for the end of the process.
var errKilled = errors.New("killed")

func TestAKillBetweenRequestAndProgressGivesRepeatsAndNoLoss(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 3)
	want := buryMany(t, c, 3, "m", 1700, letter{reason: push.Overflow})
	// The process dies once so many writes to a topic were made: the one asked for and
	// all later ones fail.
	for _, kill := range []struct {
		topic string
		after int64
	}{{operationsTopic, 1}, {requestTopic, 2}, {operationsTopic, 3}, {requestTopic, 5}} {
		var writes atomic.Int64
		var dead atomic.Bool
		dying, _ := open(&log{Cluster: c, produce: func(topic string) error {
			if topic == kill.topic && writes.Add(1) > kill.after {
				dead.Store(true)
			}
			if dead.Load() {
				return errKilled
			}
			return nil
		}})
		// The one before was killed and is not silent for long enough yet.
		_, err := dying.Replay(t.Context(), deadletter.ReplayParams{Rate: fast, Force: true})
		require.ErrorIs(t, err, errKilled)
	}
	s, _ := open(&log{Cluster: c})
	op, err := s.Replay(t.Context(), deadletter.ReplayParams{Rate: fast, Force: true})
	require.NoError(t, err)
	assert.Equal(t, operations.Done, op.State)
	assert.Equal(t, len(want), op.Matched)
	counts := replayed(t, c)
	repeats := 0
	for _, id := range want {
		require.Positive(t, counts[id], id)
		repeats += counts[id] - 1
	}
	assert.Len(t, counts, len(want))
	// No more than what each of the killed may not have recorded: 500 and a batch.
	assert.LessOrEqual(t, repeats, 4*1000)
	assert.Positive(t, op.Skipped, "what was recorded is not replayed again")
	assert.Empty(t, pages(t, s, deadletter.Query{}))
}

func TestTwoOperatorsAtOnceReplayEachLetterOnce(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	want := buryMany(t, c, 2, "m", 300, letter{reason: push.Overflow})
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		s, _ := open(&log{Cluster: c})
		all.Go(func() { _, errs[i] = s.Replay(t.Context(), deadletter.ReplayParams{Rate: 1000}) })
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
			continue
		}
		require.ErrorIs(t, err, operations.ErrBusy)
	}
	assert.Equal(t, 1, done)
	counts := replayed(t, c)
	assert.Len(t, counts, len(want))
	for id, n := range counts {
		assert.Equal(t, 1, n, id)
	}
}

func TestACancelledReplayGoesOnWhereItEnded(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	want := buryMany(t, c, 2, "m", 200, letter{reason: push.Overflow})
	s, ops := open(&log{Cluster: c})
	for _, row := range []struct {
		cause error
		state operations.State
	}{{operations.ErrCancelled, operations.Cancelled}, {errors.New("the node leaves"), operations.Interrupted}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		op, err := s.Replay(ctx, deadletter.ReplayParams{Rate: 100, OnProgress: func(o operations.Operation) {
			if o.Done > 20 {
				cancel(row.cause)
			}
		}})
		cancel(nil)
		require.NoError(t, err)
		assert.Equal(t, row.state, op.State)
		assert.Greater(t, op.Done, 20)
		assert.Less(t, op.Done, 150)
		kept, err := ops.Get(t.Context(), op.ID)
		require.NoError(t, err)
		assert.Equal(t, row.state, kept.State)
	}
	_, err := s.Replay(t.Context(), deadletter.ReplayParams{Rate: fast})
	require.NoError(t, err)
	counts := replayed(t, c)
	assert.Len(t, counts, len(want))
	for id, n := range counts {
		assert.Equal(t, 1, n, id)
	}
}

func TestProgressBeginsWithTheOperationOnRecord(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	buryMany(t, c, 1, "m", 3, letter{reason: push.Overflow})
	s, ops := open(&log{Cluster: c})
	var calls []operations.Operation
	op, err := s.Replay(t.Context(), deadletter.ReplayParams{OnProgress: func(o operations.Operation) {
		if len(calls) == 0 {
			kept, err := ops.Get(t.Context(), o.ID)
			assert.NoError(t, err)
			assert.Equal(t, operations.Running, kept.State)
		}
		calls = append(calls, o)
	}})
	require.NoError(t, err)
	require.NotEmpty(t, calls)
	assert.Equal(t, op.ID, calls[0].ID)
	assert.Equal(t, 3, calls[len(calls)-1].Done)
}

func TestAReplayKeepsToItsRateAndRecordsEverySecond(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	buryMany(t, c, 1, "m", 60, letter{reason: push.Overflow})
	var mu sync.Mutex
	var recorded []time.Time
	s, _ := open(&log{Cluster: c, produce: func(topic string) error {
		if topic == operationsTopic {
			mu.Lock()
			defer mu.Unlock()
			recorded = append(recorded, time.Now())
		}
		return nil
	}})
	began := time.Now()
	op, err := s.Replay(t.Context(), deadletter.ReplayParams{Rate: 20})
	require.NoError(t, err)
	assert.Equal(t, 60, op.Done)
	took := time.Since(began)
	assert.Greater(t, took, 2500*time.Millisecond)
	assert.Less(t, took, 8*time.Second)
	for i := 1; i < len(recorded); i++ {
		assert.Less(t, recorded[i].Sub(recorded[i-1]), 1500*time.Millisecond)
	}
}

func TestALetterThatKafkaRefusesDoesNotHoldUpTheOthers(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	buryMany(t, c, 1, "m", 5, letter{user: "1", reason: push.Overflow})
	refusing := &refusing{log: &log{Cluster: c}, id: "m-2"}
	ops := operations.New(refusing, operationsTopic)
	s := deadletter.New(deadletter.Params{Log: refusing, Topics: deadletter.Topics{DeadLetter: topic, Requests: requestTopic}, Operations: ops})
	op, err := s.Replay(t.Context(), deadletter.ReplayParams{})
	require.NoError(t, err)
	assert.Equal(t, []int{5, 4, 1}, []int{op.Matched, op.Done, op.Failed})
	assert.Contains(t, op.Error, "0/2")
	assert.Equal(t, []string{"m-2"}, ids(t, s, deadletter.Filter{}), "it is still open")
	assert.Len(t, replayed(t, c), 4)
}

// refusing is a broker that takes all but one message.
type refusing struct {
	*log
	id string
}

func (r *refusing) Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error) {
	for i := range records {
		if topic == requestTopic && records[i].Headers.Text(push.HeaderMessageID) == r.id {
			return nil, &push.RejectedError{Topic: topic, Partition: partition, Err: errors.New("too large")}
		}
	}
	return r.log.Produce(ctx, topic, partition, records)
}

func TestAStoreForLookingOnlyChangesNothing(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	buryMany(t, c, 1, "m", 3, letter{})
	s := deadletter.New(deadletter.Params{Log: &log{Cluster: c}, Topics: deadletter.Topics{DeadLetter: topic, Requests: requestTopic}})
	assert.Len(t, pages(t, s, deadletter.Query{}), 3)
	_, err := s.Replay(t.Context(), deadletter.ReplayParams{})
	require.Error(t, err)
}

func TestDiscardingNeedsAReason(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	s, _ := open(&log{Cluster: c})
	var bad *deadletter.FilterError
	_, err := s.Discard(t.Context(), deadletter.DiscardParams{Why: " "})
	require.ErrorAs(t, err, &bad)
	_, err = s.PlanDiscard(t.Context(), deadletter.DiscardParams{})
	require.ErrorAs(t, err, &bad)
	_, err = s.Replay(t.Context(), deadletter.ReplayParams{Rate: -1})
	require.ErrorAs(t, err, &bad)
	_, err = s.Replay(t.Context(), deadletter.ReplayParams{Choice: deadletter.Choice{Letters: []deadletter.Place{{Partition: 1}}}})
	require.ErrorAs(t, err, &bad)
}
