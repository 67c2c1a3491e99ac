package ws

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler is told what happens on a connection. Calls do not overlap, except
// that completions of writes come from another goroutine. It must not block: the
// connection is not read meanwhile.
type Handler interface {
	// OnMessage is a message of the peer; payload is valid until it returns.
	// Messages may still come after Close, until the peer answered.
	OnMessage(op Op, payload []byte)
	// OnClose is the last call: once, after every write has been completed.
	OnClose(c Closed)
}

// Closed says how a connection ended.
type Closed struct {
	// Code and Reason of the close frame that began the end; CodeAbnormal when
	// there was none.
	Code   Code
	Reason string
	// Remote: the peer began it.
	Remote bool
	// Err is what went wrong, nil after an orderly goodbye.
	Err error
}

// phase is how far the life of a connection has come.
type phase uint8

const (
	phaseOpen    phase = iota
	phaseClosing       // a close frame is queued, sent or answered
	phaseAborted       // the socket is closed; what is queued will not be sent
)

// Conn is the server's end of a connection over a net.Conn. Reading has a
// goroutine of its own, with a small buffer; writing has one only while there is
// something to write. Safe for concurrent use.
type Conn struct {
	server  *Server
	nc      net.Conn // what is read and written: TCP or TLS
	raw     net.Conn // the socket below it
	handler Handler
	parser  Parser
	early   []byte // what arrived together with the request

	heard     atomic.Bool // something arrived since the last look
	quiet     uint8       // looks without anything heard; the keeper's
	slot      uint32
	slotIndex int // guarded by the keeper's slot

	mu         sync.Mutex
	head, tail *Write // accepted and not yet taken by the drain
	buffered   int    // what is accepted and not completed costs
	control    []byte // pings and pongs ready to go
	closeFrame []byte // to be sent after what is queued
	phase      phase
	draining   bool // the drain goroutine runs
	readEnded  bool
	discard    bool // what is queued is completed, not written
	closeSent  bool
	closeGot   bool
	failed     bool // the peer broke the protocol: its close frame is not awaited
	shut       bool // our side of the socket is shut down
	closed     Closed
	unsent     error       // what queued writes are completed with; ErrClosed if nil
	bound      *time.Timer // of the closing handshake
}

// newConn prepares a connection whose handshake is done.
func newConn(s *Server, nc net.Conn, early []byte) *Conn {
	c := &Conn{
		server: s, nc: nc, raw: nc, early: early,
		parser: NewParser(ParserLimits{MaxFrameBytes: s.limits.MaxFrameBytes, MaxMessageBytes: s.limits.MaxMessageBytes}),
	}
	if t, ok := nc.(*tls.Conn); ok {
		c.raw = t.NetConn()
	}
	c.heard.Store(true) // its request, a moment ago
	return c
}

// RemoteAddr is the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Start begins to read, in a fresh goroutine: the stack of the one that did the
// upgrade has grown by then and would stay so for the life of the connection. It
// must be called exactly once, also on a connection closed meanwhile.
func (c *Conn) Start(h Handler) {
	c.handler = h
	go c.read()
}

const (
	// smallRead is the buffer every connection has: clients send acknowledgements
	// and pongs.
	smallRead = 512
	// largeRead is borrowed by a peer that fills the small one.
	largeRead = 16 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeRead]byte) }}

func (c *Conn) read() {
	early := c.early
	c.early = nil
	if len(early) > 0 {
		c.feed(early)
	}
	small := make([]byte, smallRead)
	buf := small
	var large *[largeRead]byte
	for {
		n, err := c.nc.Read(buf)
		if n > 0 {
			if !c.heard.Load() {
				c.heard.Store(true)
			}
			c.feed(buf[:n])
		}
		if err != nil {
			c.abort(err)
			break
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
	c.end(func() { c.readEnded = true })
}

func (c *Conn) feed(b []byte) {
	err := c.parser.Feed(b, (*connEvents)(c))
	if broken, ok := errors.AsType[*ProtocolError](err); ok {
		c.protocolFailed(broken)
	}
}

// connEvents keeps the parser's calls out of the method set of Conn.
type connEvents Conn

func (e *connEvents) Message(op Op, payload []byte) { e.handler.OnMessage(op, payload) }

func (e *connEvents) Control(op Op, payload []byte) {
	if op == OpPing {
		(*Conn)(e).pong(payload)
	}
}

func (e *connEvents) Closing(code Code, reason string) { (*Conn)(e).peerClosing(code, reason) }

// end marks one of the two sides as ended; the last one tells the handler.
func (c *Conn) end(mark func()) {
	c.mu.Lock()
	mark()
	over := c.readEnded && !c.draining
	closed, bound := c.closed, c.bound
	c.mu.Unlock()
	if !over {
		return
	}
	if bound != nil {
		bound.Stop()
	}
	c.handler.OnClose(closed)
	// Only now: when the server's Run returns, no handler is still busy.
	c.server.dismiss(c)
}

// look is one look of the keeper.
func (c *Conn) look() {
	if c.heard.Swap(false) {
		c.quiet = 0
		return
	}
	c.quiet++
	switch {
	case c.quiet == looksUntilPing:
		c.queueControl(OpPing, nil)
	case c.quiet >= looksUntilDead:
		c.abort(ErrDead)
	}
}
