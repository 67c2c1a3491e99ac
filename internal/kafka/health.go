package kafka

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"go.uber.org/zap"
)

// health follows whether the cluster answers. An outage is logged once when it
// begins and once when it ends, however many requests fail meanwhile.
type health struct {
	log     *zap.Logger
	metrics *metrics

	mu     sync.Mutex
	since  time.Time // of the outage; zero while the cluster answers
	better time.Time // of the outage that may be over; zero while it is not
	err    error
	logged bool
	known  bool // the cluster has answered at least once
}

// relapse is how long requests must succeed for an outage to be over: a broker
// that is starting answers some and refuses others.
const relapse = time.Second

// patience is how long requests may fail before it is called an outage: a
// leader that moves makes some fail for a moment.
const patience = 2 * time.Second

func newHealth(log *zap.Logger, m *metrics) *health {
	return &health{log: log, metrics: m, since: time.Now(), err: errors.New("not contacted yet")}
}

// note takes in how a request went.
func (h *health) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || answered(err) {
		h.succeeded()
		return
	}
	if h.since.IsZero() {
		h.since = time.Now()
	}
	h.err, h.better = err, time.Time{}
	if !h.logged && (!h.known || time.Since(h.since) >= patience) {
		h.logged = true
		h.log.Warn("kafka unreachable; sockets stay open, nothing is read or committed until it is back", zap.Error(err))
	}
	if h.logged {
		h.metrics.up.Set(0)
	}
}

// succeeded takes in that a request was answered. The caller holds mu.
func (h *health) succeeded() {
	h.known = true
	h.metrics.up.Set(1)
	if h.better.IsZero() {
		h.better = time.Now()
	}
	if h.logged {
		if time.Since(h.better) < relapse {
			return
		}
		h.log.Info("kafka reachable again", zap.Duration("outage", h.better.Sub(h.since)))
	}
	h.since, h.better, h.err, h.logged = time.Time{}, time.Time{}, nil, false
}

// answered says that an error came from a broker: it is there.
func answered(err error) bool {
	var code kafkago.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case kafkago.LeaderNotAvailable, kafkago.BrokerNotAvailable, kafkago.NetworkException, kafkago.RequestTimedOut,
		kafkago.NotEnoughReplicas, kafkago.NotEnoughReplicasAfterAppend, kafkago.GroupCoordinatorNotAvailable,
		kafkago.SASLAuthenticationFailed:
		return false
	default:
		return true
	}
}

func (h *health) ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() || !h.better.IsZero() || (h.known && time.Since(h.since) < patience) {
		return nil
	}
	return fmt.Errorf("unreachable for %s: %w", time.Since(h.since).Round(100*time.Millisecond), h.err)
}

// metrics of the adapter. The api label is the closed set of requests made here.
type metrics struct {
	errors  *prometheus.CounterVec
	fetched prometheus.Counter
	up      prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushgate_kafka_errors_total", Help: "Requests to Kafka that failed, by API; most are tried again.",
		}, []string{"api"}),
		fetched: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushgate_kafka_fetched_bytes_total", Help: "Bytes of record batches read from Kafka.",
		}),
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pushgate_kafka_up", Help: "1 while the Kafka cluster answers.",
		}),
	}
	if r != nil {
		r.MustRegister(m.errors, m.fetched, m.up)
	}
	return m
}
