package ws

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// Detachable prepares a listener of TCP connections for TLS on top of it: what it accepts
// can be taken over by a loop while TLS goes on above. Without it, each connection is a
// stream.
func Detachable(l net.Listener) net.Listener { return detachable{l} }

type detachable struct{ net.Listener }

func (d detachable) Accept() (net.Conn, error) {
	nc, err := d.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // net/http looks at it
	}
	return &below{Conn: nc}, nil
}

// below is what a TLS connection reads and writes: the socket, until a loop has taken that
// over and put records in its place.
type below struct{ net.Conn }

// NetConn is for who needs the socket, as that of tls.Conn.
func (b *below) NetConn() net.Conn { return b.Conn }

// records are what a loop brings to a TLS connection, and takes from it. There are no
// deadlines: neither blocks. All else is that of the socket, which is closed here.
type records struct {
	net.Conn

	sealed *sealed
}

func (r records) Read(p []byte) (int, error) { return r.sealed.arrived(p) }

func (r records) Write(p []byte) (int, error) {
	r.sealed.leaves(p)
	return len(p), nil
}

func (records) SetDeadline(time.Time) error      { return nil }
func (records) SetReadDeadline(time.Time) error  { return nil }
func (records) SetWriteDeadline(time.Time) error { return nil }

// moreError says that the rest of a record is not there yet. A TLS connection may be read
// again after an error that is temporary (package crypto/tls, Conn.readRecordOrCCS).
type moreError struct{}

func (moreError) Error() string   { return "the rest has not arrived yet" }
func (moreError) Timeout() bool   { return true }
func (moreError) Temporary() bool { return true }

// sealed is the wire of a TLS connection in a loop: a polledConn with a TLS connection
// between it and the bytes of the socket. Reading and writing of that never block: they
// work on what is there, and on a buffer that the writer empties.
type sealed struct {
	*polledConn

	tls *tls.Conn
	in  []byte // has arrived, and is not read yet; the reader's

	// The writer's: the batch whose records are in out.
	under batch
	busy  bool

	mu     sync.Mutex
	out    []byte             // records to be written
	buf    *[sealedBytes]byte // borrowed for them
	finish bool               // our side ends when they are
}

// sealedBytes has room for the records of a batch.
const sealedBytes = joinedBytes + 1<<10

var sealedBuffers = sync.Pool{New: func() any { return new([sealedBytes]byte) }}

func (s *sealed) arrived(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, moreError{}
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *sealed) leaves(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = append(s.out, p...)
}

// start first looks at what TLS has read already.
func (s *sealed) start(early []byte) {
	if len(early) > 0 {
		(*Conn)(s.polledConn).received(early)
	}
	plain, _ := largeBuffers.Get().(*[largeRead]byte)
	defer largeBuffers.Put(plain)
	if err := s.open(plain[:]); err != nil {
		s.ended(err)
		return
	}
	s.polledConn.start(nil)
}

// received is the reader's: it passes on what the bytes that have arrived say.
func (s *sealed) received(arrived, plain []byte) {
	s.in = arrived
	err := s.open(plain)
	s.in = nil
	if err != nil {
		s.ended(err)
	}
}

// open reads until TLS needs more.
func (s *sealed) open(plain []byte) error {
	c := (*Conn)(s.polledConn)
	for {
		n, err := s.tls.Read(plain)
		if n > 0 {
			c.received(plain[:n])
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, moreError{}):
			s.mu.Lock()
			answers := len(s.out) > 0 // to a peer that renews its keys
			s.mu.Unlock()
			if answers {
				c.mu.Lock()
				c.kick()
				c.mu.Unlock()
			}
			return nil
		case errors.Is(err, io.EOF):
			return io.EOF
		default:
			return fmt.Errorf("reading TLS: %w", err)
		}
	}
}

// flush is the writer's, as polledConn.flush.
func (s *sealed) flush(joined []byte) {
	c := (*Conn)(s.polledConn)
	for range turns {
		if !s.empty() {
			return
		}
		b, more := c.next(joined[:0])
		if !more {
			if s.empty() { // next may have ended our side
				s.flows()
			}
			return
		}
		s.borrow()
		s.under, s.busy = b, true
		if _, err := s.tls.Write(b.buf); err != nil {
			s.busy = false
			c.writeFailed(b, 0, fmt.Errorf("writing TLS: %w", err))
		}
	}
	s.output()
}

// empty writes the records there are; false where the kernel does not take all of them.
func (s *sealed) empty() bool {
	c := (*Conn)(s.polledConn)
	for {
		s.mu.Lock()
		out, finish := s.out, s.finish
		s.mu.Unlock()
		if len(out) == 0 {
			s.completed(finish)
			return true
		}
		n, err := s.put(out)
		s.taken(n)
		switch {
		case errors.Is(err, syscall.EAGAIN), err == nil && n < len(out):
			s.stalls(n)
			s.block()
			return false
		case err != nil:
			s.taken(len(out))
			if s.busy {
				s.busy = false
				c.writeFailed(s.under, 0, err)
			} else {
				c.abort(ErrClosed)
			}
			return true
		default:
			s.progress(n)
		}
	}
}

// borrow takes a buffer for the records of a batch.
func (s *sealed) borrow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buf == nil {
		s.buf, _ = sealedBuffers.Get().(*[sealedBytes]byte)
		s.out = append(s.buf[:0], s.out...)
	}
}

// taken drops what the kernel has, and gives the buffer back when that is all.
func (s *sealed) taken(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out = s.out[n:]; len(s.out) > 0 {
		return
	}
	s.out = nil
	if s.buf != nil {
		sealedBuffers.Put(s.buf)
		s.buf = nil
	}
}

// completed notes that every record is with the kernel.
func (s *sealed) completed(finish bool) {
	c := (*Conn)(s.polledConn)
	if s.busy {
		s.busy = false
		c.written(s.under, len(s.under.buf))
	}
	if !finish {
		return
	}
	s.mu.Lock()
	s.finish = false
	s.mu.Unlock()
	if s.polledConn.shutdown() != nil {
		c.abort(ErrClosed)
	}
}

func (s *sealed) shutdown() error {
	err := s.tls.CloseWrite()
	s.mu.Lock()
	s.finish = true
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("ending TLS: %w", err)
	}
	return nil
}
