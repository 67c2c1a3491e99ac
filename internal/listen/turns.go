package listen

import (
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Turns bound how many TLS handshakes compute at a time, so that those who are connected
// already keep processors for what is sent to them. A handshake waits for the network most
// of its time, and has no turn then: a connection takes one when bytes have come, and gives
// it back when it writes, or wants more. So one that is slow holds up nobody. Safe for
// concurrent use.
type Turns struct{ free chan struct{} }

// NewTurns returns so many turns, at least 1.
func NewTurns(count int) *Turns { return &Turns{free: make(chan struct{}, max(count, 1))} }

// Listener returns l with turns for what it accepts, below TLS. The ConnState of the turns
// belongs into the http.Server that is served with it: without it, reading takes turns
// for the whole life of a connection.
func (t *Turns) Listener(l net.Listener) net.Listener { return takingTurns{l, t} }

// ConnState is for http.Server: a connection needs no turns any more when its first request
// is there.
func (t *Turns) ConnState(nc net.Conn, state http.ConnState) {
	if state == http.StateNew {
		return
	}
	if s, ok := within[*shaking](nc); ok {
		s.finish()
	}
}

type takingTurns struct {
	net.Listener

	turns *Turns
}

// Accept implements net.Listener.
func (l takingTurns) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // net/http looks at it
	}
	return &shaking{Conn: nc, turns: l.turns, closed: make(chan struct{})}, nil
}

// shaking is a connection in its handshake, and what is left around it afterwards.
type shaking struct {
	net.Conn

	turns    *Turns
	finished atomic.Bool

	mu       sync.Mutex
	has      bool // a turn
	deadline time.Time
	closed   chan struct{}
	gone     bool // closed is closed
}

// Read implements net.Conn. Where bytes have come it waits for a turn as well, no longer
// than the deadline of reading was when it began to.
func (s *shaking) Read(p []byte) (int, error) {
	if s.finished.Load() {
		return s.Conn.Read(p) //nolint:wrapcheck // it is the socket's
	}
	s.yield()
	n, err := s.Conn.Read(p)
	if n > 0 {
		if late := s.take(); late != nil {
			return 0, late
		}
	}
	return n, err //nolint:wrapcheck // it is the socket's
}

// Write implements net.Conn. A handshake writes what it has computed at once, and computes
// hardly anything until it reads again.
func (s *shaking) Write(p []byte) (int, error) {
	if !s.finished.Load() {
		s.yield()
	}
	return s.Conn.Write(p) //nolint:wrapcheck // it is the socket's
}

// take waits for a turn. The error is os.ErrDeadlineExceeded or net.ErrClosed.
func (s *shaking) take() error {
	select {
	case s.turns.free <- struct{}{}:
	default:
		if err := s.await(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.finished.Load() {
		<-s.turns.free
		return nil
	}
	s.has = true
	return nil
}

func (s *shaking) await() error {
	s.mu.Lock()
	deadline := s.deadline
	s.mu.Unlock()
	var late <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case s.turns.free <- struct{}{}:
		return nil
	case <-late:
		return os.ErrDeadlineExceeded
	case <-s.closed:
		return net.ErrClosed
	}
}

// yield gives the turn back, if there is one.
func (s *shaking) yield() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has {
		s.has = false
		<-s.turns.free
	}
}

func (s *shaking) finish() {
	s.finished.Store(true)
	s.yield()
}

// SetDeadline implements net.Conn.
func (s *shaking) SetDeadline(t time.Time) error {
	s.until(t)
	return s.Conn.SetDeadline(t) //nolint:wrapcheck // it is the socket's
}

// SetReadDeadline implements net.Conn.
func (s *shaking) SetReadDeadline(t time.Time) error {
	s.until(t)
	return s.Conn.SetReadDeadline(t) //nolint:wrapcheck // it is the socket's
}

func (s *shaking) until(t time.Time) {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
}

// NetConn is what the connection stands on.
func (s *shaking) NetConn() net.Conn { return s.Conn }

// CloseWrite ends the sending side.
func (s *shaking) CloseWrite() error { return closeWrite(s.Conn) }

// Close implements net.Conn. One that waits for a turn waits no longer.
func (s *shaking) Close() error {
	s.mu.Lock()
	if !s.gone {
		s.gone = true
		close(s.closed)
	}
	s.mu.Unlock()
	s.yield()
	return s.Conn.Close() //nolint:wrapcheck // it is the socket's
}
