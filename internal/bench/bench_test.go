package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/bench"
	"pushgate/internal/client"
	"pushgate/internal/push"
)

// small is a load whose numbers are easily told apart: 200 messages before the
// measurement, 1000 in it.
func small() bench.Config {
	c := bench.DefaultConfig()
	c.Users, c.Rate, c.Payload = 10, 100, 100
	return c
}

const produced = 1200

// measure runs a load against a deployment, in a bubble where time costs nothing.
func measure(t *testing.T, c bench.Config, d *deployment, check func(*bench.Report)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		report, err := bench.Run(t.Context(), d.params(c))
		require.NoError(t, err)
		check(report)
	})
}

func TestEveryMessageIsAccountedFor(t *testing.T) {
	d := newDeployment()
	d.delay = 3 * time.Millisecond
	measure(t, small(), d, func(r *bench.Report) {
		assert.EqualValues(t, produced, r.Produced)
		assert.EqualValues(t, produced, r.Delivered)
		assert.Zero(t, r.Lost)
		assert.Zero(t, r.Repeats)
		assert.Zero(t, r.Strangers)
		assert.Zero(t, r.Misdirected)
		assert.Zero(t, r.Unconfirmed)
		assert.False(t, r.Interrupted)
		assert.EqualValues(t, 1000, r.Latency.Count(), "the warm-up is not measured")
		assert.InDelta(t, 3*time.Millisecond, r.Latency.At(50), float64(10*time.Microsecond))
		assert.EqualValues(t, 1000, r.Written.Count())
		assert.InDelta(t, 100, r.DeliveredPerSecond, 1)
		assert.InDelta(t, 100, r.ProducedPerSecond, 1)
		assert.Equal(t, bench.Seconds(10*time.Second), r.Window)
	})
}

func TestALostMessageIsCountedWhenTheTimeToSettleIsOver(t *testing.T) {
	d := newDeployment()
	n := 0
	d.deliver = func(rec push.Record) []push.Record {
		if n++; n%400 == 0 {
			return nil
		}
		return []push.Record{rec}
	}
	measure(t, small(), d, func(r *bench.Report) {
		assert.EqualValues(t, 3, r.Lost)
		assert.EqualValues(t, produced, r.Produced)
		assert.EqualValues(t, produced-3, r.Delivered)
		assert.Equal(t, bench.Seconds(10*time.Second), r.Settle)
	})
}

func TestAMessageThatComesAgainIsARepeatAndNotLost(t *testing.T) {
	d := newDeployment()
	n := 0
	d.deliver = func(rec push.Record) []push.Record {
		if n++; n%300 == 0 {
			return []push.Record{rec, rec, rec}
		}
		return []push.Record{rec}
	}
	measure(t, small(), d, func(r *bench.Report) {
		assert.EqualValues(t, 8, r.Repeats)
		assert.EqualValues(t, produced, r.Delivered, "each counts once")
		assert.EqualValues(t, 1000, r.Latency.Count())
		assert.Zero(t, r.Lost)
	})
}

func TestARepeatDoesNotMakeUpForALostMessage(t *testing.T) {
	d := newDeployment()
	var last push.Record
	n := 0
	d.deliver = func(rec push.Record) []push.Record {
		if n++; n == 500 {
			return []push.Record{last}
		}
		last = rec.Clone()
		return []push.Record{rec}
	}
	measure(t, small(), d, func(r *bench.Report) {
		assert.EqualValues(t, 1, r.Lost)
		assert.EqualValues(t, 1, r.Repeats)
	})
}

func TestAMessageAtAnotherUserIsSeen(t *testing.T) {
	d := newDeployment()
	n := 0
	d.deliver = func(rec push.Record) []push.Record {
		if n++; n == 700 {
			wrong := rec
			last := len(rec.Key) - 1 // users are numbered
			wrong.Key = append(bytes.Clone(rec.Key[:last]), '0'+(rec.Key[last]-'0'+1)%10)
			return []push.Record{wrong}
		}
		return []push.Record{rec}
	}
	measure(t, small(), d, func(r *bench.Report) {
		assert.EqualValues(t, 1, r.Misdirected)
		assert.EqualValues(t, 1, r.Lost)
	})
}

