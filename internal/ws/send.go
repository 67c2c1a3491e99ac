package ws

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Write is one frame on its way to a peer. It belongs to the connection from an
// accepted Send until its completion.
type Write struct {
	// Frame holds whole frames, as AppendFrame and Seal make them. It may be
	// shared between connections.
	Frame []byte
	// Done is told what became of it.
	Done Completer

	next *Write
}

// Completer is told once what became of a write: nil when the kernel has all of
// it, ErrSlow, ErrClosed, or the error of the write. Completions of a connection
// come in the order of its Sends, one at a time, with no lock held; they must not
// block.
type Completer interface {
	Completed(w *Write, err error)
}

const (
	// batchBytes is the most that goes out in one system call, and what a peer
	// must take within the write timeout.
	batchBytes = 16 << 10
	// writeCost is what an accepted write counts beside its bytes, so that tiny
	// frames cannot pile up without bound.
	writeCost = 64
	// controlBytes bounds pings and pongs that wait for the socket. A flood of
	// pings beyond it gets the pong to the latest only, as RFC 6455 allows
	// (section 5.5.3).
	controlBytes = 2 << 10
)

var batchBuffers = sync.Pool{New: func() any { return new([batchBytes]byte) }}

// Send hands over a write; it never blocks. ErrSlow: the limit on buffered bytes
// is reached (one write is always accepted when nothing else waits). ErrClosed:
// the connection is closing or closed. After an error w is the caller's again and
// is not completed.
func (c *Conn) Send(w *Write) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return ErrClosed
	}
	cost := len(w.Frame) + writeCost
	if c.buffered > 0 && c.buffered+cost > c.server.limits.MaxBufferedBytes {
		return ErrSlow
	}
	c.buffered += cost
	w.next = nil
	if c.tail == nil {
		c.head = w
	} else {
		c.tail.next = w
	}
	c.tail = w
	c.kick()
	return nil
}

func (c *Conn) pong(payload []byte) { c.queueControl(OpPong, payload) }

func (c *Conn) queueControl(op Op, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return
	}
	if len(c.control)+len(payload)+2 > controlBytes {
		c.control = c.control[:0]
	}
	c.control = AppendFrame(c.control, op, payload)
	c.kick()
}

// kick starts the drain unless it runs. The caller holds mu.
func (c *Conn) kick() {
	if !c.draining {
		c.draining = true
		go c.drain()
	}
}

// batch is what one turn of the drain does.
type batch struct {
	buf      []byte // goes out in one or, if it is one large frame, several calls
	first    *Write // the writes in it, count of them
	count    int
	dropped  bool // complete the writes without writing
	unsent   error
	shutdown bool // shut our side of the socket down
	over     bool // nothing left to do
}

// drain writes what has come together, until nothing is left: while one system
// call is under way the next batch collects, so that a busy connection needs
// fewer calls and an idle one never waits.
func (c *Conn) drain() {
	joined, _ := batchBuffers.Get().(*[batchBytes]byte)
	defer batchBuffers.Put(joined)
	for {
		b := c.nextBatch(joined[:0])
		switch {
		case b.over:
			return
		case b.dropped:
			c.complete(b.first, b.count, b.unsent)
		case b.shutdown:
			c.shutdown()
		default:
			c.writeBatch(b)
		}
	}
}

// nextBatch takes what is to be done next, control frames first. When there is
// nothing it ends the drain.
func (c *Conn) nextBatch(joined []byte) batch {
	c.mu.Lock()
	if c.head != nil && (c.discard || c.phase == phaseAborted) {
		defer c.mu.Unlock()
		b := batch{first: c.head, dropped: true, unsent: c.unsent}
		if b.unsent == nil {
			b.unsent = ErrClosed
		}
		for w := c.head; w != nil; w = w.next {
			b.count++
		}
		c.head, c.tail = nil, nil
		return b
	}
	if c.phase != phaseAborted {
		b := c.collect(joined)
		if len(b.buf) > 0 {
			c.mu.Unlock()
			return b
		}
		if c.closeSent && (c.closeGot || c.failed) && !c.shut {
			c.shut = true
			c.mu.Unlock()
			return batch{shutdown: true}
		}
	}
	c.mu.Unlock()
	// What is queued between these two locks finds draining set and starts no
	// second drain: end looks again.
	if c.endDrain() {
		return batch{over: true}
	}
	return c.nextBatch(joined)
}

