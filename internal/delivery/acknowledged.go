package delivery

import (
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/push"
)

// MetricsConfig says how closely metrics look.
type MetricsConfig struct {
	Types []string `mapstructure:"types" doc:"Business types that have a label value of their own in pushgate_acknowledge_latency_seconds; all others are counted as other. Each one costs some 30 series a node."`
}

// DefaultMetricsConfig returns the defaults of MetricsConfig.
func DefaultMetricsConfig() MetricsConfig { return MetricsConfig{Types: []string{}} }

// maxTypes bounds the series of a node.
const maxTypes = 50

// otherType is the label value of the types that are not named.
const otherType = "other"

// Validate reports every value that cannot work.
func (c MetricsConfig) Validate() error {
	var errs []error
	if len(c.Types) > maxTypes {
		errs = append(errs, fmt.Errorf("metrics.types names %d types: at most %d, each one has series of its own on every node", len(c.Types), maxTypes))
	}
	for i, name := range c.Types {
		switch err := push.CheckType(name); {
		case err != nil:
			errs = append(errs, fmt.Errorf("metrics.types has %q: %w", name, err))
		case name == otherType:
			errs = append(errs, errors.New("metrics.types has other: that stands for the types that are not named; leave it out"))
		case slices.Contains(c.Types[:i], name):
			errs = append(errs, fmt.Errorf("metrics.types has %q twice", name))
		}
	}
	return errors.Join(errs...)
}

// acknowledged is how long messages took until they were acknowledged, or written
// where the client does not acknowledge, by business type: of those that were offered
// once, and of the others, whose users were mostly away.
type acknowledged struct {
	first, again map[string]prometheus.Observer // by type
	other        [2]prometheus.Observer         // first, again
}

// The values of the label offering.
const (
	offeringFirst = "first"
	offeringAgain = "again"
)

func newAcknowledged(r prometheus.Registerer, types []string) *acknowledged {
	histogram := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pushgate_acknowledge_latency_seconds",
		Help: "Time from a message being first written to Kafka until its client acknowledged it, or it was written where clients do not acknowledge, " +
			"by business type. Offering: first, or again for messages that were offered more than once, mostly because their user was away.",
		// Around what service levels promise: tens of milliseconds to some seconds for
		// users who are there; up to a day for those who are not.
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400},
	}, []string{"type", "offering"})
	r.MustRegister(histogram)
	a := &acknowledged{first: make(map[string]prometheus.Observer, len(types)), again: make(map[string]prometheus.Observer, len(types))}
	for _, name := range types {
		a.first[name] = histogram.WithLabelValues(name, offeringFirst)
		a.again[name] = histogram.WithLabelValues(name, offeringAgain)
	}
	a.other = [2]prometheus.Observer{histogram.WithLabelValues(otherType, offeringFirst), histogram.WithLabelValues(otherType, offeringAgain)}
	return a
}

// of returns where a message belongs.
func (a *acknowledged) of(m *push.Message) prometheus.Observer {
	byType, other := a.first, a.other[0]
	if m.Attempt > 1 {
		byType, other = a.again, a.other[1]
	}
	if len(byType) > 0 {
		if o := byType[m.Type]; o != nil {
			return o
		}
	}
	return other
}

// observe takes in a value, and the trace it is an example of, if there is one.
func observe(o prometheus.Observer, value float64, trace string) {
	if trace != "" {
		if e, ok := o.(prometheus.ExemplarObserver); ok {
			e.ObserveWithExemplar(value, prometheus.Labels{"trace_id": trace})
			return
		}
	}
	o.Observe(value)
}
