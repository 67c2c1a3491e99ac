package session

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/ws"
)

// metrics holds a child per label, looked up once: the sets are closed.
type metrics struct {
	open   [subprotocols]prometheus.Gauge
	closes map[ws.Code]prometheus.Counter
	other  prometheus.Counter
	saved  prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	open := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pushgate_sessions",
		Help: "Open sessions, by subprotocol.",
	}, []string{"subprotocol"})
	closes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushgate_session_closes_total",
		Help: "Sessions that ended, by close code; 1006 ended without a close frame, other is a code clients made up.",
	}, []string{"code"})
	saved := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "pushgate_compression_saved_bytes_total",
		Help: "Bytes that message frames were shorter for being compressed.",
	})
	if r != nil {
		for _, c := range []prometheus.Collector{open, closes, saved} {
			if err := r.Register(c); err != nil {
				return nil, fmt.Errorf("registering session metrics: %w", err)
			}
		}
	}
	m := &metrics{closes: map[ws.Code]prometheus.Counter{}, other: closes.WithLabelValues(otherCode), saved: saved}
	for s := range subprotocols {
		m.open[s] = open.WithLabelValues(s.String())
	}
	for code, label := range codeLabels() {
		m.closes[code] = closes.WithLabelValues(label)
	}
	return m, nil
}

func (m *metrics) closed(s Subprotocol, code ws.Code) {
	m.open[s].Dec()
	c, ok := m.closes[code]
	if !ok {
		c = m.other
	}
	c.Inc()
}
