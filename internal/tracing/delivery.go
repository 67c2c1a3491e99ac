package tracing

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"pushgate/internal/push"
)

// Delivery is one delivery at this gateway. It implements push.Reporter: what is
// reported of the delivery makes its span. Safe for concurrent use.
type Delivery struct {
	tracer *Tracer
	from   origin
	parent trace.SpanContext
	began  time.Time

	mu      sync.Mutex
	written time.Time // zero: not yet, as far as is known
	failed  bool
}

// Delivery begins to follow a delivery, nil where the message is not traced. Its
// parent is the span of the custodian, of a message in no log that of whoever sent it.
func (t *Tracer) Delivery(m *push.Message, headers push.Headers) *Delivery {
	from, traced := t.originOf(m, stateOf(m, headers))
	if !traced {
		return nil
	}
	parent := from.producer
	if m.Offset >= 0 {
		parent = custodySpan(from.id, m.Partition, m.Offset)
	}
	return &Delivery{tracer: t, from: from, parent: parent, began: time.Now()}
}

// stateOf returns the trace state of a message that has a trace parent.
func stateOf(m *push.Message, headers push.Headers) string {
	if m.TraceParent == "" {
		return ""
	}
	return headers.Text(push.HeaderTraceState)
}

// Report implements push.Reporter.
func (d *Delivery) Report(m *push.Message, s push.Status, reason push.Reason) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if s == push.Held {
		d.written = now
		return
	}
	made := span{
		name: "pushgate.delivery", kind: trace.SpanKindProducer, parent: d.parent, ids: wanted{trace: d.from.id}, began: d.began,
		attrs: d.tracer.about(m),
	}
	outcome := push.Delivered.String()
	switch {
	case s == push.Failed:
		outcome, made.failed = "failed", reason.String()
		made.attrs = append(made.attrs, attribute.String("pushgate.reason", reason.String()))
	case d.written.IsZero():
		// It was acknowledged before the kernel's word came round, or is not to be.
		d.written = now
	}
	if d.failed {
		outcome = "delivered late" // its client acknowledged after all
	}
	made.attrs = append(made.attrs, attribute.String("pushgate.outcome", outcome))
	if !d.written.IsZero() {
		made.events = append(made.events, event{name: "written", at: d.written})
	}
	d.failed = s == push.Failed
	d.tracer.end(&made)
}
