package ws

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// polled is what a connection needs where its wire is a loop.
type polled struct {
	loop  *loop
	stall *stall // while the peer takes less than there is; the writer's

	// io is held while the descriptor is used by another than the reader, who alone
	// closes it: what is written can never reach whoever has that number next.
	io         sync.Mutex
	fd         int32 // -1: closed
	place      uint32
	life       uint32
	registered bool
	blocked    bool // the kernel takes no more; it is to say when it does
	secure     bool // its wire is a sealed
}

// stall bounds how long a peer may take for the next batch.
type stall struct {
	timer *time.Timer
	taken int // since the timer was set
}

// polledConn is the wire of a TCP connection in a loop.
type polledConn Conn

func (p *polledConn) start(early []byte) {
	c := (*Conn)(p)
	if len(early) > 0 {
		c.received(early)
	}
	d := &p.polled
	d.io.Lock()
	interest := uint32(whenReadable)
	if d.blocked {
		interest = whenEither
	}
	err := d.loop.add(c, interest)
	d.registered = err == nil
	d.io.Unlock()
	if err != nil {
		p.ended(err)
	}
}

// ended is the end of reading. From here on the descriptor may be another's.
func (p *polledConn) ended(err error) {
	c, d := (*Conn)(p), &p.polled
	c.abort(err)
	d.io.Lock()
	if d.registered {
		d.loop.remove(d)
	}
	_ = syscall.Close(int(d.fd))
	d.fd = -1
	p.unblock()
	d.io.Unlock()
	c.end(func() { c.readEnded = true })
}

// serve is the reader's: something has happened to the socket. What comes is read into
// buf, and where it is encrypted, into plain.
func (p *polledConn) serve(events uint32, buf, plain []byte) {
	d := &p.polled
	if events&(syscall.EPOLLOUT|ended) != 0 {
		d.io.Lock()
		if d.blocked {
			_ = d.loop.control(syscall.EPOLL_CTL_MOD, d, whenReadable)
			p.unblock()
		}
		d.io.Unlock()
	}
	if events&(whenReadable|ended) == 0 {
		return
	}
	n, err := syscall.Read(int(d.fd), buf)
	switch {
	case n > 0 && d.secure:
		p.wire.(*sealed).received(buf[:n], plain) //nolint:forcetypeassert // so says secure
	case n > 0:
		(*Conn)(p).received(buf[:n])
	case n == 0 && err == nil:
		p.ended(io.EOF)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
	default:
		p.ended(fmt.Errorf("reading from the socket: %w", err))
	}
}

// unblock has the writer look at it again. The caller holds io.
func (p *polledConn) unblock() {
	if p.polled.blocked {
		p.polled.blocked = false
		p.polled.loop.output((*Conn)(p))
	}
}

func (p *polledConn) output() { p.polled.loop.output((*Conn)(p)) }

// turns is how many batches a connection may write until others have their turn.
const turns = 4

// flush is the writer's: it writes what there is, or as much as the kernel takes.
func (p *polledConn) flush(joined []byte) {
	c := (*Conn)(p)
	if p.polled.secure {
		p.wire.(*sealed).flush(joined) //nolint:forcetypeassert // so says secure
		return
	}
	for range turns {
		b, more := c.next(joined[:0])
		if !more {
			p.flows()
			return
		}
		n, err := p.put(b.buf)
		switch {
		case errors.Is(err, syscall.EAGAIN), err == nil && n < len(b.buf):
			c.written(b, n)
			p.stalls(n)
			p.block()
			return
		case err != nil:
			c.writeFailed(b, n, err)
		default:
			c.written(b, n)
			p.progress(n)
		}
	}
	p.output()
}

// put hands bytes to the kernel. It does not block: the kernel takes what it has
// room for.
func (p *polledConn) put(buf []byte) (int, error) {
	d := &p.polled
	d.io.Lock()
	defer d.io.Unlock()
	if d.fd < 0 {
		return 0, net.ErrClosed
	}
	for {
		n, err := syscall.Write(int(d.fd), buf)
		if !errors.Is(err, syscall.EINTR) {
			return max(n, 0), err
		}
	}
}

// block waits until the kernel takes more.
func (p *polledConn) block() {
	d := &p.polled
	d.io.Lock()
	defer d.io.Unlock()
	d.blocked = true
	switch {
	case d.fd < 0:
		p.unblock()
	case d.registered:
		_ = d.loop.control(syscall.EPOLL_CTL_MOD, d, whenEither)
	}
}

// stalls notes that the kernel has taken n bytes and no more.
func (p *polledConn) stalls(n int) {
	c := (*Conn)(p)
	if p.polled.stall == nil {
		p.polled.stall = &stall{timer: time.AfterFunc(c.server.limits.WriteTimeout, func() { c.abort(ErrSlow) })}
		return
	}
	p.progress(n)
}

// progress gives a peer that has taken a batch time for the next.
func (p *polledConn) progress(n int) {
	s := p.polled.stall
	if s == nil {
		return
	}
	if s.taken += n; s.taken >= batchBytes && s.timer.Stop() {
		s.taken = 0
		s.timer.Reset((*Conn)(p).server.limits.WriteTimeout)
	}
}

// flows notes that nothing is left to write.
func (p *polledConn) flows() {
	if s := p.polled.stall; s != nil {
		s.timer.Stop()
		p.polled.stall = nil
	}
}

func (p *polledConn) shutdown() error {
	d := &p.polled
	d.io.Lock()
	defer d.io.Unlock()
	if d.fd < 0 {
		return net.ErrClosed
	}
	if err := syscall.Shutdown(int(d.fd), syscall.SHUT_WR); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}

// hangUp ends both directions. The reader is told by the kernel, and closes.
func (p *polledConn) hangUp() {
	d := &p.polled
	d.io.Lock()
	defer d.io.Unlock()
	if d.fd >= 0 {
		_ = syscall.Shutdown(int(d.fd), syscall.SHUT_RDWR)
	}
	p.unblock()
}

func (p *polledConn) remoteAddr() net.Addr {
	d := &p.polled
	d.io.Lock()
	defer d.io.Unlock()
	if d.fd < 0 {
		return nil
	}
	sa, err := syscall.Getpeername(int(d.fd))
	if err != nil {
		return nil
	}
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *syscall.SockaddrInet6:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	default:
		return nil
	}
}
