package ws

import "time"

// Goodbye is how a connection is to be closed.
type Goodbye struct {
	Code   Code
	Reason string
	// Drop completes what is queued with ErrClosed; otherwise it is written
	// before the close frame.
	Drop bool
}

// Close begins the closing handshake and returns at once. What the peer still
// sends is passed on until it answers; then, or after the close timeout, the
// socket is closed. Only the first call has an effect.
func (c *Conn) Close(g Goodbye) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return
	}
	wait := c.server.limits.CloseTimeout
	if !g.Drop {
		wait += c.server.limits.WriteTimeout
	}
	c.beginClosing(Closed{Code: g.Code, Reason: g.Reason}, g.Drop, wait)
}

// peerClosing answers the peer's close frame with its own code, or takes it as
// the answer to ours.
func (c *Conn) peerClosing(code Code, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeGot = true
	if c.phase == phaseOpen {
		c.beginClosing(Closed{Code: code, Reason: reason, Remote: true},
			!c.server.limits.FlushOnClose, c.server.limits.CloseTimeout)
		return
	}
	c.kick()
}

// protocolFailed tells the peer what it did wrong and reads on only to throw
// away: closing a socket with unread bytes resets it, and the peer would never
// see the code.
func (c *Conn) protocolFailed(e *ProtocolError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return
	}
	c.failed = true
	if c.phase == phaseOpen {
		c.beginClosing(Closed{Code: e.Code, Reason: e.Text, Err: e},
			!c.server.limits.FlushOnClose, c.server.limits.CloseTimeout)
		return
	}
	c.kick()
}

// beginClosing queues the close frame. The caller holds mu; the connection is
// open.
func (c *Conn) beginClosing(closed Closed, drop bool, wait time.Duration) {
	c.phase = phaseClosing
	c.discard = drop
	reason := closed.Reason
	if closed.Remote {
		reason = "" // the code is the answer
	}
	r := c.rarely()
	r.closed = closed
	r.closeFrame = AppendClose(nil, closed.Code, reason)
	r.bound = time.AfterFunc(wait, func() { c.abort(ErrClosed) })
	c.kick()
}

// closeWritten gives the peer the close timeout, from when the close frame was
// written, to answer it or to close the socket. The caller holds mu.
func (c *Conn) closeWritten() {
	c.closeSent = true
	if c.phase == phaseClosing && c.rare.bound.Stop() {
		c.rare.bound.Reset(c.server.limits.CloseTimeout)
	}
}

// abort closes the socket. err says why, unless the end had begun before.
func (c *Conn) abort(err error) {
	c.mu.Lock()
	was := c.phase
	c.phase = phaseAborted
	if was == phaseOpen {
		c.rarely().closed = Closed{Code: CodeAbnormal, Err: err}
		if err == ErrSlow { //nolint:errorlint // set by this package, never wrapped
			c.rare.unsent = ErrSlow
		}
	}
	if c.head != nil {
		c.kick() // what is queued is completed
	}
	c.mu.Unlock()
	if was != phaseAborted {
		c.wire.hangUp()
	}
}
