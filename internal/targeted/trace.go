package targeted

import (
	"context"
	"net/http"

	"pushgate/internal/push"
)

// Tracer follows calls that bring traced messages. It does not block, and is safe for
// concurrent use.
type Tracer interface {
	// Call begins to follow a call, nil where nothing of what it brings is traced. The
	// carriage is not kept.
	Call(node string, c *push.Carriage) Trace
}

// Trace is one call that is followed.
type Trace interface {
	// Propagate writes its context into the headers of the request.
	Propagate(h http.Header)
	// End is called once, and last; err is nil unless the call has failed.
	End(err error)
}

// followed makes a call, and tells its trace if it has one.
func (c *Caller) followed(ctx context.Context, node, address string, carriage *push.Carriage) (*push.Receipt, error) {
	trace := c.p.Tracer.Call(node, carriage)
	answer, err := c.post(ctx, node, address, carriage, trace)
	if trace != nil {
		trace.End(err)
	}
	return answer, err
}
