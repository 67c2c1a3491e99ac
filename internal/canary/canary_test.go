package canary_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"pushgate/internal/canary"
	"pushgate/internal/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// platform is a gateway and a log in one: what is published comes after a while.
type platform struct {
	mu      sync.Mutex
	events  canary.Events
	there   bool // a client is connected
	refused error
	publish error
	lost    bool
	takes   time.Duration
	sent    []push.Message
	arrived int
}

func (p *platform) set(change func(*platform)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *platform) listen(ctx context.Context, user string, on canary.Events) error {
	p.mu.Lock()
	refused := p.refused
	if refused == nil && user == "pushgate-canary-a" {
		p.events, p.there = on, true
		on.Opened()
	}
	p.mu.Unlock()
	if refused != nil {
		return refused
	}
	<-ctx.Done()
	p.set(func(p *platform) { p.there = false })
	return nil
}

func (p *platform) write(_ context.Context, rec push.Record) error {
	m, err := push.ParseRequest(&rec, "", push.Limits{MaxBytes: 1000, DefaultTTL: time.Hour})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, m)
	if p.publish != nil {
		return p.publish
	}
	if !p.lost {
		time.AfterFunc(p.takes, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.there {
				p.arrived++
				p.events.Received(m.ID)
			}
		})
	}
	return nil
}

// running is a canary that runs until stop.
type running struct {
	*canary.Canary
	platform *platform
	registry *prometheus.Registry
	logged   *observer.ObservedLogs
	stop     func()
}

func start(t *testing.T, p *platform) *running {
	t.Helper()
	core, logged := observer.New(zapcore.InfoLevel)
	registry := prometheus.NewRegistry()
	c := canary.New(canary.Params{
		Config: canary.DefaultConfig(), Node: "a", Listen: p.listen, Publish: p.write, Logger: zap.New(core), Registerer: registry,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	assert.Equal(t, "no message yet", c.Text())
	go func() { ended <- c.Run(ctx) }()
	return &running{Canary: c, platform: p, registry: registry, logged: logged, stop: func() {
		cancel()
		require.NoError(t, <-ended)
	}}
}

func (r *running) failures(t *testing.T, connect, produce, receive string) {
	t.Helper()
	require.NoError(t, testutil.GatherAndCompare(r.registry, strings.NewReader(`
# HELP pushgate_canary_failures_total Rounds of the canary that failed, by stage: it was not connected, its message was not known to be in Kafka, or did not come.
# TYPE pushgate_canary_failures_total counter
pushgate_canary_failures_total{stage="connect"} `+connect+`
pushgate_canary_failures_total{stage="produce"} `+produce+`
pushgate_canary_failures_total{stage="receive"} `+receive+`
`), "pushgate_canary_failures_total"))
}

// after lets time pass.
func after(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
	synctest.Wait()
}

func TestACanaryMeasuresFromProducingToReceivingAtEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &platform{takes: 30 * time.Millisecond})
		after(t, 25*time.Second)
		r.failures(t, "0", "0", "0")
		require.NoError(t, testutil.GatherAndCompare(r.registry, strings.NewReader(`
# HELP pushgate_canary_seconds Time from producing a message to the canary of this node until its client had it.
# TYPE pushgate_canary_seconds histogram
pushgate_canary_seconds_bucket{le="0.002"} 0
pushgate_canary_seconds_bucket{le="0.005"} 0
pushgate_canary_seconds_bucket{le="0.01"} 0
pushgate_canary_seconds_bucket{le="0.02"} 0
pushgate_canary_seconds_bucket{le="0.05"} 3
pushgate_canary_seconds_bucket{le="0.1"} 3
pushgate_canary_seconds_bucket{le="0.2"} 3
pushgate_canary_seconds_bucket{le="0.5"} 3
pushgate_canary_seconds_bucket{le="1"} 3
pushgate_canary_seconds_bucket{le="2"} 3
pushgate_canary_seconds_bucket{le="5"} 3
pushgate_canary_seconds_bucket{le="10"} 3
pushgate_canary_seconds_bucket{le="+Inf"} 3
pushgate_canary_seconds_sum 0.09
pushgate_canary_seconds_count 3
`), "pushgate_canary_seconds"))
		assert.Equal(t, "ok: the last message took 30ms, 5s ago", r.Text())
		assert.Zero(t, r.logged.Len())
		r.stop()
	})
}

func TestItsMessagesDoNotOutliveTheWaitForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &platform{takes: time.Millisecond})
		after(t, time.Second)
		r.stop()
		require.Len(t, r.platform.sent, 1)
		m := r.platform.sent[0]
		assert.Equal(t, "pushgate-canary-a", m.User)
		assert.Equal(t, "pushgate.canary", m.Type)
		assert.True(t, m.JSON)
		assert.Equal(t, 5*time.Second, m.Expires.Sub(m.FirstSeen))
	})
}

func TestEachFailureIsCountedWhereItHappensAndLoggedOnce(t *testing.T) {
	for _, row := range []struct {
		name                      string
		ill, well                 func(*platform)
		connect, produce, receive string
		text                      string
	}{
		{
			"connect", func(p *platform) { p.refused = errors.New("429") }, func(p *platform) { p.refused = nil }, "3", "0", "0",
			"failing for 24s: connecting: 429",
		},
		{
			"produce", func(p *platform) { p.publish = errors.New("no broker") }, func(p *platform) { p.publish = nil }, "0", "3", "0",
			"failing for 29s: producing: no broker",
		},
		{
			"receive", func(p *platform) { p.lost = true }, func(p *platform) { p.lost = false }, "0", "0", "3",
			"failing for 24s: the message",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &platform{takes: time.Millisecond}
				row.ill(p)
				r := start(t, p)
				after(t, 29*time.Second)
				r.failures(t, row.connect, row.produce, row.receive)
				assert.Contains(t, r.Text(), row.text)
				assert.Equal(t, 1, r.logged.Len(), "%v", r.logged.All())
				p.set(row.well)
				after(t, 20*time.Second)
				r.failures(t, row.connect, row.produce, row.receive)
				assert.Contains(t, r.Text(), "ok: ")
				assert.Equal(t, 2, r.logged.Len(), "%v", r.logged.All())
				r.stop()
			})
		})
	}
}

func TestAMessageThatComesTooLateIsNoSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &platform{takes: 6 * time.Second})
		after(t, 9*time.Second)
		r.failures(t, "0", "0", "1")
		r.stop()
	})
}

func TestItTakesWhatIsUnderWayBeforeItLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &platform{takes: 100 * time.Millisecond}
		r := start(t, p)
		after(t, 50*time.Millisecond)
		r.stop()
		assert.Len(t, p.sent, 1)
		assert.Equal(t, 1, p.arrived, "it was still connected")
		assert.False(t, p.there)
	})
}

func TestItLeavesSoonWhenNothingComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &platform{lost: true}
		r := start(t, p)
		after(t, 50*time.Millisecond)
		began := time.Now()
		r.stop()
		assert.LessOrEqual(t, time.Since(began), time.Second)
	})
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	require.NoError(t, canary.DefaultConfig().Validate())
	for name, c := range map[string]canary.Config{
		"canary.interval": {Interval: time.Millisecond, Timeout: time.Second},
		"canary.timeout":  {Interval: time.Second, Timeout: 2 * time.Second},
	} {
		require.ErrorContains(t, c.Validate(), name)
	}
}
