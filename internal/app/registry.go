package app

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// settings are those that operators compare between nodes.
type settings struct{ strict, targeted bool }

// newRegistry returns a registry with what every process has to tell.
func newRegistry(version string, s settings) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pushgate_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(build,
		setting("pushgate_order_strict", "1 where delivery.order is strict. It has to be the same on all nodes.", s.strict),
		setting("pushgate_routing_targeted", "1 where routing.mode is targeted. While it is not on all nodes, gateways read all requests.", s.targeted),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func setting(name, help string, on bool) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	if on {
		g.Set(1)
	}
	return g
}
