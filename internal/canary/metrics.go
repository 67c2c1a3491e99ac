package canary

import "github.com/prometheus/client_golang/prometheus"

// The stages in which it may fail: values of a label.
const (
	stageConnect = "connect"
	stageProduce = "produce"
	stageReceive = "receive"
)

type metrics struct {
	took        prometheus.Histogram
	failures    map[string]prometheus.Counter // by stage
	lastSuccess prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushgate_canary_failures_total",
		Help: "Rounds of the canary that failed, by stage: it was not connected, its message was not known to be in Kafka, or did not come.",
	}, []string{"stage"})
	m := &metrics{
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pushgate_canary_seconds", Help: "Time from producing a message to the canary of this node until its client had it.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}),
		failures: make(map[string]prometheus.Counter),
		lastSuccess: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pushgate_canary_last_success_timestamp_seconds", Help: "When a message of the canary came last, as Unix time; 0 if none has yet.",
		}),
	}
	for _, stage := range []string{stageConnect, stageProduce, stageReceive} {
		m.failures[stage] = failures.WithLabelValues(stage)
	}
	if r != nil {
		for _, c := range []prometheus.Collector{failures, m.took, m.lastSuccess} {
			r.MustRegister(c)
		}
	}
	return m
}
