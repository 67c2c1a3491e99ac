package tracing

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"pushgate/internal/push"
)

// Custody is one offering in custody here. It is used by one goroutine at a time.
type Custody struct {
	tracer *Tracer
	span   span
}

// Custody begins to follow an offering that was accepted, nil where it is not traced.
// m is not kept.
func (t *Tracer) Custody(m *push.Message, headers push.Headers) *Custody {
	from, traced := t.originOf(m, stateOf(m, headers))
	if !traced {
		return nil
	}
	here := custodySpan(from.id, m.Partition, m.Offset)
	c := &Custody{tracer: t, span: span{
		name: "pushgate.custody", kind: trace.SpanKindConsumer, parent: from.producer,
		ids: wanted{here.TraceID(), here.SpanID()}, began: time.Now(), attrs: t.about(m),
	}}
	if m.EndsWait >= 0 {
		before := custodySpan(from.id, m.Partition, m.EndsWait)
		c.span.links = []trace.Link{{SpanContext: before}}
		if !from.producer.IsValid() {
			c.span.parent = before
		}
	}
	return c
}

// Note has happened to the offering; node and reason where there are any.
func (c *Custody) Note(what, node string, reason push.Reason) {
	e := event{name: what, at: time.Now()}
	if node != "" {
		e.attrs = append(e.attrs, attribute.String("pushgate.node", node))
	}
	if reason != push.ReasonNone {
		e.attrs = append(e.attrs, attribute.String("pushgate.reason", reason.String()))
	}
	c.span.events = append(c.span.events, e)
}

// End makes the span. What became of the offering is an outcome, or in words how the
// message goes on.
func (c *Custody) End(outcome, node string, reason push.Reason) {
	c.span.attrs = append(c.span.attrs, attribute.String("pushgate.outcome", outcome))
	if node != "" {
		c.span.attrs = append(c.span.attrs, attribute.String("pushgate.delivered_by", node))
	}
	if reason != push.ReasonNone {
		c.span.attrs = append(c.span.attrs, attribute.String("pushgate.reason", reason.String()))
	}
	if outcome == push.DeadLettered.String() || outcome == push.Expired.String() {
		c.span.failed = reason.String()
	}
	c.tracer.end(&c.span)
}

// Died makes the span of a message that died after it had waited. m is as its record
// says; Partition and Offset name the offering that came to its wait.
func (t *Tracer) Died(m *push.Message, headers push.Headers, reason push.Reason) {
	from, traced := t.originOf(m, stateOf(m, headers))
	if !traced {
		return
	}
	t.end(&span{
		name: "pushgate.dead_letter", kind: trace.SpanKindInternal, parent: custodySpan(from.id, m.Partition, m.Offset),
		ids: wanted{trace: from.id}, began: time.Now(), failed: reason.String(),
		attrs: append(t.about(m), attribute.String("pushgate.reason", reason.String())),
	})
}
