package delivery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/delivery"
)

func TestAGatewayWhoseLogDoesNotAnswerIsTakenToBeBehind(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		standing := func() delivery.Standing {
			list := r.gateway.Standings()
			require.Len(t, list, 1)
			return list[0]
		}
		r.start()
		r.log.fill(0, 3)
		pass(20 * time.Second)
		assert.Equal(t, delivery.Standing{Position: 3, End: 3}, standing(), "a log in which nothing is written is no lag")

		mute := make(chan struct{})
		r.log.set(func(l *fakeLog) { l.mute = mute })
		pass(2 * time.Second)
		assert.Zero(t, standing().LagTime, "it may answer yet")
		pass(28 * time.Second)
		assert.InDelta(t, 30, standing().LagTime.Seconds(), 2, "what was written since is not known")

		r.log.set(func(l *fakeLog) { l.mute = nil })
		close(mute)
		pass(2 * time.Second)
		assert.Zero(t, standing().LagTime)
		r.cancel()
		assert.NoError(t, <-r.ended)
		r.cancel = nil
	})
}
