package operations_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

func TestABeatThatComesAfterTheEndDoesNotMakeAnOperationInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kafka := newMemory()
		l := operations.New(kafka, topic)
		run, err := l.Begin(t.Context(), replayOf(0), false)
		require.NoError(t, err)
		late := kafka.logs[0][len(kafka.logs[0])-1].Clone() // an attempt that timed out
		done, err := run.End(t.Context(), operations.Done, nil)
		require.NoError(t, err)
		_, err = kafka.Produce(t.Context(), topic, 0, []push.Record{late})
		require.NoError(t, err)
		<-time.After(time.Minute)
		o, err := l.Get(t.Context(), done.ID)
		require.NoError(t, err)
		assert.Equal(t, operations.Done, o.State)
	})
}
