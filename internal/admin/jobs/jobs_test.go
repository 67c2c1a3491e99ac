package jobs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/admin/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCancelled = errors.New("cancelled by alice")

// running returns a Runner, and what ends it.
func running(t *testing.T) (r *jobs.Runner, leave func()) {
	t.Helper()
	r = jobs.New(jobs.Params{Most: 2, Logger: zaptest.NewLogger(t)})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }() //nolint:revive // r is not assigned any more
	return r, func() { stop(); require.NoError(t, <-ended) }
}

// long is a job that runs until it is told to end, and tells why it did.
func long(id string, why chan<- error) jobs.Job {
	return func(ctx context.Context, began func(string)) error {
		began(id)
		<-ctx.Done()
		why <- context.Cause(ctx)
		return nil
	}
}

func TestAJobOutlivesTheRequestThatStartedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, leave := running(t)
		request, end := context.WithCancel(t.Context())
		why := make(chan error, 1)
		id, err := r.Start(request, long("one", why))
		require.NoError(t, err)
		assert.Equal(t, "one", id)
		end()
		synctest.Wait()
		assert.Empty(t, why)
		assert.False(t, r.Cancel("other", errCancelled))
		assert.False(t, r.Cancel("", errCancelled))
		assert.True(t, r.Cancel("one", errCancelled))
		assert.Equal(t, errCancelled, <-why)
		synctest.Wait()
		assert.False(t, r.Cancel("one", errCancelled), "it has ended")
		leave()
	})
}

func TestTheNodeLeavesOnlyWhenItsJobsHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, leave := running(t)
		interrupted, finish, finished := make(chan error, 1), make(chan struct{}), false
		_, err := r.Start(t.Context(), func(ctx context.Context, began func(string)) error {
			began("one")
			<-ctx.Done()
			interrupted <- context.Cause(ctx)
			<-finish // what is under way is finished first
			finished = true
			return nil
		})
		require.NoError(t, err)
		left := make(chan struct{})
		go func() { leave(); close(left) }()
		assert.Equal(t, jobs.ErrInterrupted, <-interrupted)
		synctest.Wait()
		select {
		case <-left:
			assert.Fail(t, "it left before its job had ended")
		default:
		}
		_, err = r.Start(t.Context(), long("two", nil))
		assert.Equal(t, jobs.ErrLeaving, err)
		close(finish)
		<-left
		assert.True(t, finished)
	})
}

func TestAJobThatIsRefusedIsNoJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, leave := running(t)
		refused := errors.New("another one runs")
		_, err := r.Start(t.Context(), func(context.Context, func(string)) error { return refused })
		assert.Equal(t, refused, err)
		id, err := r.Start(t.Context(), func(_ context.Context, began func(string)) error {
			began("one")
			began("two")
			return errors.New("failed at once")
		})
		require.NoError(t, err, "it had begun: its record tells how it ended")
		assert.Equal(t, "one", id)
		leave()
	})
}

func TestNoMoreJobsRunThanMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, leave := running(t)
		why := make(chan error, 2)
		for _, id := range []string{"one", "two"} {
			_, err := r.Start(t.Context(), long(id, why))
			require.NoError(t, err)
		}
		_, err := r.Start(t.Context(), long("three", why))
		assert.Equal(t, jobs.ErrTooMany, err)
		r.Cancel("one", errCancelled)
		<-why
		synctest.Wait()
		_, err = r.Start(t.Context(), long("three", why))
		require.NoError(t, err)
		leave()
	})
}

func TestAJobNobodyWaitedForIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, leave := running(t)
		request, end := context.WithCancel(t.Context())
		why := make(chan error, 1)
		go end()
		_, err := r.Start(request, func(ctx context.Context, _ func(string)) error {
			<-ctx.Done()
			why <- context.Cause(ctx)
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, jobs.ErrAbandoned, <-why)
		leave()
	})
}

func TestAJobThatPanicsTakesNothingWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, leave := running(t)
		_, err := r.Start(t.Context(), func(context.Context, func(string)) error { panic("a mistake") })
		require.ErrorContains(t, err, "a mistake")
		id, err := r.Start(t.Context(), func(_ context.Context, began func(string)) error {
			began("one")
			panic("another")
		})
		require.NoError(t, err)
		synctest.Wait()
		assert.False(t, r.Cancel(id, errCancelled), "it has ended")
		leave()
	})
}
