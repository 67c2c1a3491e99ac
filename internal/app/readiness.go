package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/admin"
)

// registerState registers what is told when it is asked, not when it changes.
func (n *Node) registerState(r prometheus.Registerer) {
	r.MustRegister(newReadiness(n.checks()))
	if n.custodian != nil {
		r.MustRegister(n.custodian.Collector())
	}
	if n.delivery != nil {
		r.MustRegister(n.delivery.Collector())
	}
}

// readiness tells the checks of /readyz as metrics, as they are when it is asked.
type readiness struct {
	checks []admin.Check
	desc   *prometheus.Desc
}

func newReadiness(checks []admin.Check) *readiness {
	return &readiness{checks: checks, desc: prometheus.NewDesc("pushgate_ready",
		"1 while the check of /readyz passes.", []string{"check"}, nil)}
}

// Describe implements prometheus.Collector.
func (r *readiness) Describe(out chan<- *prometheus.Desc) { out <- r.desc }

// Collect implements prometheus.Collector.
func (r *readiness) Collect(out chan<- prometheus.Metric) {
	for _, c := range r.checks {
		value := 0.0
		if c.Ready() == nil {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(r.desc, prometheus.GaugeValue, value, c.Name)
	}
}
