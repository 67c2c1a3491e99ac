package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"pushgate/internal/fleet"
	"pushgate/internal/push"
)

func TestANodeThatReportsIsAliveAndOneThatDoesNotIsSilentAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		began := time.Now()
		r.node("a")
		b := r.node("b")
		pass(t, 5*time.Second)
		f := r.view.Fleet()
		require.True(t, f.Known)
		assert.Equal(t, []string{"a alive", "b alive"}, states(f))
		assert.True(t, f.Nodes[0].Since.Equal(began), "alive since it was started")

		b.kill()
		pass(t, 9*time.Second)
		assert.Equal(t, []string{"a alive", "b alive"}, states(r.view.Fleet()), "not yet")
		pass(t, 3*time.Second)
		f = r.view.Fleet()
		assert.Equal(t, []string{"a alive", "b silent"}, states(f))
		assert.WithinDuration(t, began.Add(4*time.Second), f.Nodes[1].Since, time.Second, "since it was heard of last")
		pass(t, 2*time.Hour)
		assert.Equal(t, []string{"a alive", "b silent"}, states(r.view.Fleet()), "hours later")
		assert.Equal(t, []string{"a alive", "b silent"}, states(awaited(r, r.look())), "for one who comes later, too")
	})
}

// awaited is what a view says once it has read everything.
func awaited(r *rig, v *fleet.View) fleet.Fleet {
	r.Helper()
	require.NoError(r, v.Await(r.Context(), 3*time.Second))
	return v.Fleet()
}

func TestANodeThatEndsInOrderIsStoppedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.node("a", holding(0, 1, 2, 3))
		pass(t, 5*time.Second)
		a.set(func(r *fleet.Report) { r.Stopping = true })
		a.speak.Soon()
		pass(t, 200*time.Millisecond)
		f := r.view.Fleet()
		assert.Equal(t, []string{"a alive"}, states(f), "it drains")
		assert.True(t, f.Nodes[0].Stopping)
		a.stop()
		pass(t, 200*time.Millisecond)
		f = r.view.Fleet()
		assert.Equal(t, []string{"a stopped"}, states(f))
		assert.Equal(t, []int32{0, 1, 2, 3}, f.Uncustodied)
	})
}

func TestANodeThatDiesWhileItDrainsIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.node("a", func(r *fleet.Report) { r.Stopping = true })
		pass(t, time.Second)
		a.kill()
		pass(t, 12*time.Second)
		assert.Equal(t, []string{"a stopped"}, states(r.view.Fleet()))
	})
}

func TestAReportIntervalOfItsOwnMakesANodeSilentLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		report := fleet.Report{Node: "a", Life: 1, At: time.Now(), Interval: 60}
		value, err := report.Encode()
		require.NoError(t, err)
		require.NoError(t, r.log.write(t.Context(), push.Record{Value: value}))
		pass(t, 179*time.Second)
		assert.Equal(t, []string{"a alive"}, states(r.view.Fleet()))
		pass(t, 2*time.Second)
		assert.Equal(t, []string{"a silent"}, states(r.view.Fleet()))
	})
}

func TestTwoProcessesWithOneIDAreBothShownAndOneThatWasReplacedIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		first := r.node("a")
		pass(t, 5*time.Second)
		first.kill()
		pass(t, 100*time.Millisecond)
		r.node("a")
		pass(t, time.Second)
		f := r.view.Fleet()
		assert.Equal(t, []string{"a alive"}, states(f), "restarted")
		assert.False(t, f.Nodes[0].SharedID)
		assert.Empty(t, warningsWith(f, "node id"))

		third := r.node("a")
		pass(t, 5*time.Second)
		f = r.view.Fleet()
		require.Equal(t, []string{"a alive", "a alive"}, states(f), "twins")
		assert.True(t, f.Nodes[0].SharedID)
		assert.Greater(t, f.Nodes[0].Life, f.Nodes[1].Life)
		assert.Len(t, warningsWith(f, "two processes have the node id a"), 1)

		third.stop()
		pass(t, 12*time.Second)
		f = r.view.Fleet()
		assert.Contains(t, states(f), "a alive", "the one that goes on")
	})
}

