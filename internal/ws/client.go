package ws

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// clientBuffer is what a client reads into.
const clientBuffer = 2 << 10

// clientCloseTimeout bounds what Close waits for.
const clientCloseTimeout = 2 * time.Second

// CloseError ends the reading of a connection whose peer sent a close frame.
type CloseError struct {
	Code   Code
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection with code %d: %s", e.Code, e.Reason)
}

// ClientConn is the client's end of a connection: blocking calls, no goroutine of
// its own and about 2 KiB of buffer, so that a load generator can hold
// thousands. One goroutine may read while others write, ping and close.
type ClientConn struct {
	nc          net.Conn
	subprotocol string

	readMu  sync.Mutex
	parser  Parser
	buf     []byte
	waiting []byte // read and not yet parsed
	op      Op     // of the message the parser paused at
	message []byte
	closing *CloseError // of the peer
	readErr error

	writeMu   sync.Mutex
	out       []byte
	closeSent bool
}

// Subprotocol is what the server chose, or empty.
func (c *ClientConn) Subprotocol() string { return c.subprotocol }

// SetReadDeadline bounds ReadMessage. A read that ran into it may be repeated.
func (c *ClientConn) SetReadDeadline(t time.Time) error {
	if err := c.nc.SetReadDeadline(t); err != nil {
		return fmt.Errorf("setting a read deadline: %w", err)
	}
	return nil
}

// ReadMessage blocks until a message is there. Pings are answered on the way.
// The payload is valid until the next call. A close frame of the server is
// answered and becomes a *CloseError.
func (c *ClientConn) ReadMessage() (Op, []byte, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	return c.read()
}

func (c *ClientConn) read() (Op, []byte, error) {
	if c.readErr != nil {
		return 0, nil, c.readErr
	}
	if c.buf == nil {
		c.buf = make([]byte, clientBuffer)
	}
	for {
		for len(c.waiting) > 0 {
			c.parser.paused = false
			n, err := c.parser.feed(c.waiting, (*clientEvents)(c))
			c.waiting = c.waiting[n:]
			if err != nil {
				return 0, nil, c.readFailed(err)
			}
			if c.parser.paused {
				op, message := c.op, c.message
				c.message = nil
				return op, message, nil
			}
		}
		if c.closing != nil {
			return 0, nil, c.readFailed(c.closing)
		}
		n, err := c.nc.Read(c.buf)
		c.waiting = c.buf[:n]
		if err != nil && n == 0 {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return 0, nil, fmt.Errorf("waiting for a message: %w", err)
			}
			return 0, nil, c.readFailed(fmt.Errorf("reading: %w", err))
		}
	}
}

// readFailed makes err the end of all reading, and tells the server what it did
// wrong.
func (c *ClientConn) readFailed(err error) error {
	c.readErr = err
	if broken, ok := errors.AsType[*ProtocolError](err); ok {
		_ = c.sendClose(broken.Code, broken.Text) // err is what the caller needs
	}
	return err
}

// clientEvents keeps the parser's calls out of the method set of ClientConn.
type clientEvents ClientConn

func (e *clientEvents) Message(op Op, payload []byte) {
	if e.parser.compressed {
		payload = slices.Clone(payload) // it is the parser's until this returns
	}
	e.op, e.message = op, payload
	e.parser.paused = true
}

func (e *clientEvents) Control(op Op, payload []byte) {
	if op == OpPing {
		// A failed write shows up in the next read.
		_ = (*ClientConn)(e).write(OpPong, payload)
	}
}

func (e *clientEvents) Closing(code Code, reason string) {
	e.closing = &CloseError{Code: code, Reason: reason}
	_ = (*ClientConn)(e).sendClose(code, "") // the peer is leaving anyway
}

// WriteMessage sends a whole message and blocks until the kernel has it.
func (c *ClientConn) WriteMessage(op Op, payload []byte) error { return c.write(op, payload) }

// Ping sends a ping; what the server answers is not told.
func (c *ClientConn) Ping(payload []byte) error {
	if len(payload) > maxControl {
		return fmt.Errorf("a ping carries at most %d bytes, not %d", maxControl, len(payload))
	}
	return c.write(OpPing, payload)
}

func (c *ClientConn) write(op Op, payload []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.closeSent {
		return ErrClosed
	}
	return c.writeFrame(op, payload)
}

func (c *ClientConn) writeFrame(op Op, payload []byte) error {
	// The mask keeps proxies from mistaking payload for their own protocol; the
	// server is ours to trust, so a fast generator does.
	key := rand.Uint32() //nolint:gosec // see above
	c.out = appendMasked(c.out[:0], op, payload, [4]byte{byte(key), byte(key >> 8), byte(key >> 16), byte(key >> 24)})
	_, err := c.nc.Write(c.out)
	if cap(c.out) > clientBuffer {
		c.out = nil
	}
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

func (c *ClientConn) sendClose(code Code, reason string) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.closeSent {
		return nil
	}
	c.closeSent = true
	var body []byte
	if code != CodeNone {
		body = appendCloseBody(nil, code, cutReason(reason))
	}
	return c.writeFrame(OpClose, body)
}

// Close says goodbye, waits at most two seconds for the server's answer, and
// closes the socket. A ReadMessage under way in another goroutine goes on until
// the answer is there; a message that was read stays as it is. It is nil when the server answered.
func (c *ClientConn) Close(code Code, reason string) error {
	deadline := time.Now().Add(clientCloseTimeout)
	err := c.nc.SetDeadline(deadline)
	if err == nil {
		err = c.sendClose(code, reason)
	}
	if err == nil {
		err = c.awaitClose()
	}
	closeErr := c.nc.Close()
	if err == nil && closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	return nil
}

func (c *ClientConn) awaitClose() error {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	// In it lies the last message, which another goroutine may still be looking at.
	c.buf = nil
	for {
		_, _, err := c.read()
		if _, ok := errors.AsType[*CloseError](err); ok {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Drop closes the socket without a goodbye, as a lost connection would.
func (c *ClientConn) Drop() error {
	if err := c.nc.Close(); err != nil {
		return fmt.Errorf("closing the socket: %w", err)
	}
	return nil
}
