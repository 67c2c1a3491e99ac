package ws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits bound what one connection may cost. All must be greater than zero,
// unless said otherwise.
type Limits struct {
	// MaxBufferedBytes is how much may be accepted and not yet written.
	MaxBufferedBytes int
	// MaxFrameBytes and MaxMessageBytes bound what the peer sends, and a message also
	// once it is inflated.
	MaxFrameBytes, MaxMessageBytes int
	// WriteTimeout is how long the peer may take for the next 16 KiB.
	WriteTimeout time.Duration
	// PingInterval: a peer silent for so long is pinged, and given up if it is
	// silent until before twice as long. Zero: neither.
	PingInterval time.Duration
	// CloseTimeout bounds each step of the closing handshake.
	CloseTimeout time.Duration
	// SocketSendBytes is the size of the kernel's send buffer, which is what one
	// client that never reads can pin there. Zero: the kernel's default.
	SocketSendBytes int
	// FlushOnClose: what is queued is written before the peer's close frame is
	// answered, as an echo server must. Otherwise it completes with ErrClosed: a
	// client that says goodbye no longer looks at what comes.
	FlushOnClose bool
	// Deflate: clients that offer permessage-deflate may send compressed messages, and
	// take frames that Deflate makes.
	Deflate bool
	// Portable: every connection has a goroutine that reads, also where the system has
	// something cheaper.
	Portable bool
}

// DefaultLimits are the limits of the platform's configuration defaults.
func DefaultLimits() Limits {
	return Limits{
		MaxBufferedBytes: 256 << 10,
		MaxFrameBytes:    64 << 10,
		MaxMessageBytes:  64 << 10,
		WriteTimeout:     10 * time.Second,
		PingInterval:     25 * time.Second,
		CloseTimeout:     2 * time.Second,
		SocketSendBytes:  16 << 10,
	}
}

// Server is what the connections of one process share: limits, keepalive and
// counters.
type Server struct {
	limits Limits
	keeper keeper
	bytes  prometheus.Counter
	frames prometheus.Counter

	mu      sync.Mutex
	stopped bool
	loops   loops
	open    sync.WaitGroup
}

// ServerParams are what NewServer needs; Registerer may be nil.
type ServerParams struct {
	Limits     Limits
	Registerer prometheus.Registerer
}

// NewServer returns a server and registers its metrics. Run must be running for
// silent peers to be found.
func NewServer(p ServerParams) (*Server, error) {
	s := &Server{
		limits: p.Limits,
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushgate_socket_write_bytes_total",
			Help: "Bytes handed to the kernel on WebSocket connections, frame headers included.",
		}),
		frames: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushgate_socket_frames_total",
			Help: "Message frames written to WebSocket connections.",
		}),
	}
	if p.Registerer == nil {
		return s, nil
	}
	for _, c := range []prometheus.Collector{s.bytes, s.frames} {
		if err := p.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering socket metrics: %w", err)
		}
	}
	return s, nil
}

// Run watches over silent peers until ctx ends. It then drops the connections
// that are left, without a closing handshake (saying goodbye is the hub's part),
// and returns when the last one has ended.
func (s *Server) Run(ctx context.Context) error {
	s.keeper.run(ctx, s.limits.PingInterval)
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	for _, c := range s.keeper.all() {
		c.abort(errStopped)
	}
	s.open.Wait()
	s.loops.stop()
	return nil
}

var errStopped = errors.New("the server stopped")

// admit counts a connection in and gives it its wire; false when the server has
// stopped.
func (s *Server) admit(c *Conn, nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	if s.limits.Portable || !s.loops.adopt(c, nc) {
		c.wire = newStream(c, nc)
	}
	s.open.Add(1)
	s.keeper.add(c)
	return true
}

func (s *Server) dismiss(c *Conn) {
	s.keeper.remove(c)
	s.open.Done()
}