// endDrain ends the drain unless something came meanwhile.
func (c *Conn) endDrain() bool {
	over := false
	c.end(func() {
		if c.idle() {
			c.draining, over = false, true
		}
	})
	return over
}

// idle says whether the drain has nothing to do. The caller holds mu.
func (c *Conn) idle() bool {
	if c.head != nil {
		return false
	}
	if c.phase == phaseAborted {
		return true
	}
	mustShut := c.closeSent && (c.closeGot || c.failed) && !c.shut
	return len(c.control) == 0 && c.closeFrame == nil && !mustShut
}

// collect joins what fits into one call. The caller holds mu.
func (c *Conn) collect(joined []byte) batch {
	b := batch{buf: append(joined, c.control...), first: c.head}
	c.control = nil
	for c.head != nil {
		w := c.head
		if len(b.buf)+len(w.Frame) > batchBytes {
			if len(b.buf) > 0 {
				break
			}
			// A large frame goes out by itself and is not copied.
			b.buf = w.Frame
		} else {
			b.buf = append(b.buf, w.Frame...)
		}
		b.count++
		c.head = w.next
		if len(b.buf) >= batchBytes {
			break
		}
	}
	if c.head == nil {
		c.tail = nil
		if c.closeFrame != nil && len(b.buf)+len(c.closeFrame) <= batchBytes {
			b.buf = append(b.buf, c.closeFrame...)
			c.closeFrame, c.closeSent = nil, true
		}
	}
	return b
}

// writeBatch writes and completes. On failure the writes the kernel has taken
// whole are done nevertheless.
func (c *Conn) writeBatch(b batch) {
	n, err := c.write(b.buf)
	if err == nil {
		c.complete(b.first, b.count, nil)
		c.afterClose()
		return
	}
	cause := c.writeFailed(err)
	done, w := 0, b.first
	// Control frames stand before the writes, a close frame may stand after them:
	// counting from the total of the frames puts the unknown in front, which can
	// only make a written frame look unwritten.
	sizes := 0
	for range b.count {
		sizes += len(w.Frame)
		w = w.next
	}
	front := len(b.buf) - sizes
	for w = b.first; done < b.count && front+len(w.Frame) <= n; done++ {
		front += len(w.Frame)
		w = w.next
	}
	rest := w
	c.complete(b.first, done, nil)
	c.complete(rest, b.count-done, cause)
}

// write hands buf to the kernel in pieces the peer has the write timeout for,
// each. Once the connection is closing, the close timeout bounds it too.
func (c *Conn) write(buf []byte) (int, error) {
	written := 0
	for written < len(buf) {
		piece := buf[written:min(len(buf), written+batchBytes)]
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.server.limits.WriteTimeout)); err != nil {
			return written, fmt.Errorf("setting a write deadline: %w", err)
		}
		n, err := c.nc.Write(piece)
		written += n
		c.server.bytes.Add(float64(n))
		if err != nil {
			return written, fmt.Errorf("writing to the socket: %w", err)
		}
	}
	if c.nc != c.raw {
		// TLS writes while it reads, too: it answers a peer that renews its keys. The
		// deadline of a write long done would fail that answer, and with it all later
		// writes, as if the peer were slow. A socket that is gone shows in the next read.
		_ = c.nc.SetWriteDeadline(time.Time{})
	}
	return written, nil
}

// writeFailed ends the connection and says what the writes under way are
// completed with.
func (c *Conn) writeFailed(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.abort(ErrSlow)
		return ErrSlow
	case errors.Is(err, net.ErrClosed):
		// Somebody ended the connection while we wrote: the peer is not to blame.
		c.abort(ErrClosed)
		return ErrClosed
	default:
		c.abort(err)
		return err
	}
}

// complete tells count writes, starting with first, what became of them.
func (c *Conn) complete(first *Write, count int, err error) {
	if count == 0 {
		return
	}
	cost := 0
	for w, i := first, 0; i < count; w, i = w.next, i+1 {
		cost += len(w.Frame) + writeCost
	}
	c.mu.Lock()
	c.buffered -= cost
	c.mu.Unlock()
	if err == nil {
		c.server.frames.Add(float64(count))
	}
	for w, i := first, 0; i < count; i++ {
		// A completed write is the caller's again, who may send it once more.
		next := w.next
		w.next = nil
		w.Done.Completed(w, err)
		w = next
	}
}
