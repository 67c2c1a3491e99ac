package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"pushgate/internal/push"
)

// origin is how a message came to be traced.
type origin struct {
	// producer is the span of the producer; not valid where there is none.
	producer trace.SpanContext
	id       trace.TraceID
}

// carrier reads a trace context off a message.
type carrier struct{ parent, state string }

func (c carrier) Get(key string) string {
	switch key {
	case push.HeaderTraceParent:
		return c.parent
	case push.HeaderTraceState:
		return c.state
	default:
		return ""
	}
}

func (carrier) Set(string, string) {}

func (carrier) Keys() []string { return []string{push.HeaderTraceParent, push.HeaderTraceState} }

// originOf says whether a message is traced.
func (t *Tracer) originOf(m *push.Message, state string) (origin, bool) {
	if m.TraceParent == "" {
		if t.config.Sample == 0 {
			return origin{}, false
		}
		id := traceIDOf(m)
		return origin{id: id}, t.byChance(id)
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), carrier{m.TraceParent, state})
	producer := trace.SpanContextFromContext(ctx)
	if !producer.IsValid() { // as if there were none
		id := traceIDOf(m)
		return origin{id: id}, t.byChance(id)
	}
	return origin{producer: producer, id: producer.TraceID()}, producer.IsSampled() || t.byChance(producer.TraceID())
}

// byChance decides by the random part of a trace id, as everybody else does: who
// traces a larger share traces all that is traced here.
func (t *Tracer) byChance(id trace.TraceID) bool {
	const half = 8
	return float64(binary.BigEndian.Uint64(id[half:])) < t.config.Sample*math.MaxUint64
}

// traceIDOf is the trace of a message that brings none: the same at every offering.
func traceIDOf(m *push.Message) trace.TraceID {
	h := sha256.New()
	_, _ = h.Write([]byte(m.User))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(m.ID))
	_, _ = h.Write(binary.BigEndian.AppendUint64([]byte{0}, uint64(m.FirstSeen.UnixMilli())))
	var id trace.TraceID
	copy(id[:], h.Sum(nil))
	return id
}

// custodySpan is the span of the custodian about the offering that stands there.
func custodySpan(id trace.TraceID, partition int32, offset int64) trace.SpanContext {
	b := append([]byte("custody"), id[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(partition)) //nolint:gosec // bits
	b = binary.BigEndian.AppendUint64(b, uint64(offset))    //nolint:gosec // bits
	sum := sha256.Sum256(b)
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: trace.SpanID(sum[:8]), TraceFlags: trace.FlagsSampled, Remote: true,
	})
}
