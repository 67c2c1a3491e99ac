package ws

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// stream is the wire of any net.Conn: TLS, and TCP where there is no loop. Reading
// has a goroutine of its own, with a small buffer; writing has one only while there
// is something to write.
type stream struct {
	c   *Conn
	nc  net.Conn // what is read and written: TCP or TLS
	raw net.Conn // the socket below it
}

func newStream(c *Conn, nc net.Conn) *stream {
	s := &stream{c: c, nc: nc, raw: nc}
	if t, ok := nc.(*tls.Conn); ok {
		s.raw = t.NetConn()
	}
	if tcp := tcpOf(s.raw); tcp != nil {
		if s.nc == s.raw {
			s.nc = tcp
		}
		s.raw = tcp
	}
	return s
}

func (s *stream) remoteAddr() net.Addr { return s.raw.RemoteAddr() }

// start reads in a fresh goroutine: the stack of the one that did the upgrade has
// grown by then and would stay so for the life of the connection.
func (s *stream) start(early []byte) { go s.read(early) }

const (
	// smallRead is the buffer every connection has: clients send acknowledgements
	// and pongs.
	smallRead = 512
	// largeRead is borrowed by a peer that fills the small one.
	largeRead = 16 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeRead]byte) }}

func (s *stream) read(early []byte) {
	if len(early) > 0 {
		s.c.received(early)
	}
	small := make([]byte, smallRead)
	buf := small
	var large *[largeRead]byte
	var err error
	for err == nil {
		var n int
		n, err = s.nc.Read(buf)
		if n > 0 {
			s.c.received(buf[:n])
		}
		switch {
		case n == len(buf) && large == nil:
			large, _ = largeBuffers.Get().(*[largeRead]byte)
			buf = large[:]
		case n < len(buf) && large != nil:
			// Nothing more is there: the next read may wait for hours, and is not to
			// hold the large buffer meanwhile.
			largeBuffers.Put(large)
			large, buf = nil, small
		}
	}
	if large != nil {
		largeBuffers.Put(large)
	}
	s.c.readFailed(err)
}

func (s *stream) output() { go s.write() }

// write writes what has come together, until nothing is left: while one system call
// is under way the next batch collects, so that a busy connection needs fewer calls
// and an idle one never waits.
func (s *stream) write() {
	joined, _ := joinedBuffers.Get().(*[joinedBytes]byte)
	defer joinedBuffers.Put(joined)
	for {
		b, more := s.c.next(joined[:0])
		if !more {
			return
		}
		if n, err := s.put(b.buf); err != nil {
			s.c.writeFailed(b, n, err)
		} else {
			s.c.written(b, n)
		}
	}
}

// put hands a batch to the kernel, for which the peer has the write timeout.
func (s *stream) put(buf []byte) (int, error) {
	if err := s.nc.SetWriteDeadline(time.Now().Add(s.c.server.limits.WriteTimeout)); err != nil {
		return 0, fmt.Errorf("setting a write deadline: %w", err)
	}
	n, err := s.nc.Write(buf)
	if err != nil {
		return n, fmt.Errorf("writing to the socket: %w", err)
	}
	if s.nc != s.raw {
		// TLS writes while it reads, too: it answers a peer that renews its keys. The
		// deadline of a write long done would fail that answer, and with it all later
		// writes, as if the peer were slow. A socket that is gone shows in the next read.
		_ = s.nc.SetWriteDeadline(time.Time{})
	}
	return n, nil
}

// shutdown ends our side of the stream. The peer reads all we sent, then its
// end, and closes; our reader sees that and closes the socket.
func (s *stream) shutdown() error {
	if err := s.nc.SetWriteDeadline(time.Now().Add(s.c.server.limits.CloseTimeout)); err != nil {
		return fmt.Errorf("setting a write deadline: %w", err)
	}
	if err := shut(s.nc); err != nil || s.nc == s.raw {
		return err
	}
	return shut(s.raw)
}

func shut(nc net.Conn) error {
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok {
		return ErrClosed // it can only be ended as a whole
	}
	if err := half.CloseWrite(); err != nil {
		return fmt.Errorf("ending a stream: %w", err)
	}
	return nil
}

// hangUp closes the socket, not the TLS layer, whose Close may wait for the peer.
// There is nothing to do about an error: the descriptor is gone either way.
func (s *stream) hangUp() { _ = s.raw.Close() }
