package app

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newRegistry returns a registry with what every process has to tell.
func newRegistry(version string, strict bool) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pushgate_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	order := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pushgate_order_strict", Help: "1 where delivery.order is strict. It has to be the same on all nodes.",
	})
	if strict {
		order.Set(1)
	}
	r.MustRegister(build, order, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
