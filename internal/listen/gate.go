package listen

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Gate bounds the connections that have been accepted and are not established: their TLS
// handshake, their first request, or the answer to it is still to come. Each of them costs
// a goroutine and buffers, some 30 KB with TLS, before it has shown who it is; and they all
// wait for the same processors, so that a longer queue helps nobody in it. One that comes
// while there are as many as there may be is closed at once, with a reset: an answer would
// need TLS, or would be lost with the request that was not read. Safe for concurrent use.
type Gate struct {
	limit   int64
	pending atomic.Int64
	dropped prometheus.Counter
}

// NewGate returns a gate for that many connections at a time, at least 1.
func NewGate(limit int) *Gate {
	return &Gate{
		limit: int64(max(limit, 1)),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushgate_handshakes_dropped_total",
			Help: "Connections closed as soon as they were accepted, as there were pushgate_handshakes_limit others in their handshake.",
		}),
	}
}

// Collectors are the metrics of the gate.
func (g *Gate) Collectors() []prometheus.Collector {
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pushgate_handshakes_limit",
		Help: "Connections that may be in their handshake at a time: gateway.max_pending_handshakes, or fewer where the process may not open as many files.",
	})
	limit.Set(float64(g.limit))
	pending := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pushgate_handshakes_pending",
		Help: "Connections in their handshake: accepted, and neither upgraded nor answered yet.",
	}, func() float64 { return float64(g.pending.Load()) })
	return []prometheus.Collector{pending, limit, g.dropped}
}

// Listener returns l behind the gate. What it accepts leaves the gate when it is closed;
// for all else, the gate's ConnState and ConnContext belong into the http.Server that is
// served with it. TLS stands on top of it.
func (g *Gate) Listener(l net.Listener) net.Listener { return gated{l, g} }

// ConnState is for http.Server: a connection leaves the gate when it has been taken over,
// or its first request has been answered.
func (g *Gate) ConnState(nc net.Conn, state http.ConnState) {
	switch state {
	case http.StateIdle, http.StateHijacked, http.StateClosed:
		if p, ok := within[*pending](nc); ok {
			p.leave()
		}
	case http.StateNew, http.StateActive:
	}
}

type pendingKey struct{}

// ConnContext is for http.Server: Leave finds the connection there.
func (g *Gate) ConnContext(ctx context.Context, nc net.Conn) context.Context {
	if p, ok := within[*pending](nc); ok {
		return context.WithValue(ctx, pendingKey{}, p)
	}
	return ctx
}

// Leave takes the connection of a request out of the gate it came through, if any: for a
// request that opens nothing, and may take long to be answered. Ctx is the request's.
func Leave(ctx context.Context) {
	if p, ok := ctx.Value(pendingKey{}).(*pending); ok {
		p.leave()
	}
}

type gated struct {
	net.Listener

	gate *Gate
}

// Accept implements net.Listener.
func (l gated) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http looks at it
		}
		if l.gate.pending.Add(1) <= l.gate.limit {
			return &pending{Conn: nc, gate: l.gate}, nil
		}
		l.gate.pending.Add(-1)
		l.gate.dropped.Inc()
		reset(nc)
	}
}

// reset closes a connection so that nothing is left of it: a socket that is closed in
// order stays with the kernel for a minute.
func reset(nc net.Conn) {
	if tcp, ok := nc.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = nc.Close()
}

// pending is a connection in the gate, and what is left around it when it has passed.
type pending struct {
	net.Conn

	gate *Gate
	left atomic.Bool
}

func (p *pending) leave() {
	if p.left.CompareAndSwap(false, true) {
		p.gate.pending.Add(-1)
	}
}

// NetConn is what the connection stands on.
func (p *pending) NetConn() net.Conn { return p.Conn }

// CloseWrite ends the sending side.
func (p *pending) CloseWrite() error { return closeWrite(p.Conn) }

// Close implements net.Conn.
func (p *pending) Close() error {
	p.leave()
	return p.Conn.Close() //nolint:wrapcheck // it is the socket's
}
