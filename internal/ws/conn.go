package ws

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler is told what happens on a connection. Calls do not overlap, except
// that completions of writes come from another goroutine. It must not block:
// neither this connection nor those that share a loop with it are read meanwhile.
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

// wire moves the bytes of one connection. Those that come are handed to
// Conn.received, their end to Conn.readFailed; those that go are asked for by
// Conn.next and told to Conn.written or Conn.writeFailed, from Conn.kick on until
// Conn.next says that there are no more. No call blocks.
type wire interface {
	// start begins to read; what came with the request is passed on first.
	start(early []byte)
	// output begins to write. The caller holds the connection's lock.
	output()
	// shutdown ends our side of the stream.
	shutdown() error
	// hangUp ends both sides, at once. The end of reading follows. It may be called
	// more than once.
	hangUp()
	remoteAddr() net.Addr
}

// Conn is the server's end of a connection. It holds what the protocol needs to
// know of it, and no buffer while nothing is under way; the bytes are moved by its
// wire. Safe for concurrent use.
type Conn struct {
	server  *Server
	handler Handler
	wire    wire
	parser  *Parser // of a frame or message that has come in part; nil in between
	polled  polled  // where its wire is a loop

	heard     atomic.Bool // something arrived since the last look
	slot      uint32
	slotIndex uint32 // guarded by the keeper's slot
	quiet     uint8  // looks without anything heard; the keeper's
	window    Window // does not change

	// What follows is guarded by mu. There are as many of these as there are users: the
	// order is one without gaps.
	phase      phase
	draining   bool // the wire is told of output
	pingDue    bool
	readEnded  bool
	discard    bool // what is queued is completed, not written
	closeSent  bool
	closeGot   bool
	failed     bool // the peer broke the protocol: its close frame is not awaited
	shut       bool // our side of the socket is shut down
	mu         sync.Mutex
	head, tail *Write // accepted and not yet with the kernel
	rare       *rare  // nil most of the time
	buffered   int    // what is accepted and not completed costs
	sent       int    // bytes of head that are with the kernel
}

// rare is what few connections need at a time.
type rare struct {
	begun      []byte // the rest of control frames, of which the first may have begun
	control    []byte // pongs ready to go
	closeFrame []byte // to be sent after what is queued
	closed     Closed
	unsent     error       // what queued writes are completed with; ErrClosed if nil
	bound      *time.Timer // of the closing handshake
	early      []byte      // what arrived together with the request
}

func (c *Conn) rarely() *rare {
	if c.rare == nil {
		c.rare = &rare{}
	}
	return c.rare
}

// RemoteAddr is the address of the peer; nil when the socket is closed.
func (c *Conn) RemoteAddr() net.Addr { return c.wire.remoteAddr() }

// Window says which compressed frames the peer takes.
func (c *Conn) Window() Window { return c.window }

// Start begins to read. It must be called exactly once, also on a connection
// closed meanwhile.
func (c *Conn) Start(h Handler) {
	c.handler = h
	c.mu.Lock()
	var early []byte
	if c.rare != nil {
		early, c.rare.early = c.rare.early, nil
	}
	c.mu.Unlock()
	c.wire.start(early)
}

// received takes in bytes of the peer, which are valid until it returns.
func (c *Conn) received(b []byte) {
	if !c.heard.Load() {
		c.heard.Store(true)
	}
	p := c.parser
	var whole Parser // most often all that comes is whole frames, and nothing is kept
	if p == nil {
		whole = c.newParser()
		p = &whole
	}
	err := p.Feed(b, (*connEvents)(c))
	switch {
	case c.parser == nil && !whole.idle():
		kept := whole
		c.parser = &kept
	case c.parser != nil && c.parser.idle():
		c.parser = nil
	}
	if broken, ok := errors.AsType[*ProtocolError](err); ok {
		c.protocolFailed(broken)
	}
}

// readFailed is the end of what the peer sends, in order or not.
func (c *Conn) readFailed(err error) {
	c.abort(err)
	c.end(func() { c.readEnded = true })
}

func (c *Conn) newParser() Parser {
	l := c.server.limits
	return NewParser(ParserLimits{MaxFrameBytes: l.MaxFrameBytes, MaxMessageBytes: l.MaxMessageBytes, Deflate: c.window > 0})
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
	var closed Closed
	var bound *time.Timer
	if over && c.rare != nil {
		closed, bound = c.rare.closed, c.rare.bound
	}
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
		c.ping()
	case c.quiet >= looksUntilDead:
		c.abort(ErrDead)
	}
}
