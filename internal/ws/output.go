package ws

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
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
	// controlBytes bounds pongs that wait for the socket. A flood of pings beyond
	// it gets the pong to the latest only, as RFC 6455 allows (section 5.5.3).
	controlBytes = 2 << 10
	// joinedBytes has room for a batch, control frames and a close frame.
	joinedBytes = batchBytes + 3*controlBytes
)

// joinedBuffers are what batches are built in.
var joinedBuffers = sync.Pool{New: func() any { return new([joinedBytes]byte) }}

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

func (c *Conn) pong(payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return
	}
	r := c.rarely()
	if len(r.control)+len(payload)+2 > controlBytes {
		r.control = r.control[:0]
	}
	r.control = AppendFrame(r.control, OpPong, payload)
	c.kick()
}

func (c *Conn) ping() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseOpen {
		c.pingDue = true
		c.kick()
	}
}

// kick tells the wire that there is something to write, unless it knows. The
// caller holds mu.
func (c *Conn) kick() {
	if !c.draining {
		c.draining = true
		c.wire.output()
	}
}

// batch is what goes out in one call: the rest of what had begun, then control
// frames, then whole writes, then a close frame. Or it is a piece of a write that
// is larger than a batch.
type batch struct {
	buf []byte
	// rest is what of buf belongs to the first queued write, of which a part went
	// out before, or goes out now; control what belongs to control frames.
	rest, control int
	// frames counts the whole writes after that.
	frames  int
	closing bool // a close frame ends it
}

// next does what is to be done about output, and returns what is to be written,
// built in joined, which has room for joinedBytes. It is false when there is nothing
// left: the wire is told when there is again. One call at a time.
func (c *Conn) next(joined []byte) (batch, bool) {
	for {
		c.mu.Lock()
		dropped := c.head != nil && (c.discard && c.sent == 0 || c.phase == phaseAborted)
		if dropped {
			first, cause := c.dropQueued()
			c.mu.Unlock()
			c.complete(first, cause)
			continue
		}
		if c.phase != phaseAborted {
			if b := c.collect(joined[:0]); len(b.buf) > 0 {
				c.mu.Unlock()
				return b, true
			}
			if c.mustShut() {
				c.shut = true
				c.mu.Unlock()
				if c.wire.shutdown() != nil {
					c.abort(ErrClosed)
				}
				continue
			}
		}
		c.mu.Unlock()
		// What is queued between these two locks finds draining set and tells the wire
		// of nothing: endOutput looks again.
		if c.endOutput() {
			return batch{}, false
		}
	}
}

// dropQueued takes all that is queued off, to be completed with the cause. The
// caller holds mu.
func (c *Conn) dropQueued() (first *Write, cause error) {
	first, c.head, c.tail, c.sent = c.head, nil, nil, 0
	return first, c.whyUnsent()
}

// whyUnsent is what writes are completed with that a connection that has ended did not
// write. The caller holds mu.
func (c *Conn) whyUnsent() error {
	if c.rare != nil && c.rare.unsent != nil {
		return c.rare.unsent
	}
	return ErrClosed
}

// endOutput ends output unless something came meanwhile.
func (c *Conn) endOutput() bool {
	over := false
	c.end(func() {
		if c.idle() {
			c.draining, over = false, true
			if c.phase == phaseOpen && c.rare != nil && len(c.rare.early) == 0 {
				c.rare = nil
			}
		}
	})
	return over
}

// idle says whether there is nothing to write or to do. The caller holds mu.
func (c *Conn) idle() bool {
	if c.head != nil {
		return false
	}
	if c.phase == phaseAborted {
		return true
	}
	r := c.rare
	return !c.pingDue && !c.mustShut() && (r == nil || len(r.begun)+len(r.control)+len(r.closeFrame) == 0)
}

// mustShut says whether the closing handshake is done with. The caller holds mu.
func (c *Conn) mustShut() bool { return c.closeSent && (c.closeGot || c.failed) && !c.shut }

