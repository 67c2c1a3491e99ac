package fleet_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/fleet"
)

// busy counts as a node does that delivers so much a second.
func busy(r *rig, n *reporter, perSecond int64) {
	began := time.Now()
	r.Helper()
	n.set(func(rep *fleet.Report) { rep.Counters = fleet.Counters{} })
	r.background(func(ctx context.Context) error {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			done := perSecond * time.Since(began).Milliseconds() / 1000
			n.set(func(rep *fleet.Report) {
				rep.Counters.Delivered, rep.Counters.Requests = done, 2*done
				rep.Counters.Dead = map[string]int64{"expired": done / 10, "invalid": done / 10}
			})
		}
	})
}

func TestTheOverviewSumsUpAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		oldest := time.Now().Add(-time.Minute).UTC()
		a := r.node("a", func(rep *fleet.Report) {
			rep.Sessions, rep.Users = 10, 9
			rep.Latency = fleet.Latency{P50: .01, P99: .2, Count: 5}
			rep.Custody = []fleet.Held{{Partition: 0, Waiting: 3, InFlight: 1}, {Partition: 1, Waiting: 4, OldestWait: oldest, LagMessages: 7}}
		})
		b := r.node("b", func(rep *fleet.Report) {
			rep.Sessions, rep.Users = 5, 5
			rep.Latency = fleet.Latency{P50: .02, P99: .1, Count: 1}
			rep.Custody = []fleet.Held{{Partition: 2, InFlight: 2}}
		})
		busy(r, a, 100)
		busy(r, b, 50)
		pass(t, 5*time.Minute)
		o := r.view.Overview(4)
		assert.InDelta(t, 2, o.IntervalSeconds, 0)
		require.Len(t, o.Series, 120)
		assert.Equal(t, fleet.Count{Alive: 2}, o.Nodes)
		for i, p := range append(o.Series, o.Now) {
			assert.Equal(t, 15, p.Sessions, i)
			assert.Equal(t, 7, p.Waiting)
			assert.Equal(t, 3, p.InFlight)
			assert.InDelta(t, 150, p.Delivered, 15)
			assert.InDelta(t, 300, p.Requests, 30)
			assert.InDelta(t, 30, p.Dead, 5)
			assert.InDelta(t, .02, p.P50, 0)
			assert.InDelta(t, .2, p.P99, 0)
			assert.True(t, p.OldestWait.Equal(oldest))
			if i > 0 && i < len(o.Series) {
				assert.Equal(t, 2*time.Second, p.T.Sub(o.Series[i-1].T))
			}
		}
		total := 0.0
		for _, p := range o.Series {
			total += p.Delivered * o.IntervalSeconds
		}
		assert.InEpsilon(t, 150*240, total, .02, "what the rates add up to")
		pass(t, 500*time.Millisecond)
		assert.Subset(t, times(r.view.Overview(4)), times(o)[1:], "points stay where they are")

		encoded, err := json.Marshal(o)
		require.NoError(t, err)
		assert.NotContains(t, string(encoded), "null")
	})
}

func times(o fleet.Overview) (list []int64) {
	for _, p := range o.Series {
		list = append(list, p.T.UnixMilli())
	}
	return list
}

func TestARestartMakesNoRateNegativeAndNoBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.node("a", func(rep *fleet.Report) { rep.Sessions = 10 })
		busy(r, a, 1000)
		pass(t, 2*time.Minute)
		a.kill()
		pass(t, time.Second)
		busy(r, r.node("a", func(rep *fleet.Report) { rep.Sessions = 10 }), 1000)
		pass(t, time.Minute)
		o := r.view.Overview(2)
		for i, p := range o.Series {
			assert.GreaterOrEqual(t, p.Delivered, 0.0, i)
			assert.LessOrEqual(t, p.Delivered, 1100.0, i)
			assert.Equal(t, 10, p.Sessions, "the sessions of a process that was replaced are not counted beside those of the next: %d", i)
		}
	})
}

func TestACounterThatGoesBackMakesNoRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.node("a")
		a.set(func(rep *fleet.Report) { rep.Counters.Delivered = 1000 })
		pass(t, 10*time.Second)
		a.set(func(rep *fleet.Report) { rep.Counters.Delivered = 10 })
		pass(t, 10*time.Second)
		for _, p := range r.view.Overview(1).Series {
			assert.GreaterOrEqual(t, p.Delivered, 0.0)
		}
	})
}

func TestANodeThatWasFoundRunningMakesNoBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.node("a")
		busy(r, a, 1000)
		pass(t, time.Hour)
		v := r.look()
		pass(t, time.Minute)
		o := v.Overview(15)
		require.Len(t, o.Series, 300)
		for i, p := range o.Series[2:] {
			assert.InDelta(t, 1000, p.Delivered, 100, i)
		}
	})
}

func TestWhatANodeWasLikeEndsWithItsLastReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.node("b", func(rep *fleet.Report) { rep.Sessions = 1 })
		a := r.node("a", func(rep *fleet.Report) { rep.Sessions = 10 })
		pass(t, time.Minute)
		a.stop()
		pass(t, 4*time.Second)
		o := r.view.Overview(1)
		assert.Equal(t, 1, o.Now.Sessions)
		assert.Equal(t, 1, o.Series[len(o.Series)-1].Sessions)
		assert.Equal(t, 11, o.Series[0].Sessions)
		assert.Equal(t, fleet.Count{Alive: 1}, o.Nodes)
	})
}

func TestAnyNumberOfMinutesIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		pass(t, time.Second)
		assert.Len(t, r.view.Overview(-1).Series, 30)
		assert.Len(t, r.view.Overview(0).Series, 30)
		assert.Len(t, r.view.Overview(1000).Series, 300)
	})
}
