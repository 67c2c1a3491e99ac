package tracing

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"pushgate/internal/push"
)

// Params of a Tracer.
type Params struct {
	Config Config
	// Node and Version are who makes the spans.
	Node, Version string
	// Topic is where requests stand.
	Topic string
	// Exporter takes the spans instead of the collector of the configuration; for tests.
	Exporter   sdk.SpanExporter
	Logger     *zap.Logger
	Registerer prometheus.Registerer
}

// Tracer makes spans. Nothing but Close blocks: what the collector does not take in
// time is dropped and counted. Safe for concurrent use.
type Tracer struct {
	config   Config
	node     string
	topic    string
	provider *sdk.TracerProvider
	spans    trace.Tracer
	metrics  *metrics
	exporter *watchedExporter
	// transport of the exporter.
	transport *http.Transport
}

// New makes a tracer; Close sends what is left. It connects to nothing yet.
func New(ctx context.Context, p Params) (*Tracer, error) {
	if err := p.Config.Validate(); err != nil {
		return nil, fmt.Errorf("configuring tracing: %w", err)
	}
	exporter := p.Exporter
	// Ours, so that its connections can be given back.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: exportTimeout}
	if exporter == nil {
		var err error
		exporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(tracesURL(p.Config.Endpoint)),
			otlptracehttp.WithTimeout(exportTimeout), otlptracehttp.WithHTTPClient(&http.Client{Transport: transport}),
			otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
			// What is new is worth more than what is old: a collector that is away for
			// longer misses some.
			otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: time.Second, MaxElapsedTime: exportTimeout}))
		if err != nil {
			return nil, fmt.Errorf("making the exporter of spans: %w", err)
		}
	}
	m := newMetrics(p.Registerer)
	watched := &watchedExporter{SpanExporter: exporter, metrics: m, endpoint: p.Config.Endpoint, log: p.Logger.Named("tracing")}
	about := resource.NewSchemaless(
		attribute.String("service.name", p.Config.Name), attribute.String("service.instance.id", p.Node),
		attribute.String("service.version", p.Version))
	provider := sdk.NewTracerProvider(
		sdk.WithResource(about), sdk.WithIDGenerator(ids{}),
		sdk.WithSampler(sdk.AlwaysSample()), // what is not to be traced is not begun
		sdk.WithBatcher(watched, sdk.WithExportTimeout(exportTimeout), sdk.WithBatchTimeout(batchTimeout), sdk.WithMaxQueueSize(maxQueued)))
	return &Tracer{
		config: p.Config, node: p.Node, topic: p.Topic, provider: provider, metrics: m, exporter: watched, transport: transport,
		spans: provider.Tracer("pushgate", trace.WithInstrumentationVersion(p.Version)),
	}, nil
}

const (
	exportTimeout = 5 * time.Second
	batchTimeout  = time.Second
	// maxQueued spans wait for the collector; what comes then is dropped.
	maxQueued = 8192
	// closing bounds the last flush: at once, where the collector was away before.
	closing    = 3 * time.Second
	closingOff = 200 * time.Millisecond
)

// Close sends what is left. It blocks until that is done, ctx has ended, or some
// seconds have passed.
func (t *Tracer) Close(ctx context.Context) error {
	bound := closing
	if t.exporter.isFailing() {
		bound = closingOff
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	defer t.transport.CloseIdleConnections()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last spans: %w", err)
	}
	return nil
}

// Flush sends what was made so far. It blocks until that is done or ctx ends.
func (t *Tracer) Flush(ctx context.Context) error {
	if err := t.provider.ForceFlush(ctx); err != nil {
		return fmt.Errorf("sending spans: %w", err)
	}
	return nil
}

// span is one to be made, of what has happened already.
type span struct {
	name   string
	kind   trace.SpanKind
	parent trace.SpanContext // not valid: none
	ids    wanted
	began  time.Time
	events []event
	links  []trace.Link
	attrs  []attribute.KeyValue
	failed string // why, empty if it has not
}

type event struct {
	name  string
	at    time.Time
	attrs []attribute.KeyValue
}

// end makes the span, which ends now.
func (t *Tracer) end(s *span) {
	t.metrics.recorded.Inc()
	ctx := want(trace.ContextWithRemoteSpanContext(context.Background(), s.parent), s.ids)
	_, made := t.spans.Start(ctx, s.name, trace.WithSpanKind(s.kind), trace.WithTimestamp(s.began),
		trace.WithLinks(s.links...), trace.WithAttributes(s.attrs...))
	for _, e := range s.events {
		made.AddEvent(e.name, trace.WithTimestamp(e.at), trace.WithAttributes(e.attrs...))
	}
	if s.failed != "" {
		made.SetStatus(codeError, s.failed)
	}
	made.End()
}

// about are the attributes of an offering.
func (t *Tracer) about(m *push.Message) []attribute.KeyValue {
	const most = 12
	attrs := append(make([]attribute.KeyValue, 0, most),
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.message.id", m.ID),
		attribute.String("pushgate.type", m.Type),
		attribute.Int("pushgate.attempt", m.Attempt),
		attribute.String("pushgate.node", t.node))
	if m.Offset >= 0 {
		attrs = append(attrs,
			attribute.String("messaging.destination.name", t.topic),
			attribute.Int("messaging.destination.partition.id", int(m.Partition)),
			attribute.Int64("messaging.kafka.offset", m.Offset))
	}
	if t.config.Users {
		attrs = append(attrs, attribute.String("pushgate.user", m.User))
	}
	return attrs
}

// TraceOf returns the id of the trace a message belongs to, empty where it is not
// traced.
func (t *Tracer) TraceOf(m *push.Message) string {
	from, traced := t.originOf(m, "")
	if !traced {
		return ""
	}
	return from.id.String()
}
