package bench_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/bench"
	"pushgate/internal/push"
)

func TestAMessageForSeveralDevicesCountsOnce(t *testing.T) {
	c := small()
	c.Devices = 3
	d := newDeployment()
	d.delay = time.Millisecond
	measure(t, c, d, func(r *bench.Report) {
		assert.EqualValues(t, produced, r.Delivered)
		assert.EqualValues(t, 3*produced, r.Copies)
		assert.EqualValues(t, produced, r.AtAllDevices)
		assert.Zero(t, r.Repeats, "a copy is no repeat")
		assert.Zero(t, r.Lost)
		assert.EqualValues(t, 1000, r.Latency.Count())
		assert.EqualValues(t, 30, r.Connect.Count())
		assert.Len(t, d.opened, 30)
		assert.Equal(t, 3, r.Devices)
	})
}

func TestAMessageThatOneOfSeveralDevicesHasIsNotLost(t *testing.T) {
	c := small()
	c.Devices = 2
	d := newDeployment()
	synctest.Test(t, func(t *testing.T) {
		params := d.params(c)
		params.NewDevice = func(p bench.DeviceParams) (bench.Device, error) {
			if p.Number%2 == 1 {
				return deaf{p}, nil
			}
			return d.newDevice(p)
		}
		r, err := bench.Run(t.Context(), params)
		require.NoError(t, err)
		assert.EqualValues(t, produced, r.Delivered)
		assert.EqualValues(t, produced, r.Copies)
		assert.Zero(t, r.AtAllDevices)
		assert.Zero(t, r.Lost)
		assert.Less(t, time.Duration(r.Settle), time.Second, "other devices are not waited for long")
	})
}

func TestWhatADeviceGetsAgainIsARepeatWhateverTheOthersGot(t *testing.T) {
	c := small()
	c.Devices = 2
	d := newDeployment()
	n := 0
	d.deliver = func(rec push.Record) []push.Record {
		if n++; n%300 == 0 {
			return []push.Record{rec, rec}
		}
		return []push.Record{rec}
	}
	measure(t, c, d, func(r *bench.Report) {
		assert.EqualValues(t, 2*4, r.Repeats)
		assert.EqualValues(t, 2*produced, r.Copies)
		assert.EqualValues(t, produced, r.AtAllDevices)
	})
}

func TestUsersWhoComeAndGoLoseNothing(t *testing.T) {
	c := small()
	c.Users, c.Churn, c.Away = 100, .05, 2*time.Second
	for _, devices := range []int{1, 2} {
		c.Devices = devices
		d := newDeployment()
		d.delay = time.Millisecond
		measure(t, c, d, func(r *bench.Report) {
			assert.InDelta(t, 12*5, r.SentAway, 2, "a twentieth of a hundred each second of twelve")
			// Who is away at the end, and misses nothing, is not waited for.
			assert.InDelta(t, r.SentAway*int64(devices), r.Reconnects, float64(devices*10), "with all their devices")
			assert.Equal(t, 100*int64(devices)+r.Reconnects, r.Connect.Count())
			assert.EqualValues(t, produced, r.Delivered)
			assert.Zero(t, r.Lost)
			assert.Zero(t, r.Repeats)
			assert.Zero(t, r.Closed, "they went of their own accord")
			assert.Empty(t, r.Problems)
			require.NotNil(t, r.Returning)
			assert.EqualValues(t, 1000, r.Latency.Count()+r.Returning.Count(), "each is measured once")
			// Away for two seconds of twelve and more than half of the time.
			assert.InDelta(t, 90, r.Returning.Count(), 40)
			assert.InDelta(t, time.Millisecond, r.Latency.At(100), float64(5*time.Millisecond), "to be away is not the deployment's fault")
			assert.LessOrEqual(t, r.Returning.At(100), 2100*time.Millisecond)
		})
	}
}

func TestWhatChurnLosesIsLost(t *testing.T) {
	c := small()
	c.Users, c.Churn = 10, .5
	d := newDeployment()
	d.delay = 20 * time.Millisecond
	d.forgetful = true
	synctest.Test(t, func(t *testing.T) {
		params := d.params(c)
		params.Rate = 1000
		report, err := bench.Run(t.Context(), params)
		require.NoError(t, err)
		assert.Positive(t, report.SentAway)
		assert.Positive(t, report.Lost)
		assert.Equal(t, report.Produced, report.Delivered+report.Lost)
	})
}

