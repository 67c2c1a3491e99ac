package delivery

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// collector tells ages when it is asked: they grow while nothing happens.
type collector struct {
	gateway *Gateway
	lag     *prometheus.Desc
}

// Collector returns metrics about the age of what the gateway has not read, to be
// registered once.
func (g *Gateway) Collector() prometheus.Collector {
	return &collector{gateway: g, lag: prometheus.NewDesc("pushgate_delivery_lag_seconds",
		"Age at most of the oldest request this gateway has not read yet; 0 when there is none, or the gateway is called.", []string{"partition"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) { out <- c.lag }

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	behind := make(map[int32]float64)
	for _, s := range c.gateway.Standings() {
		behind[s.Partition] = s.LagTime.Seconds()
	}
	for _, w := range c.gateway.all() {
		out <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, behind[w.number], strconv.Itoa(int(w.number)))
	}
}
