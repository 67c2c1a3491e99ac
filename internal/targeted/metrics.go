package targeted

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of targeted routing. Label values come from closed sets.
type Metrics struct {
	lookups, lookupErrors prometheus.Counter
	lookupTime            prometheus.Histogram
	calls                 *prometheus.CounterVec
	callTime              prometheus.Histogram
	callMessages          prometheus.Counter
}

// Results of a call.
const (
	resultAnswered    = "answered"
	resultFailed      = "failed"
	resultUnknownNode = "unknown_node"
	resultSkipped     = "skipped"
)

// NewMetrics registers the metrics of targeted routing.
func NewMetrics(r prometheus.Registerer) *Metrics {
	buckets := []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}
	m := &Metrics{
		lookups: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushgate_lookups_total", Help: "Users looked up in the directory by custodians here.",
		}),
		lookupErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushgate_lookup_errors_total", Help: "Times looking users up in the directory failed.",
		}),
		lookupTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pushgate_lookup_seconds", Help: "Time a look-up of users in the directory took, of many at once.", Buckets: buckets,
		}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushgate_calls_total", Help: "Calls of custodians here to nodes, by result: skipped were those to a node whose calls kept failing.",
		}, []string{"result"}),
		callTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pushgate_call_seconds", Help: "Time a call to a node took.", Buckets: buckets,
		}),
		callMessages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushgate_call_messages_total", Help: "Messages in calls to nodes.",
		}),
	}
	r.MustRegister(m.lookups, m.lookupErrors, m.lookupTime, m.calls, m.callTime, m.callMessages)
	for _, result := range []string{resultAnswered, resultFailed, resultUnknownNode, resultSkipped} {
		m.calls.WithLabelValues(result)
	}
	return m
}

func (m *Metrics) lookedUp(users int, took time.Duration) {
	m.lookups.Add(float64(users))
	m.lookupTime.Observe(took.Seconds())
}

func (m *Metrics) called(messages int, result string, took time.Duration) {
	m.calls.WithLabelValues(result).Inc()
	if result != resultSkipped {
		m.callTime.Observe(took.Seconds())
		m.callMessages.Add(float64(messages))
	}
}