func TestNobodyIsAwayWhenTheRunIsOver(t *testing.T) {
	c := small()
	c.Churn, c.Away = 1, 5*time.Second
	d := newDeployment()
	measure(t, c, d, func(r *bench.Report) {
		assert.EqualValues(t, produced, r.Delivered, "who is away at the end of the load comes back for what waits")
		assert.Zero(t, r.Lost)
		for user, inboxes := range d.inboxes {
			assert.Empty(t, inboxes, user)
		}
	})
}

func TestTheRateRisesEvenly(t *testing.T) {
	c := small()
	c.RampUp, c.WarmUp = 4*time.Second, 0
	d := newDeployment()
	var at []time.Duration
	began := time.Time{}
	d.deliver = func(rec push.Record) []push.Record {
		if began.IsZero() {
			began = time.Now()
		}
		at = append(at, time.Since(began))
		return []push.Record{rec}
	}
	measure(t, c, d, func(r *bench.Report) {
		assert.EqualValues(t, 4*100/2+1000, r.Produced, "half the rate on average, then all of it")
		assert.EqualValues(t, 1000, r.Latency.Count(), "the ramp is not measured")
		assert.InDelta(t, 100, r.ProducedPerSecond, 1)
		for second, want := range []int{0, 12, 50, 112, 200, 300, 400} {
			n := 0
			for _, t := range at {
				if t < time.Duration(second)*time.Second {
					n++
				}
			}
			assert.InDelta(t, want, n, 3, "after %d s", second)
		}
	})
}

func TestMessagesHaveTheTypesThatAreAskedFor(t *testing.T) {
	c := small()
	c.Users, c.Types = 7, []bench.TypeShare{{"news", 3}, {"alarm", 1}}
	d := newDeployment()
	types := map[string]int{}
	d.deliver = func(rec push.Record) []push.Record {
		m, err := push.ParseRequest(&rec, "requests", push.Limits{})
		assert.NoError(t, err)
		types[m.Type]++
		return []push.Record{rec}
	}
	measure(t, c, d, func(r *bench.Report) {
		assert.InDelta(t, produced*3/4, types["news"], 60)
		assert.InDelta(t, produced/4, types["alarm"], 60)
		assert.Len(t, types, 2)
		require.Len(t, r.Types, 2)
		assert.Equal(t, "news", r.Types[0].Type)
		assert.InDelta(t, 750, r.Types[0].Latency.Count(), 60)
		assert.EqualValues(t, 1000, r.Types[0].Latency.Count()+r.Types[1].Latency.Count())
	})
}

func TestProgressSaysHowMuchOfTheLoadIsLeft(t *testing.T) {
	c := small()
	c.RampUp = time.Second
	d := newDeployment()
	synctest.Test(t, func(t *testing.T) {
		params := d.params(c)
		var phases []string
		left := map[string]time.Duration{} // the most
		params.OnProgress = func(p bench.Progress) {
			if _, ok := left[p.Phase]; !ok {
				phases = append(phases, p.Phase)
			}
			left[p.Phase] = max(left[p.Phase], p.Left)
		}
		_, err := bench.Run(t.Context(), params)
		require.NoError(t, err)
		assert.Equal(t, []string{"ramping up", "warming up", "measuring", bench.Done}, phases)
		assert.InDelta(t, 12500*time.Millisecond, left["ramping up"], float64(600*time.Millisecond))
		assert.InDelta(t, 10*time.Second, left["measuring"], float64(600*time.Millisecond))
		assert.Zero(t, left[bench.Done])
	})
}

func TestTheNewFiguresAreReadableByPrograms(t *testing.T) {
	c := small()
	c.Devices, c.Churn, c.Types = 2, .1, []bench.TypeShare{{"news", 1}}
	measure(t, c, newDeployment(), func(r *bench.Report) {
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var got map[string]any
		require.NoError(t, json.Unmarshal(text, &got))
		for _, name := range []string{"devices", "churn", "sent_away", "reconnects", "copies", "at_all_devices", "returning", "types"} {
			assert.Contains(t, got, name)
		}
	})
}