func TestWhatIsNotOfThisRunIsNotCountedAsDelivered(t *testing.T) {
	d := newDeployment()
	n := 0
	d.deliver = func(rec push.Record) []push.Record {
		if n++; n == 700 {
			other := rec
			other.Value = []byte(`{"bench":"otherrun","n":"000000000001","at":"0000000000000001","pad":""}`)
			return []push.Record{rec, other}
		}
		return []push.Record{rec}
	}
	measure(t, small(), d, func(r *bench.Report) {
		assert.EqualValues(t, 1, r.Strangers)
		assert.EqualValues(t, produced, r.Delivered)
	})
}

// A generator that waits for each answer before it sends the next message would
// send one message into the stall, and report one slow message out of a
// thousand.
func TestAStallShowsInThePercentiles(t *testing.T) {
	const stall = 2 * time.Second
	d := newDeployment()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now().Add(5 * time.Second)
		d.produce = func(context.Context, []push.Record) error {
			if now := time.Now(); now.After(from) {
				pass(from.Add(stall).Sub(now))
			}
			return nil
		}
		report, err := bench.Run(t.Context(), d.params(small()))
		require.NoError(t, err)
		assert.Zero(t, report.Lost)
		assert.EqualValues(t, 1000, report.Latency.Count(), "the schedule was kept")
		assert.Less(t, report.Latency.At(50), 10*time.Millisecond)
		// A fifth of the time was a stall: a tenth of all messages waited for more than
		// half of it.
		assert.InDelta(t, stall/2, report.Latency.At(90), float64(50*time.Millisecond))
		assert.InDelta(t, stall, report.Latency.At(100), float64(50*time.Millisecond))
		assert.InDelta(t, stall/2, report.Written.At(90), float64(50*time.Millisecond))
		assert.Less(t, report.Pacing.At(100), 10*time.Millisecond, "the generator was not to blame")
	})
}

func TestAGeneratorThatIsLateCountsAgainstTheLatency(t *testing.T) {
	d := newDeployment()
	synctest.Test(t, func(t *testing.T) {
		params := d.params(small())
		naps := 0
		params.Nap = func(d time.Duration) {
			if naps++; naps == produced/2 {
				d += time.Second
			}
			pass(d)
		}
		report, err := bench.Run(t.Context(), params)
		require.NoError(t, err)
		assert.EqualValues(t, produced, report.Produced, "what was due meanwhile is sent")
		assert.InDelta(t, time.Second, report.Pacing.At(100), float64(2*time.Millisecond))
		assert.Equal(t, report.Pacing.At(100), report.Latency.At(100))
	})
}

func TestAClosedLoadHasNoMoreUnderWayThanItMay(t *testing.T) {
	c := small()
	c.Rate, c.InFlight = 0, 50
	d := newDeployment()
	d.delay = 10 * time.Millisecond
	measure(t, c, d, func(r *bench.Report) {
		assert.LessOrEqual(t, d.mostUnder, 50)
		assert.Greater(t, d.mostUnder, 40)
		// Ten users take a message each in ten milliseconds.
		assert.InDelta(t, 1000, r.DeliveredPerSecond, 20)
		assert.Zero(t, r.Lost)
		assert.Equal(t, r.Produced, r.Delivered)
		assert.Equal(t, 50, r.InFlight)
	})
}

func TestThoseWhoWereAwayGetWhatWaits(t *testing.T) {
	c := small()
	c.OfflineShare = .3
	d := newDeployment()
	d.delay = time.Millisecond
	measure(t, c, d, func(r *bench.Report) {
		require.NotNil(t, r.Waiting)
		assert.Equal(t, 3, r.Waiting.Users)
		assert.EqualValues(t, 3*produced/10, r.Waiting.Messages)
		assert.InDelta(t, time.Millisecond, r.Waiting.First.At(50), float64(10*time.Microsecond))
		assert.InDelta(t, 120*time.Millisecond, r.Waiting.Last.At(100), float64(time.Millisecond))
		assert.EqualValues(t, 700, r.Latency.Count(), "what had to wait is no latency")
		assert.EqualValues(t, produced, r.Delivered)
		assert.Zero(t, r.Lost)
	})
}

func TestWhatWaitsInVainIsLost(t *testing.T) {
	c := small()
	c.OfflineShare = .3
	d := newDeployment()
	d.connect = func(bench.DeviceParams) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		for user, list := range d.waiting {
			d.waiting[user] = list[1:]
		}
		return nil
	}
	measure(t, c, d, func(r *bench.Report) {
		// The later a user connects, the more of them have dropped a message.
		assert.EqualValues(t, 1+2+3, r.Lost)
	})
}

