package delivery

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/push"
)

// histograms gathers a histogram, by the values of its labels.
func histograms(t *testing.T, r *prometheus.Registry, name string) map[string]*dto.Histogram {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	found := map[string]*dto.Histogram{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			key := ""
			for _, l := range m.GetLabel() {
				key += l.GetValue() + " "
			}
			found[key] = m.GetHistogram()
		}
	}
	require.NotEmpty(t, found)
	return found
}

func TestTheTimeToTheAcknowledgementIsToldByTypeFromTheFirstWriteOn(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry, "order", "chat")
	report := func(kind string, attempt int, age time.Duration, s push.Status, first bool) {
		m.reported(&push.Message{Type: kind, Attempt: attempt, FirstSeen: time.Now().Add(-age)}, s, push.ReasonNone, first)
	}
	report("order", 1, 20*time.Millisecond, push.Held, true)
	report("order", 1, 200*time.Millisecond, push.Done, false)  // acknowledged
	report("order", 1, 3*time.Second, push.Done, true)          // written, where nobody acknowledges
	report("order", 2, time.Hour+time.Minute, push.Done, false) // its user was away
	report("chat", 1, 2*time.Second, push.Failed, true)
	report("nobody-named", 1, 20*time.Millisecond, push.Done, true)
	m.reported(&push.Message{Type: "order", Attempt: 1}, push.Done, push.ReasonNone, true)                                           // a repeat
	m.reported(&push.Message{Type: "order", Attempt: 1, FirstSeen: time.Now(), Offset: notInLog}, push.Done, push.ReasonNone, false) // was in no log

	got := histograms(t, registry, "pushgate_acknowledge_latency_seconds")
	counts := map[string]uint64{}
	for key, h := range got {
		counts[key] = h.GetSampleCount()
	}
	assert.Equal(t, map[string]uint64{
		"first order ": 2, "again order ": 1, "first chat ": 0, "again chat ": 0, "first other ": 1, "again other ": 0,
	}, counts, "every series is there from the beginning")
	within := map[float64]uint64{}
	for _, b := range got["first order "].GetBucket() {
		within[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	assert.Equal(t, map[float64]uint64{
		.01: 0, .025: 0, .05: 0, .1: 0, .25: 1, .5: 1, 1: 1, 2.5: 1, 5: 2, 10: 2, 30: 2, 60: 2, 300: 2, 3600: 2, 86400: 2,
	}, within)
	assert.Equal(t, uint64(3), histograms(t, registry, "pushgate_delivery_latency_seconds")[""].GetSampleCount(),
		"what was first on a socket: the held one, and those that nobody acknowledges")
}

func TestAnExampleOfALatencyNamesItsTrace(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	m.traceOf = func(m *push.Message) string { return m.TraceParent }
	now := time.Now()
	m.reported(&push.Message{Attempt: 1, FirstSeen: now}, push.Done, push.ReasonNone, true)
	m.reported(&push.Message{Attempt: 1, FirstSeen: now.Add(-300 * time.Millisecond), TraceParent: "0af7"}, push.Done, push.ReasonNone, true)
	for name, key := range map[string]string{"pushgate_acknowledge_latency_seconds": "first other ", "pushgate_delivery_latency_seconds": ""} {
		var examples []string
		for _, b := range histograms(t, registry, name)[key].GetBucket() {
			if e := b.GetExemplar(); e != nil {
				examples = append(examples, e.GetLabel()[0].GetName()+"="+e.GetLabel()[0].GetValue())
			}
		}
		assert.Equal(t, []string{"trace_id=0af7"}, examples, name)
	}
}

func TestTypesThatCannotBeLabelsAreRefused(t *testing.T) {
	require.NoError(t, DefaultMetricsConfig().Validate())
	require.NoError(t, MetricsConfig{Types: []string{"order", "chat"}}.Validate())
	many := make([]string, 51)
	for i := range many {
		many[i] = string(rune('A' + i))
	}
	for want, types := range map[string][]string{
		"leave it out": {"other"}, "twice": {"a", "a"}, "is empty": {""}, "at most 50": many,
	} {
		require.ErrorContains(t, MetricsConfig{Types: types}.Validate(), want)
	}
}

// traced is what a tracer was told.
type traced struct {
	told   []push.Status
	begun  int
	parent string
}

func (tr *traced) Delivery(m *push.Message, headers push.Headers) Trace {
	if m.TraceParent == "" {
		return nil
	}
	tr.begun++
	tr.parent = headers.Text(push.HeaderTraceParent)
	return tr
}

func (*traced) TraceOf(m *push.Message) string { return m.TraceParent }

func (tr *traced) Report(_ *push.Message, s push.Status, _ push.Reason) { tr.told = append(tr.told, s) }

func TestOnlyATracedDeliveryIsFollowedHoweverItComes(t *testing.T) {
	tr := &traced{}
	config := DefaultConfig()
	w := newTracedWorker(t, config, tr)
	plain := push.Record{Key: []byte("alice"), Value: []byte("x"), Time: time.Now()}
	with := push.Record{Key: []byte("alice"), Value: []byte("y"), Offset: 1, Time: time.Now()}
	with.Headers.AddText(push.HeaderTraceParent, "00-1")

	assert.True(t, w.deliver(&plain, everywhere{}))
	assert.Zero(t, tr.begun)
	assert.True(t, w.deliver(&with, everywhere{}))
	assert.Equal(t, 1, tr.begun)
	assert.Equal(t, []push.Status{push.Done}, tr.told)
	assert.Equal(t, "00-1", tr.parent)

	brought := with.Clone()
	brought.Offset, brought.Value = 2, []byte("z")
	_, err := w.Carry(t.Context(), &push.Carriage{Records: []push.Record{plain, brought}})
	require.NoError(t, err)
	assert.Equal(t, 2, tr.begun)

	m := push.Message{ID: "1", User: "alice", Type: "order", TraceParent: "00-1"}
	_, _, here := w.Push(t.Context(), &m)
	assert.True(t, here)
	assert.Equal(t, 3, tr.begun)
	assert.Len(t, tr.told, 3)
}

func TestARepeatIsNoDelivery(t *testing.T) {
	tr := &traced{}
	w := newTracedWorker(t, DefaultConfig(), tr)
	rec := push.Record{Key: []byte("alice"), Value: []byte("x"), Time: time.Now()}
	rec.Headers.AddText(push.HeaderID, "1")
	rec.Headers.AddText(push.HeaderTraceParent, "00-1")
	assert.True(t, w.deliver(&rec, everywhere{}))
	rec.Offset = 1
	assert.True(t, w.deliver(&rec, everywhere{}))
	assert.Equal(t, 1, tr.begun)
}

// newTracedWorker returns the worker of the only partition of a gateway where everybody
// is, and takes what he gets at once.
func newTracedWorker(t *testing.T, config Config, tracer Tracer) *worker {
	t.Helper()
	g := New(Params{
		Config: config, Hub: everywhere{}, Users: one, Partitions: func() int32 { return 1 }, Limits: push.Limits{DefaultTTL: time.Hour},
		Tracer: tracer, Logger: zap.NewNop(), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	w := newWorker(g, 0, 0, false)
	w.partitions = 1
	g.workers, g.err = []*worker{w}, nil
	return w
}
