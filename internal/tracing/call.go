package tracing

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"pushgate/internal/push"
)

// Call is one call of a gateway that brings it traced messages. It is used by one
// goroutine at a time.
type Call struct {
	tracer *Tracer
	span   span
}

// Call begins to follow a call, nil where nothing of what it brings is traced. Of one
// traced message, the call is a part; of several, it is a trace of its own with links to
// theirs.
func (t *Tracer) Call(node string, c *push.Carriage) *Call {
	var links []trace.Link
	for i := range c.Records {
		rec := &c.Records[i]
		if t.config.Sample == 0 {
			if _, ok := rec.Headers.Get(push.HeaderTraceParent); !ok {
				continue
			}
		}
		m, _ := push.ParseRequest(rec, t.topic, push.Limits{}) // what is not valid is not carried
		if from, traced := t.originOf(&m, ""); traced {
			links = append(links, trace.Link{SpanContext: custodySpan(from.id, c.Partition, rec.Offset)})
		}
	}
	if len(links) == 0 {
		return nil
	}
	s := span{name: "pushgate.call", kind: trace.SpanKindClient, began: time.Now(), attrs: []attribute.KeyValue{
		attribute.String("pushgate.node", t.node), attribute.String("server.address", node),
		attribute.Int("messaging.destination.partition.id", int(c.Partition)),
		attribute.Int("messaging.batch.message_count", len(c.Records)),
	}}
	if len(links) == 1 {
		s.parent, s.ids.trace = links[0].SpanContext, links[0].SpanContext.TraceID()
	} else {
		s.links = links
		_, _ = rand.Read(s.ids.trace[:]) // it does not fail
	}
	_, _ = rand.Read(s.ids.span[:])
	return &Call{tracer: t, span: s}
}

// Propagate writes the trace context of the call into the headers of its request, for
// what stands between the nodes: the messages bring their own.
func (c *Call) Propagate(h http.Header) {
	here := trace.NewSpanContext(trace.SpanContextConfig{TraceID: c.span.ids.trace, SpanID: c.span.ids.span, TraceFlags: trace.FlagsSampled})
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), here), propagation.HeaderCarrier(h))
}

// End makes the span; err says why the call has failed, nil if it has not.
func (c *Call) End(err error) {
	if err != nil {
		c.span.failed = err.Error()
	}
	c.tracer.end(&c.span)
}