func TestAnInterruptedRunReportsWhatThereIs(t *testing.T) {
	c := small()
	c.OfflineShare = .5
	d := newDeployment()
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithTimeout(t.Context(), 5*time.Second)
		defer interrupt()
		report, err := bench.Run(ctx, d.params(c))
		require.NoError(t, err)
		assert.True(t, report.Interrupted)
		assert.InDelta(t, 500, report.Produced, 5)
		assert.InDelta(t, 150, report.Latency.Count(), 5)
		assert.InDelta(t, 3*time.Second, time.Duration(report.Window), float64(50*time.Millisecond))
		assert.Zero(t, report.Lost)
		assert.Equal(t, report.Produced-report.Delivered, report.UnderWay, "those who were away are not waited for")
		assert.Nil(t, report.Waiting)
	})
}

func TestAnInterruptionWhileWaitingEndsTheWait(t *testing.T) {
	d := newDeployment()
	d.deliver = func(push.Record) []push.Record { return nil }
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithTimeout(t.Context(), 15*time.Second)
		defer interrupt()
		report, err := bench.Run(ctx, d.params(small()))
		require.NoError(t, err)
		assert.EqualValues(t, produced, report.UnderWay)
		assert.Zero(t, report.Lost, "it did not have the time it may take")
		assert.Less(t, time.Duration(report.Settle), 5*time.Second)
	})
}

func TestWhatKafkaRefusedIsNotLost(t *testing.T) {
	d := newDeployment()
	var n atomic.Int64
	d.produce = func(_ context.Context, records []push.Record) error {
		if n.Add(1)%100 == 0 {
			assert.Len(t, records, 1)
			return errors.New("no, thank you")
		}
		return nil
	}
	measure(t, small(), d, func(r *bench.Report) {
		assert.EqualValues(t, 12, r.Unconfirmed)
		assert.EqualValues(t, produced-12, r.Produced)
		assert.Zero(t, r.Lost)
		assert.Equal(t, []string{"no, thank you"}, r.Problems)
	})
}

func TestWhatKafkaNeverAnsweredForIsNotLost(t *testing.T) {
	d := newDeployment()
	var written atomic.Int64
	d.produce = func(ctx context.Context, _ []push.Record) error {
		if written.Add(1) > 600 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	measure(t, small(), d, func(r *bench.Report) {
		assert.EqualValues(t, 600, r.Produced)
		assert.EqualValues(t, 600, r.Delivered)
		assert.EqualValues(t, 600, r.Unconfirmed)
		assert.Zero(t, r.Lost)
	})
}

func TestUsersConnectAtTheGivenRate(t *testing.T) {
	c := small()
	c.Users, c.ConnectRate = 500, 100
	d := newDeployment()
	measure(t, c, d, func(r *bench.Report) {
		require.Len(t, d.opened, 500)
		assert.InDelta(t, 4990*time.Millisecond, d.opened[499].Sub(d.opened[0]), float64(time.Millisecond))
		assert.EqualValues(t, 500, r.Connect.Count())
	})
}

func TestHandshakesUnderWayAreBounded(t *testing.T) {
	c := small()
	c.Users, c.ConnectRate = 1000, 10_000
	d := newDeployment()
	var now, most atomic.Int64
	d.connect = func(bench.DeviceParams) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		pass(time.Second)
		now.Add(-1)
		return nil
	}
	measure(t, c, d, func(r *bench.Report) {
		assert.LessOrEqual(t, most.Load(), int64(256))
		assert.Equal(t, time.Second, r.Connect.At(0).Round(10*time.Millisecond))
	})
}