func warningsWith(f fleet.Fleet, part string) (list []string) {
	for _, w := range f.Warnings {
		if strings.Contains(w, part) {
			list = append(list, w)
		}
	}
	return list
}

func TestSettingsThatDifferAndPartitionsInNobodysCustodyAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.node("a", holding(0, 1))
		b := r.node("b", holding(2, 3))
		pass(t, time.Second)
		f := r.view.Fleet()
		assert.Empty(t, f.Warnings)
		assert.Empty(t, f.Uncustodied)

		b.set(func(r *fleet.Report) { r.Routing, r.Order = "targeted", "strict"; r.Custody = r.Custody[:1] })
		pass(t, 3*time.Second)
		f = r.view.Fleet()
		assert.Equal(t, []int32{3}, f.Uncustodied)
		assert.Len(t, warningsWith(f, "routing.mode differs: broadcast on a; targeted on b"), 1)
		assert.Len(t, warningsWith(f, "delivery.order differs: relaxed on a; strict on b"), 1)
		assert.Len(t, warningsWith(f, "no node that reports has partition 3 in custody"), 1)
		b.kill()
		pass(t, 12*time.Second)
		f = r.view.Fleet()
		assert.Empty(t, warningsWith(f, "differs"), "what is gone differs from nobody")
		assert.Equal(t, []int32{2, 3}, f.Uncustodied)
	})
}

func TestAClockThatIsWrongIsNamedAndMakesNobodySilent(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"the broker's is ahead": time.Hour, "the broker's is behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.log.ahead = ahead
				a := r.node("a")
				pass(t, 10*time.Second)
				assert.Equal(t, []string{"a alive"}, states(r.view.Fleet()))
				f := awaited(r, r.look())
				assert.Equal(t, []string{"a alive"}, states(f), "one who has just come waits for a report")
				assert.NotEmpty(t, warningsWith(f, "the clock of a is 1h"))
				a.kill()
				pass(t, 12*time.Second)
				assert.Equal(t, []string{"a silent"}, states(r.view.Fleet()))
			})
		})
	}
}

func TestABrokersClockThatIsSetBackIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.node("a")
		r.log.mu.Lock()
		r.log.ahead = time.Minute
		r.log.mu.Unlock()
		pass(t, time.Minute)
		r.log.mu.Lock()
		r.log.ahead = 0
		r.log.mu.Unlock()
		pass(t, time.Minute)
		assert.Equal(t, []string{"a alive"}, states(r.view.Fleet()))
	})
}

func TestWhatIsNoReportIsCountedAndPassedOverAndUnknownFieldsAreNoHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		pass(t, time.Second)
		for _, value := range []string{
			"", "{", "null", `"a"`, `{"node":"a"}`, `{"node":"a","life":1}`, `{"node":"a","life":"1","at":"2026-01-01T00:00:00Z"}`, "\x00\xff",
		} {
			require.NoError(t, r.log.write(t.Context(), push.Record{Key: []byte("a"), Value: []byte(value)}))
		}
		require.NoError(t, r.log.write(t.Context(), push.Record{Value: []byte(
			`{"node":"b","life":7,"at":"` + time.Now().Format(time.RFC3339Nano) + `","mood":{"good":[1]},"custody":[{"partition":1,"colour":"red"}],"counters":{"sold":3}}`)}))
		pass(t, time.Second)
		f := r.view.Fleet()
		assert.EqualValues(t, 8, f.Malformed)
		assert.Equal(t, []string{"b alive"}, states(f))
		assert.Equal(t, []int32{0, 2, 3}, f.Uncustodied)
	})
}

