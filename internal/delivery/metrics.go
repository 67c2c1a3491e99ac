package delivery

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/push"
)

// Metrics of delivery. Label values come from closed sets: reasons, partitions.
type Metrics struct {
	requests, dropped      prometheus.Counter
	delivered, held        prometheus.Counter
	repeats                prometheus.Counter
	failed                 *prometheus.CounterVec
	receipts, offsetsLost  prometheus.Counter
	namesakes              prometheus.Counter
	latency                prometheus.Histogram
	acknowledged           *acknowledged
	traceOf                func(*push.Message) string // nil: nothing is traced
	lagGauge, unsettledVec *prometheus.GaugeVec
	stalledVec             *prometheus.GaugeVec
	carried                map[string]prometheus.Counter // by result
	calls                  prometheus.Counter
	called                 prometheus.Gauge
}

// Results of a message that a custodian brought: labels of a metric.
const (
	resultDelivered = "delivered"
	resultHeld      = "held"
	resultQueued    = "queued"
	resultFailed    = "failed"
	resultAbsent    = "absent"
)

// NewMetrics registers the metrics of delivery. The business types that are named have
// label values of their own.
func NewMetrics(r prometheus.Registerer, types ...string) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	m := &Metrics{
		requests:    counter("pushgate_requests_read_total", "Requests this gateway has read."),
		dropped:     counter("pushgate_requests_dropped_total", "Requests read whose user has no session here."),
		delivered:   counter("pushgate_delivered_total", "Messages delivered by this gateway: acknowledged, or written where the client does not acknowledge."),
		held:        counter("pushgate_held_total", "Messages written that await an acknowledgement."),
		repeats:     counter("pushgate_repeats_dropped_total", "Repeats not written again, because the message had been delivered by this gateway before."),
		receipts:    counter("pushgate_receipts_total", "Receipts written."),
		offsetsLost: counter("pushgate_delivery_offsets_lost_total", "Times the offset to read was not in the log any more."),
		namesakes:   counter("pushgate_node_id_conflicts_total", "Times another process was found to have this node's id."),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushgate_failed_total", Help: "Messages this gateway could not deliver and handed back, by reason.",
		}, []string{"reason"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pushgate_delivery_latency_seconds", Help: "Time from a request being written to Kafka until it was on a socket, first offerings only.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60},
		}),
		lagGauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pushgate_delivery_lag", Help: "Requests this gateway has not read yet.",
		}, []string{"partition"}),
		unsettledVec: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pushgate_unsettled", Help: "Requests under way at this gateway whose receipt is not written yet.",
		}, []string{"partition"}),
	}
	m.stalledVec = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pushgate_delivery_stalled", Help: "1 while a receipt of the partition cannot be written.",
	}, []string{"partition"})
	carried := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushgate_carried_total", Help: "Messages custodians brought here, by what they were told at once. Absent: nobody here takes it, or it has expired.",
	}, []string{"result"})
	m.carried = make(map[string]prometheus.Counter)
	for _, result := range []string{resultDelivered, resultHeld, resultQueued, resultFailed, resultAbsent} {
		m.carried[result] = carried.WithLabelValues(result)
	}
	m.calls = counter("pushgate_carriages_total", "Calls of custodians that brought messages here.")
	m.called = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pushgate_routing_called", Help: "1 while this gateway is called with what is for its users, 0 while it reads all requests.",
	})
	m.acknowledged = newAcknowledged(r, types)
	r.MustRegister(carried, m.called)
	r.MustRegister(m.failed, m.latency, m.lagGauge, m.unsettledVec, m.stalledVec)
	for _, reason := range push.Failures() {
		m.failed.WithLabelValues(reason.String())
	}
	return m
}

// read counts a batch at once: the drop path must stay cheap.
func (m *Metrics) read(records, owned int) {
	if records > 0 {
		m.requests.Add(float64(records))
		m.dropped.Add(float64(records - owned))
	}
}

// reported counts one report; first says that it is the first of its message.
func (m *Metrics) reported(msg *push.Message, s push.Status, reason push.Reason, first bool) {
	switch s {
	case push.Held:
		m.held.Inc()
	case push.Done:
		m.delivered.Inc()
	case push.Failed:
		m.failed.WithLabelValues(reason.String()).Inc()
	}
	fresh := first && s != push.Failed && msg.Attempt == 1
	if msg.FirstSeen.IsZero() || msg.Offset == notInLog || !fresh && s != push.Done {
		return
	}
	took := time.Since(msg.FirstSeen).Seconds()
	trace := ""
	if m.traceOf != nil {
		trace = m.traceOf(msg)
	}
	if fresh {
		observe(m.latency, took, trace)
	}
	if s == push.Done {
		observe(m.acknowledged.of(msg), took, trace)
	}
}

// carriedAnswer counts a call.
func (m *Metrics) carriedAnswer(r *push.Receipt, absent int) {
	m.calls.Inc()
	m.carried[resultDelivered].Add(float64(len(r.Delivered)))
	m.carried[resultHeld].Add(float64(len(r.Held)))
	m.carried[resultQueued].Add(float64(len(r.Queued)))
	m.carried[resultFailed].Add(float64(len(r.Failed)))
	m.carried[resultAbsent].Add(float64(absent))
}

func (m *Metrics) routing(called bool) {
	value := 0.0
	if called {
		value = 1
	}
	m.called.Set(value)
}

func (m *Metrics) partition(number int32, lag int64, unsettled int, stalled bool) {
	label := strconv.Itoa(int(number))
	m.lagGauge.WithLabelValues(label).Set(float64(lag))
	m.unsettledVec.WithLabelValues(label).Set(float64(unsettled))
	value := 0.0
	if stalled {
		value = 1
	}
	m.stalledVec.WithLabelValues(label).Set(value)
}