func TestUsersWhoCannotConnectAreAnError(t *testing.T) {
	refusal := errors.New("refused")
	t.Run("refused for good", func(t *testing.T) {
		d := newDeployment()
		d.connect = func(p bench.DeviceParams) error {
			if p.Number == 7 {
				return refusal
			}
			return nil
		}
		synctest.Test(t, func(t *testing.T) {
			_, err := bench.Run(t.Context(), d.params(small()))
			require.ErrorIs(t, err, refusal)
			assert.ErrorContains(t, err, "7 of 10 users could connect")
		})
	})
	t.Run("refused again and again", func(t *testing.T) {
		d := newDeployment()
		synctest.Test(t, func(t *testing.T) {
			params := d.params(small())
			params.NewDevice = func(p bench.DeviceParams) (bench.Device, error) { return stubborn{p, refusal}, nil }
			began := time.Now()
			_, err := bench.Run(t.Context(), params)
			require.ErrorIs(t, err, refusal, "the last failure is named")
			assert.ErrorContains(t, err, "0 of 10 users could connect")
			assert.Less(t, time.Since(began), time.Minute)
		})
	})
	t.Run("no device", func(t *testing.T) {
		d := newDeployment()
		synctest.Test(t, func(t *testing.T) {
			params := d.params(small())
			params.NewDevice = func(bench.DeviceParams) (bench.Device, error) { return nil, refusal }
			_, err := bench.Run(t.Context(), params)
			require.ErrorIs(t, err, refusal)
		})
	})
}

// stubborn is refused, and tries again.
type stubborn struct {
	bench.DeviceParams
	err error
}