// collect joins what fits into one call. What it takes stays queued until it is
// written. The caller holds mu.
func (c *Conn) collect(joined []byte) batch {
	b := batch{buf: joined}
	w := c.head
	if c.sent > 0 || w != nil && len(w.Frame) > batchBytes && !c.controlWaits() {
		// It goes out in pieces, and is not copied.
		piece := w.Frame[c.sent:min(len(w.Frame), c.sent+batchBytes)]
		b.rest = len(piece)
		if c.sent+len(piece) < len(w.Frame) {
			b.buf = piece
			return b
		}
		b.buf = append(b.buf, piece...)
		w = w.next
	}
	if r := c.rare; r != nil {
		b.buf = append(append(b.buf, r.begun...), r.control...)
		r.begun, r.control = nil, nil
	}
	if c.pingDue {
		b.buf = appendHeader(b.buf, OpPing, 0, 0)
		c.pingDue = false
	}
	b.control = len(b.buf) - b.rest
	for w != nil && !c.discard && len(b.buf)+len(w.Frame) <= batchBytes {
		b.buf = append(b.buf, w.Frame...)
		b.frames++
		w = w.next
	}
	if r := c.rare; r != nil && r.closeFrame != nil && (w == nil || c.discard) && len(b.buf)+len(r.closeFrame) <= batchBytes {
		b.buf = append(b.buf, r.closeFrame...)
		b.closing = true
	}
	return b
}

// controlWaits says whether control frames go first. The caller holds mu.
func (c *Conn) controlWaits() bool {
	return c.pingDue || c.rare != nil && len(c.rare.begun)+len(c.rare.control) > 0
}

// written takes in that the kernel has the first n bytes of a batch, and completes
// the writes it has whole. It returns how many writes of the batch it has not.
func (c *Conn) written(b batch, n int) (left int) {
	c.server.bytes.Add(float64(n))
	c.mu.Lock()
	done := c.advance(b, n)
	if left = b.frames; b.rest > 0 {
		left++
	}
	left -= done
	first := c.takeQueued(done)
	c.mu.Unlock()
	c.complete(first, nil)
	return left
}

// advance notes how far a batch has gone, and returns how many writes are whole. The
// caller holds mu.
func (c *Conn) advance(b batch, n int) (done int) {
	w, whole := c.head, true
	if b.rest > 0 {
		part := min(n, b.rest)
		n -= part
		if c.sent += part; c.sent == len(w.Frame) {
			w, c.sent = w.next, 0
			done++
		} else {
			whole = false
		}
	}
	part := min(n, b.control)
	n -= part
	if part < b.control {
		r := c.rarely()
		r.begun = slices.Concat(b.buf[b.rest+part:b.rest+b.control], r.begun)
		whole = false
	}
	if !whole {
		return done
	}
	for range b.frames {
		if n < len(w.Frame) {
			c.sent = n
			return done
		}
		n -= len(w.Frame)
		w = w.next
		done++
	}
	if b.closing && c.phase != phaseAborted {
		r := c.rare
		if r.closeFrame = r.closeFrame[n:]; len(r.closeFrame) == 0 {
			c.closeWritten()
		}
	}
	return done
}

// takeQueued takes the first writes off the queue. The caller holds mu.
func (c *Conn) takeQueued(count int) (first *Write) {
	if count == 0 {
		return nil
	}
	first = c.head
	last := first
	for range count - 1 {
		last = last.next
	}
	if c.head = last.next; c.head == nil {
		c.tail = nil
	}
	last.next = nil
	return first
}

// writeFailed ends the connection: the kernel has the first n bytes of a batch, and
// takes no more. The other writes of the batch are completed with the cause.
func (c *Conn) writeFailed(b batch, n int, err error) {
	left := c.written(b, n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrSlow
	}
	c.mu.Lock()
	if c.phase == phaseAborted || errors.Is(err, net.ErrClosed) {
		// It was ended here while we wrote: what the kernel says of that is no news.
		err = c.whyUnsent()
	}
	c.mu.Unlock()
	c.abort(err)
	c.mu.Lock()
	first := c.takeQueued(left)
	c.sent = 0
	c.mu.Unlock()
	c.complete(first, err)
}

// complete tells a list of writes what became of them.
func (c *Conn) complete(first *Write, err error) {
	cost, count := 0, 0
	for w := first; w != nil; w = w.next {
		cost += len(w.Frame) + writeCost
		count++
	}
	c.mu.Lock()
	c.buffered -= cost
	c.mu.Unlock()
	if err == nil {
		c.server.frames.Add(float64(count))
	}
	for w := first; w != nil; {
		// A completed write is the caller's again, who may send it once more.
		next := w.next
		w.next = nil
		w.Done.Completed(w, err)
		w = next
	}
}
