package fleet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/fleet"
	"pushgate/internal/push"
)

func TestANodeWhoseClockIsSetBackIsStillAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		say := func(at time.Time) {
			report := fleet.Report{Node: "a", Life: 1, At: at, Started: at, Interval: 2, Custody: []fleet.Held{{Partition: 0}, {Partition: 1}, {Partition: 2}, {Partition: 3}}}
			value, err := report.Encode()
			require.NoError(t, err)
			require.NoError(t, r.log.write(t.Context(), push.Record{Key: []byte("a"), Value: value}))
		}
		for range 5 {
			say(time.Now())
			pass(t, 2*time.Second)
		}
		for range 30 {
			say(time.Now().Add(-time.Hour)) // NTP has put it right
			pass(t, 2*time.Second)
		}
		f := r.view.Fleet()
		assert.Equal(t, []string{"a alive"}, states(f))
		assert.Empty(t, f.Uncustodied)
	})
}
