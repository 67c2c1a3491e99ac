package custody

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector tells ages when it is asked: they grow while nothing happens.
type collector struct {
	custodian *Custodian
	lag       *prometheus.Desc
	oldest    *prometheus.Desc
}

// Collector returns metrics about the age of what the custodian has, to be registered
// once.
func (c *Custodian) Collector() prometheus.Collector {
	labels := []string{"partition"}
	return &collector{
		custodian: c,
		lag: prometheus.NewDesc("pushgate_custody_lag_seconds",
			"Age at most of the oldest request not read by the custodian yet, by partition in custody here; 0 when there is none.", labels, nil),
		oldest: prometheus.NewDesc("pushgate_oldest_wait_seconds",
			"How long the oldest wait has lasted, by partition in custody here; 0 when nothing waits.", labels, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	out <- c.lag
	out <- c.oldest
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	for number, h := range c.custodian.Holdings() {
		partition := strconv.Itoa(int(number))
		waited := 0.0
		if !h.OldestWait.IsZero() {
			waited = max(time.Since(h.OldestWait), 0).Seconds()
		}
		out <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, h.LagTime.Seconds(), partition)
		out <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, waited, partition)
	}
}
