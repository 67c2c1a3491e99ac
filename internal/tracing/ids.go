package tracing

import (
	"context"
	"crypto/rand"

	"go.opentelemetry.io/otel/trace"
)

// wanted are the ids that the next span shall have; those not valid are drawn.
type wanted struct {
	trace trace.TraceID
	span  trace.SpanID
}

type wantedKey struct{}

// want has the span that is started with the returned context have these ids.
func want(ctx context.Context, w wanted) context.Context {
	return context.WithValue(ctx, wantedKey{}, w)
}

// ids gives spans the ids they shall have.
type ids struct{}

// NewIDs implements sdk/trace.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	w, _ := ctx.Value(wantedKey{}).(wanted)
	for !w.trace.IsValid() {
		_, _ = rand.Read(w.trace[:]) // it does not fail
	}
	return w.trace, g.NewSpanID(ctx, w.trace)
}

// NewSpanID implements sdk/trace.IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	w, _ := ctx.Value(wantedKey{}).(wanted)
	for !w.span.IsValid() {
		_, _ = rand.Read(w.span[:]) // it does not fail
	}
	return w.span
}
