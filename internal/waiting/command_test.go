package waiting_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/operations"
	"pushgate/internal/push"
	"pushgate/internal/waiting"
)

func (r *rig) lastOperation() operations.Operation {
	r.Helper()
	list, err := r.journal.List(r.Context(), time.Time{}, 1)
	require.NoError(r, err)
	require.Len(r, list, 1)
	return list[0]
}

func TestADryRunCountsAndChangesNothing(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	r.wait("43", "b", 11)
	op, err := r.store.Release(t.Context(), waiting.Filter{}, waiting.Order{By: "alice", DryRun: true})
	require.NoError(t, err)
	assert.Equal(t, 2, op.Matched)
	assert.Zero(t, op.Done)
	for p := range int32(partitions) {
		_, end, err := r.c.Bounds(t.Context(), "push.receipts", p)
		require.NoError(t, err)
		assert.Zero(t, end)
	}
	list, err := r.journal.List(t.Context(), time.Time{}, 0)
	require.NoError(t, err)
	assert.Empty(t, list)
}

func TestAReleaseIsAskedOfTheCustodianConfirmedAndRecorded(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	r.wait("42", "b", 11)
	r.wait("42", "ads", 12, func(w *push.Wait) { w.Reason = push.AckTimeout })
	asked := r.custodian(home("42"))
	var seen []operations.Operation
	op, err := r.store.Release(t.Context(), waiting.Filter{User: "42", Reason: push.Offline}, waiting.Order{
		By: "alice", OnProgress: func(o operations.Operation) { seen = append(seen, o) },
	})
	require.NoError(t, err)
	assert.Equal(t, operations.Done, op.State)
	assert.Equal(t, 2, op.Matched)
	assert.Equal(t, 2, op.Done)
	require.Len(t, asked.all(), 1)
	assert.Equal(t, push.Command{
		Kind: push.Release, Operation: op.ID, By: "alice", Waits: []push.CommandWait{{User: "42", Origin: 10}, {User: "42", Origin: 11}},
	}, asked.all()[0])
	assert.Equal(t, []string{"ads"}, ids(r.page(waiting.Filter{})))
	require.NotEmpty(t, seen)
	assert.Equal(t, operations.Running, seen[0].State, "told as soon as it is recorded")
	assert.NotEmpty(t, seen[0].ID)

	recorded := r.lastOperation()
	assert.Equal(t, op.ID, recorded.ID)
	assert.Equal(t, operations.Release, recorded.Kind)
	assert.Equal(t, "alice", recorded.By)
	assert.Equal(t, map[string]string{"user": "42", "reason": "offline"}, recorded.Filter)
	assert.Equal(t, 2, recorded.Done)
}

func TestADiscardBearsItsReason(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	asked := r.custodian(home("42"))
	op, err := r.store.Discard(t.Context(), waiting.Filter{ID: "a"}, waiting.Order{By: "alice", Why: "campaign is over"})
	require.NoError(t, err)
	assert.Equal(t, 1, op.Done)
	require.Len(t, asked.all(), 1)
	assert.Equal(t, push.Discard, asked.all()[0].Kind)
	assert.Equal(t, "campaign is over", asked.all()[0].Why)
	recorded := r.lastOperation()
	assert.Equal(t, operations.DiscardWaiting, recorded.Kind)
	assert.Equal(t, "campaign is over", recorded.Why)
}

func TestOnlyTheWaitsThatAreNamedAreAskedFor(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	r.wait("42", "b", 11)
	asked := r.custodian(home("42"))
	op, err := r.store.Release(t.Context(), waiting.Filter{}, waiting.Order{
		By: "alice", Waits: []waiting.Ref{{Partition: home("42"), Origin: 11, User: "42"}, {Partition: home("42"), Origin: 10, User: "somebody else"}},
	})
	require.NoError(t, err)
	assert.Equal(t, 1, op.Done)
	assert.Equal(t, []push.CommandWait{{User: "42", Origin: 11}}, asked.all()[0].Waits)
}

func TestAPartitionWithoutCustodianConfirmsNothingAndSaysWhatToDo(t *testing.T) {
	r := newRig(t)
	here, there := "42", "43"
	for i := 0; home(there) == home(here); i++ {
		there = fmt.Sprint("u", i)
	}
	r.wait(here, "a", 10)
	r.wait(there, "b", 11)
	r.custodian(home(here))
	op, err := r.store.Release(t.Context(), waiting.Filter{}, waiting.Order{By: "alice", Patience: 500 * time.Millisecond})
	require.NoError(t, err)
	assert.Equal(t, operations.Failed, op.State)
	assert.Equal(t, 2, op.Matched)
	assert.Equal(t, 1, op.Done)
	assert.Equal(t, 1, op.Failed)
	assert.Contains(t, op.Error, fmt.Sprintf("partition %d: 1 asked for", home(there)))
	assert.Contains(t, op.Error, "custodian")
	assert.Equal(t, operations.Failed, r.lastOperation().State)
}

func TestThousandsAreAskedForInBatchesAndAllConfirmed(t *testing.T) {
	r := newRig(t)
	const many = 5000
	batch := make([]push.Record, 0, 1000)
	for i := range many {
		batch = append(batch, waitRecord("42", fmt.Sprint("m", i), int64(i)))
		if len(batch) == cap(batch) {
			r.write("push.retry", home("42"), batch...)
			batch = batch[:0]
		}
	}
	asked := r.custodian(home("42"))
	op, err := r.store.Release(t.Context(), waiting.Filter{User: "42"}, waiting.Order{By: "alice"})
	require.NoError(t, err)
	assert.Equal(t, many, op.Matched)
	assert.Equal(t, many, op.Done)
	assert.Len(t, asked.all(), many/200)
	assert.Empty(t, r.page(waiting.Filter{}))
}

func TestAnOperationThatIsCutShortIsRecordedAsItStands(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	ctx, stop := context.WithCancel(t.Context())
	op, err := r.store.Release(ctx, waiting.Filter{}, waiting.Order{By: "alice", OnProgress: func(o operations.Operation) {
		if o.Matched == 1 {
			stop()
		}
	}})
	stop()
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, operations.Interrupted, op.State)
	assert.Equal(t, operations.Interrupted, r.lastOperation().State)
}

func TestAnOperationThatSomebodyCancelsEndsAndSaysSo(t *testing.T) {
	r := newRig(t)
	r.wait("42", "a", 10)
	var asked bool
	op, err := r.store.Release(t.Context(), waiting.Filter{}, waiting.Order{By: "alice", OnProgress: func(o operations.Operation) {
		if !asked {
			asked = true
			assert.NoError(t, r.journal.Cancel(t.Context(), o.ID, "bob"))
		}
	}})
	require.NoError(t, err)
	assert.Equal(t, operations.Cancelled, op.State)
	assert.Equal(t, operations.Cancelled, r.lastOperation().State)
}

func TestNothingIsDoneThatCannotBeRecorded(t *testing.T) {
	r := newRig(t)
	store := waiting.New(waiting.Params{
		Log: r, Journal: silent{}, Topics: waiting.Topics{Retry: "push.retry", Receipts: "push.receipts"},
	})
	r.wait("42", "a", 10)
	_, err := store.Release(t.Context(), waiting.Filter{}, waiting.Order{By: "alice"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, end, err := r.c.Bounds(t.Context(), "push.receipts", home("42"))
	require.NoError(t, err)
	assert.Zero(t, end)
}

// silent is a journal that cannot be written to.
type silent struct{}

func (silent) Begin(context.Context, operations.Operation, bool) (*operations.Run, error) {
	return nil, context.DeadlineExceeded
}