func TestAViewGoesOnWhereTheTopicWasTrimmedUnderIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.node("a")
		pass(t, time.Minute)
		r.log.trim(0)
		later := r.look() // begins with nothing there
		pass(t, 10*time.Second)
		assert.Equal(t, []string{"a alive"}, states(r.view.Fleet()))
		assert.Equal(t, []string{"a alive"}, states(later.Fleet()))
		// Made anew: its offsets begin at 0 again.
		r.log.mu.Lock()
		r.log.start, r.log.records = 0, nil
		r.log.mu.Unlock()
		pass(t, 10*time.Second)
		assert.Equal(t, []string{"a alive"}, states(r.view.Fleet()))
	})
}

func TestAViewThatHasReadNothingSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := fleet.NewView(fleet.Params{Log: &memoryLog{}, Topic: topic, Partitions: func() int32 { return 0 }, Logger: zap.NewNop()})
		assert.False(t, v.Fleet().Known)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, v.Await(ctx, time.Hour), context.DeadlineExceeded)

		r := newRig(t)
		began := time.Now()
		f := awaited(r, r.view)
		assert.Equal(t, 3*time.Second, time.Since(began), "nobody reports: it was waited for as long as told")
		assert.True(t, f.Known)
		assert.Empty(t, f.Nodes)
		b, err := json.Marshal(f)
		require.NoError(t, err)
		assert.Contains(t, string(b), `"nodes":[]`)
	})
}

func TestAReporterThatCannotWriteSaysSoOnceAndDropsWhatItCannotWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		var blocked atomic.Bool
		var writes atomic.Int32
		blocked.Store(true)
		rep := fleet.NewReporter(fleet.ReporterParams{
			Config: fleet.DefaultNodesConfig(), Logger: zap.New(core),
			Gather: func() fleet.Report { return fleet.Report{Node: "a", Life: 1} },
			Write: func(ctx context.Context, _ push.Record) error {
				writes.Add(1)
				if !blocked.Load() {
					return nil
				}
				<-ctx.Done()
				return errors.New("no broker")
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- rep.Run(ctx) }()
		pass(t, time.Minute)
		synctest.Wait()
		assert.LessOrEqual(t, writes.Load(), int32(13), "one at a time, each with a bound")
		assert.Equal(t, 1, logged.FilterMessageSnippet("cannot report").Len())
		blocked.Store(false)
		pass(t, 10*time.Second)
		assert.Equal(t, 1, logged.FilterMessage("reports are written again").Len())
		blocked.Store(true)
		pass(t, time.Minute)
		assert.Equal(t, 2, logged.FilterMessageSnippet("cannot report").Len(), "another outage")
		cancel()
		began := time.Now()
		require.NoError(t, <-ended)
		assert.LessOrEqual(t, time.Since(began), 2*time.Second, "a node does not wait for long to say its last word")
	})
}

func TestAReadOfAllThatIsKeptTakesSamplesOfWhatIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a := r.node("a")
		b := r.node("b")
		pass(t, time.Hour)
		b.kill()
		bSeen := time.Now()
		pass(t, 3*time.Hour)
		a.kill()
		aSeen := time.Now()
		pass(t, time.Minute)
		seen, err := fleet.Sight(t.Context(), r.log, topic, time.Hour)
		require.NoError(t, err)
		assert.WithinDuration(t, aSeen, seen.Newest, 2*time.Second)
		assert.WithinDuration(t, aSeen, seen.Last["a"], 2*time.Second)
		assert.WithinRange(t, seen.Last["b"], bSeen.Add(-10*time.Minute-time.Second), bSeen, "roughly")
		assert.Equal(t, time.Hour, seen.Newest.Sub(seen.Exact))
		none, err := fleet.Sight(t.Context(), &memoryLog{}, topic, time.Hour)
		require.NoError(t, err)
		assert.True(t, none.Newest.IsZero())
	})
}

func TestPartitionsAreWrittenAsPeopleDo(t *testing.T) {
	assert.Empty(t, fleet.Partitions(nil))
	assert.Equal(t, "0-2,4,6-7", fleet.Partitions([]int32{0, 1, 2, 4, 6, 7}))
}
