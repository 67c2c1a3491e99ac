package custody

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/push"
)

// Metrics of custody. Label values come from closed sets: outcomes, reasons,
// partitions.
type Metrics struct {
	outcomes     *prometheus.CounterVec
	deadLettered *prometheus.CounterVec
	waits        *prometheus.CounterVec
	rewritten    prometheus.Counter
	offers       prometheus.Counter
	moved        prometheus.Counter
	vanished     prometheus.Counter
	malformed    prometheus.Counter
	offsetsLost  prometheus.Counter

	waiting  *prometheus.GaugeVec
	inFlight *prometheus.GaugeVec
	lag      *prometheus.GaugeVec
	stalled  *prometheus.GaugeVec
	span     *prometheus.GaugeVec
}

// NewMetrics registers the metrics of custody.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		r.MustRegister(c)
		return c
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"partition"})
		r.MustRegister(g)
		return g
	}
	m := &Metrics{
		outcomes:     counters("pushgate_outcomes_total", "Messages by the outcome they ended in.", "outcome"),
		deadLettered: counters("pushgate_dead_lettered_total", "Messages written to the dead-letter topic, by reason.", "reason"),
		waits:        counters("pushgate_waits_total", "Times a message began to wait, by reason.", "reason"),
		rewritten:    counter("pushgate_waits_rewritten_total", "Waits written anew at the head of the retry topic, so that a takeover has less to read."),
		offers:       counter("pushgate_offered_again_total", "Messages written to the request topic once more."),
		moved:        counter("pushgate_rehomed_total", "Messages found outside their user's home partition and moved there: the producer partitions otherwise."),
		vanished:     counter("pushgate_vanished_total", "Messages whose record was gone from the log before they could be written elsewhere: retention is too short."),
		malformed:    counter("pushgate_malformed_records_total", "Records of platform topics that could not be read and were passed over."),
		offsetsLost:  counter("pushgate_custody_offsets_lost_total", "Times a committed offset was not in the log any more."),
		waiting:      gauges("pushgate_waiting", "Messages that wait, by partition in custody here."),
		inFlight:     gauges("pushgate_custody_in_flight", "Requests under judgement, by partition in custody here."),
		lag:          gauges("pushgate_custody_lag", "Requests not read by the custodian yet, by partition in custody here."),
		span:         gauges("pushgate_retry_span", "Records of the retry topic a takeover would have to read, by partition in custody here."),
		stalled:      gauges("pushgate_custody_stalled", "1 while a partition in custody cannot write what it has to."),
	}
	for _, o := range []push.Outcome{push.Delivered, push.Expired, push.DeadLettered} {
		m.outcomes.WithLabelValues(o.String())
	}
	for _, reason := range push.Deaths() {
		m.deadLettered.WithLabelValues(reason.String())
	}
	for _, reason := range push.Failures() {
		m.waits.WithLabelValues(reason.String())
	}
	return m
}

func (m *Metrics) wrote(a Action) {
	switch a.Kind {
	case MakeWait:
		if a.FromRetry {
			m.rewritten.Inc()
		} else {
			m.waits.WithLabelValues(a.Reason.String()).Inc()
		}
	case Offer:
		m.offers.Inc()
	case DeadLetter:
		m.deadLettered.WithLabelValues(a.Reason.String()).Inc()
	case MoveHome:
		m.moved.Inc()
	case EndWait, WriteOutcome:
	}
}

func (m *Metrics) settled(s Settled) {
	if s.Outcome != push.OutcomeNone {
		m.outcomes.WithLabelValues(s.Outcome.String()).Inc()
	}
}

func (m *Metrics) observe(partition int32, s Stats, lag int64, stalled bool) {
	label := strconv.Itoa(int(partition))
	m.waiting.WithLabelValues(label).Set(float64(s.Waiting))
	m.inFlight.WithLabelValues(label).Set(float64(s.InFlight))
	m.lag.WithLabelValues(label).Set(float64(lag))
	m.span.WithLabelValues(label).Set(float64(s.RetrySpan))
	value := 0.0
	if stalled {
		value = 1
	}
	m.stalled.WithLabelValues(label).Set(value)
}

// forget drops the gauges of a partition that is answered for elsewhere now.
func (m *Metrics) forget(partition int32) {
	label := strconv.Itoa(int(partition))
	for _, g := range []*prometheus.GaugeVec{m.waiting, m.inFlight, m.lag, m.span, m.stalled} {
		g.DeleteLabelValues(label)
	}
}