func (s stubborn) RunRaw(ctx context.Context, _ func([]byte) error) error {
	for ctx.Err() == nil {
		s.OnState(client.Connecting, nil)
		s.OnState(client.Closed, s.err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

func TestConnectionsThatWereClosedAreCounted(t *testing.T) {
	d := newDeployment()
	synctest.Test(t, func(t *testing.T) {
		params := d.params(small())
		params.NewDevice = func(p bench.DeviceParams) (bench.Device, error) {
			again := p
			again.OnState = func(s client.State, err error) {
				p.OnState(s, err)
				if s == client.Open {
					p.OnState(client.Closed, errors.New("went away"))
					p.OnState(client.Connecting, nil)
					p.OnState(client.Open, nil)
				}
			}
			return d.newDevice(again)
		}
		report, err := bench.Run(t.Context(), params)
		require.NoError(t, err)
		assert.EqualValues(t, 10, report.Closed)
		assert.Equal(t, []string{"went away"}, report.Problems)
		assert.Zero(t, report.Lost)
	})
}

func TestNodesAreAskedBeforeAndAfter(t *testing.T) {
	d := newDeployment()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		params := d.params(small())
		params.Nodes = []bench.Node{{Name: "a", Usage: func(context.Context) (bench.Usage, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			users := float64(len(d.inboxes))
			return bench.Usage{
				CPUSeconds: time.Since(began).Seconds() / 10, RSSBytes: 1e6 + 2000*users, Sessions: users,
				Delivered: float64(d.offset), Read: float64(d.offset), Dropped: 5,
			}, nil
		}}}
		report, err := bench.Run(t.Context(), params)
		require.NoError(t, err)
		require.Len(t, report.Nodes, 1)
		n := report.Nodes[0]
		assert.Equal(t, "a", n.Name)
		assert.InDelta(t, 1, n.CPUSeconds, .01, "of the window only")
		assert.InDelta(t, 1000, n.Delivered, 1)
		assert.InDelta(t, 1000, n.PerCPUSecond, 10)
		assert.InDelta(t, 1000, n.CPUMicros, 10)
		assert.InDelta(t, 10, n.Connections, 0)
		assert.InDelta(t, 2000, n.RSSPerConnection, 0)
		assert.InDelta(t, 1_020_000, n.RSSBytes, 0)
		assert.InDelta(t, 1_020_000, n.IdleRSSBytes, 0)
		assert.InDelta(t, 1000, n.Read, 1)
		assert.Zero(t, n.Dropped)
	})
}

func TestANodeThatStopsAnsweringSpoilsItsOwnNumbersOnly(t *testing.T) {
	d := newDeployment()
	synctest.Test(t, func(t *testing.T) {
		params := d.params(small())
		asked := 0
		params.Nodes = []bench.Node{{Name: "a", Usage: func(context.Context) (bench.Usage, error) {
			if asked++; asked > 2 {
				return bench.Usage{}, errors.New("gone")
			}
			return bench.Usage{CPUSeconds: 1}, nil
		}}}
		report, err := bench.Run(t.Context(), params)
		require.NoError(t, err)
		assert.EqualValues(t, produced, report.Delivered)
		assert.Equal(t, bench.NodeUse{Name: "a"}, report.Nodes[0])
		assert.Equal(t, []string{"gone"}, report.Problems)
	})
}

func TestANodeThatDoesNotAnswerFromTheStartIsAnError(t *testing.T) {
	d := newDeployment()
	gone := errors.New("gone")
	synctest.Test(t, func(t *testing.T) {
		params := d.params(small())
		params.Nodes = []bench.Node{{Usage: func(context.Context) (bench.Usage, error) { return bench.Usage{}, gone }}}
		_, err := bench.Run(t.Context(), params)
		require.ErrorIs(t, err, gone)
		assert.Empty(t, d.opened)
	})
}

func TestProgressIsToldUntilTheEnd(t *testing.T) {
	d := newDeployment()
	synctest.Test(t, func(t *testing.T) {
		params := d.params(small())
		var told []bench.Progress
		params.OnProgress = func(p bench.Progress) { told = append(told, p) }
		_, err := bench.Run(t.Context(), params)
		require.NoError(t, err)
		require.Greater(t, len(told), 20)
		assert.EqualValues(t, 10, told[0].Connected)
		assert.Equal(t, bench.Done, told[len(told)-1].Phase)
		assert.EqualValues(t, produced, told[len(told)-1].Delivered)
	})
}

func TestALoadThatCannotWorkIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*bench.Config)
		names  string
	}{
		"no users":          {func(c *bench.Config) { c.Users = 0 }, "--users"},
		"a negative rate":   {func(c *bench.Config) { c.Rate = -1 }, "--rate"},
		"nothing in flight": {func(c *bench.Config) { c.InFlight = 0 }, "--in-flight"},
		"a tiny payload":    {func(c *bench.Config) { c.Payload = bench.MinPayload - 1 }, "--payload"},
		"no time":           {func(c *bench.Config) { c.Duration = 0 }, "--duration"},
		"a negative warmup": {func(c *bench.Config) { c.WarmUp = -1 }, "--warm-up"},
		"no settling":       {func(c *bench.Config) { c.Settle = 0 }, "--settle"},
		"nobody connects":   {func(c *bench.Config) { c.ConnectRate = 0 }, "--connect-rate"},
		"no devices":        {func(c *bench.Config) { c.Devices = 0 }, "--devices"},
		"churn of all":      {func(c *bench.Config) { c.Churn = 1.5 }, "--churn"},
		"away in the past":  {func(c *bench.Config) { c.Away = -1 }, "--away"},
		"a fall":            {func(c *bench.Config) { c.RampUp = -1 }, "--ramp-up"},
		"nothing to ramp":   {func(c *bench.Config) { c.Rate, c.RampUp = 0, 1 }, "--ramp-up needs a --rate"},
		"a type without":    {func(c *bench.Config) { c.Types = []bench.TypeShare{{"a", 0}} }, "--type a"},
		"a type twice":      {func(c *bench.Config) { c.Types = []bench.TypeShare{{"a", 1}, {"a", 1}} }, "--type a is given twice"},
		"a type by no name": {func(c *bench.Config) { c.Types = []bench.TypeShare{{"", 1}} }, "--type"},
		"many types":        {func(c *bench.Config) { c.Types = make([]bench.TypeShare, 17) }, "16 times at most"},
		"more than all":     {func(c *bench.Config) { c.OfflineShare = 1.1 }, "--offline-share"},
	} {
		t.Run(name, func(t *testing.T) {
			c := bench.DefaultConfig()
			require.NoError(t, c.Validate())
			row.change(&c)
			_, err := bench.Run(t.Context(), bench.Params{Config: c})
			assert.ErrorContains(t, err, row.names)
		})
	}
}

func TestAReportIsReadableByPrograms(t *testing.T) {
	d := newDeployment()
	d.delay = 2500 * time.Microsecond
	measure(t, small(), d, func(r *bench.Report) {
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var got struct {
			Produced int64   `json:"produced"`
			Lost     *int64  `json:"lost"`
			Window   float64 `json:"window_s"`
			Latency  struct {
				Count int64   `json:"count"`
				P99   float64 `json:"p99_ms"`
			} `json:"latency"`
		}
		require.NoError(t, json.Unmarshal(text, &got))
		assert.EqualValues(t, produced, got.Produced)
		require.NotNil(t, got.Lost)
		assert.InDelta(t, 10, got.Window, .01)
		assert.InDelta(t, 2.5, got.Latency.P99, .01)
		assert.EqualValues(t, 1000, got.Latency.Count)

		var plot bytes.Buffer
		require.NoError(t, r.Latency.Plot(&plot))
		assert.Contains(t, plot.String(), "Percentile")
	})
}
