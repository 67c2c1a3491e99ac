package delivery

import "pushgate/internal/push"

// Tracer follows deliveries of messages that are traced. It does not block, and is
// safe for concurrent use.
type Tracer interface {
	// Delivery begins to follow what is about to be handed to sessions, nil where it
	// is not traced. The headers are those of its record. A message that stands in no
	// log has a negative offset. m may be kept until its end; headers may not.
	Delivery(m *push.Message, headers push.Headers) Trace
	// TraceOf returns the id of the trace a message belongs to, empty where it is not
	// traced.
	TraceOf(m *push.Message) string
}

// Trace is one delivery that is followed. It is told what its reporter is, before it.
// What nobody reports of was not handed to anybody.
type Trace interface {
	push.Reporter
}

// notInLog is the offset of a message that was pushed to this node and stands in no
// log.
const notInLog int64 = -1

// follow returns who is to be told of a delivery: r, and first its trace if it has one.
func (g *Gateway) follow(m *push.Message, headers push.Headers, r push.Reporter) push.Reporter {
	if g.p.Tracer == nil {
		return r
	}
	trace := g.p.Tracer.Delivery(m, headers)
	if trace == nil {
		return r
	}
	return &followed{trace: trace, next: r}
}

// followed tells two. It implements push.Reporter.
type followed struct {
	trace Trace
	next  push.Reporter
}

// Report implements push.Reporter.
func (f *followed) Report(m *push.Message, s push.Status, reason push.Reason) {
	f.trace.Report(m, s, reason)
	f.next.Report(m, s, reason)
}
