package tracing

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
)

const codeError = codes.Error

// tracesURL is where a collector takes spans.
func tracesURL(endpoint string) string { return strings.TrimSuffix(endpoint, "/") + "/v1/traces" }

// metrics of tracing.
type metrics struct{ recorded, exported, failed prometheus.Counter }

func newMetrics(r prometheus.Registerer) *metrics {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushgate_spans_total",
		Help: "Spans of traced messages, by result: recorded here, exported to the collector, failed to be. Recorded and neither of the others: dropped because the collector is too slow, or not sent yet.",
	}, []string{"result"})
	if r != nil {
		r.MustRegister(spans)
	}
	return &metrics{spans.WithLabelValues("recorded"), spans.WithLabelValues("exported"), spans.WithLabelValues("failed")}
}

// watchedExporter counts what is exported, and logs an outage of the collector once.
// It keeps errors to itself: nobody else would do anything about them.
type watchedExporter struct {
	sdk.SpanExporter
	metrics  *metrics
	endpoint string
	log      *zap.Logger

	mu      sync.Mutex
	failing time.Time // since when; zero while it is not
}

// ExportSpans implements sdk/trace.SpanExporter.
func (e *watchedExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.metrics.failed.Add(float64(len(spans)))
		if e.failing.IsZero() {
			e.failing = time.Now()
			e.log.Warn("the collector does not take spans; they are lost until it does, messages are not",
				zap.String("endpoint", e.endpoint), zap.Error(err))
		}
		return nil
	}
	e.metrics.exported.Add(float64(len(spans)))
	if !e.failing.IsZero() {
		e.log.Info("the collector takes spans again", zap.Duration("after", time.Since(e.failing)))
		e.failing = time.Time{}
	}
	return nil
}

func (e *watchedExporter) isFailing() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.failing.IsZero()
}
