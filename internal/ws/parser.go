package ws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
)

// Events are what a Parser finds. Payloads are valid until the call returns.
type Events interface {
	// Message is a whole data message; op is OpText (then it is valid UTF-8) or
	// OpBinary.
	Message(op Op, payload []byte)
	// Control is a ping or a pong.
	Control(op Op, payload []byte)
	// Closing is a close frame; code is CodeNone when it has none. Nothing
	// follows it.
	Closing(code Code, reason string)
}

// Parser reads the frames of one peer. It can be given any piece of the stream,
// down to single bytes, and goes on where it stopped. Between frames it keeps no
// buffer; a message that came in one piece is passed on without a copy, unless it is
// compressed. Not safe for concurrent use.
type Parser struct {
	maxFrame, maxMessage int
	// fromServer: the peer is a server, whose frames are not masked.
	fromServer bool
	deflate    bool // messages may come compressed

	head    [14]byte
	headLen uint8
	headEnd uint8 // length of the header under way, 0 until it is known

	inPayload, fin bool
	op             Op
	messageOp      Op // of the message under way, OpContinuation if none
	compressed     bool
	remaining      int
	mask           [4]byte
	maskAt         int

	text    utf8Check
	message []byte // what came of a message not yet complete
	control []byte // what came of a control frame not yet complete

	paused, done bool
	err          error
}

// ParserLimits bound what a peer may send, in payload bytes.
type ParserLimits struct {
	// MaxMessageBytes holds for what was sent, and for what it is inflated.
	MaxFrameBytes, MaxMessageBytes int
	// Deflate: permessage-deflate was agreed on.
	Deflate bool
}

// NewParser returns a parser of a client's frames.
func NewParser(l ParserLimits) Parser {
	return Parser{maxFrame: l.MaxFrameBytes, maxMessage: l.MaxMessageBytes, deflate: l.Deflate}
}

// idle says whether the peer is between two messages: a new parser would do as well.
func (p *Parser) idle() bool {
	return p.headLen == 0 && !p.inPayload && p.messageOp == OpContinuation && p.err == nil && !p.done
}

// Feed parses the next bytes of the stream, unmasking them in place. An error is
// a *ProtocolError; it is final, and what came before it has been reported.
// Bytes after a close frame are ignored.
func (p *Parser) Feed(b []byte, ev Events) error {
	_, err := p.feed(b, ev)
	return err
}

// feed is Feed that stops early when an event sets paused, and says how far it
// came.
func (p *Parser) feed(b []byte, ev Events) (int, error) {
	n := 0
	for n < len(b) && p.err == nil && !p.done && !p.paused {
		if !p.inPayload {
			n += p.readHeader(b[n:])
			if !p.inPayload || p.remaining > 0 || p.err != nil {
				continue
			}
		}
		chunk := b[n:min(len(b), n+p.remaining)]
		n += len(chunk)
		p.readPayload(chunk, ev)
	}
	if p.done {
		n = len(b)
	}
	return n, p.err
}

func (p *Parser) fail(code Code, format string, args ...any) {
	p.err = &ProtocolError{Code: code, Text: fmt.Sprintf(format, args...)}
	p.message, p.control = nil, nil
}

// readHeader collects the header of the next frame and returns how many bytes it
// took. What two bytes can tell is checked before the rest is awaited.
func (p *Parser) readHeader(b []byte) int {
	n := 0
	for n < len(b) {
		p.head[p.headLen] = b[n]
		p.headLen++
		n++
		switch p.headLen {
		case 2:
			if !p.checkStart() {
				return n
			}
			if p.headLen < p.headEnd {
				continue
			}
		case p.headEnd:
		default:
			continue
		}
		p.beginPayload()
		return n
	}
	return n
}

// checkStart judges the first two bytes of a frame by the rules gobwas has for a
// whole header.
func (p *Parser) checkStart() bool {
	b0, b1 := p.head[0], p.head[1]
	p.fin, p.op = b0&finBit != 0, Op(b0&0x0F)
	h := gobwas.Header{
		Fin: p.fin, Rsv: b0 >> 4 & 0x7, OpCode: gobwas.OpCode(p.op),
		Masked: b1&maskBit != 0, Length: int64(b1 & 0x7F),
	}
	state := gobwas.StateServerSide
	if p.fromServer {
		state = gobwas.StateClientSide
	}
	if p.messageOp != OpContinuation {
		state = state.Set(gobwas.StateFragmented)
	}
	if p.deflate && (p.op == OpText || p.op == OpBinary) {
		h.Rsv &^= compressedBit >> 4 // which has a meaning there, and nowhere else
	}
	if err := gobwas.CheckHeader(h, state); err != nil {
		p.fail(CodeProtocolError, "%s", err.Error())
		return false
	}
	p.headEnd = 2
	switch h.Length {
	case 126:
		p.headEnd += 2
	case 127:
		p.headEnd += 8
	}
	if h.Masked {
		p.headEnd += 4
	}
	return true
}

// beginPayload reads length and mask off a complete header.
func (p *Parser) beginPayload() {
	length, rest := uint64(p.head[1]&0x7F), p.head[2:]
	least := uint64(0)
	switch length {
	case 126:
		length, rest, least = uint64(binary.BigEndian.Uint16(rest)), rest[2:], 126
	case 127:
		length, rest, least = binary.BigEndian.Uint64(rest), rest[8:], 1<<16
	}
	switch {
	case length < least:
		p.fail(CodeProtocolError, "length %d is not in its shortest form", length)
		return
	case length > 1<<63-1:
		p.fail(CodeProtocolError, "length has its highest bit set")
		return
	case p.op.control():
	case length > uint64(p.maxFrame): //nolint:gosec // a limit is not negative
		p.fail(CodeMessageTooLarge, "frame of %d bytes, at most %d are taken", length, p.maxFrame)
		return
	case length+uint64(len(p.message)) > uint64(p.maxMessage): //nolint:gosec // nor is this one
		p.fail(CodeMessageTooLarge, "message of more than %d bytes", p.maxMessage)
		return
	}
	if !p.op.control() && p.op != OpContinuation {
		p.messageOp, p.compressed = p.op, p.head[0]&compressedBit != 0
	}
	if !p.fromServer {
		copy(p.mask[:], rest)
	}
	p.maskAt, p.remaining = 0, int(length)
	p.headLen, p.headEnd, p.inPayload = 0, 0, true
}

// readPayload takes a piece of the frame under way, which may be all of it, and
// empty.
func (p *Parser) readPayload(chunk []byte, ev Events) {
	if !p.fromServer {
		gobwas.Cipher(chunk, p.mask, p.maskAt)
		p.maskAt = (p.maskAt + len(chunk)) & 3
	}
	p.remaining -= len(chunk)
	p.inPayload = p.remaining > 0
	if p.op.control() {
		p.controlPayload(chunk, ev)
		return
	}
	p.dataPayload(chunk, ev)
}

func (p *Parser) dataPayload(chunk []byte, ev Events) {
	last := p.fin && !p.inPayload
	if p.messageOp == OpText && !p.compressed && (!p.text.feed(chunk) || last && !p.text.complete()) {
		p.fail(CodeInvalidPayload, "text is not valid UTF-8")
		return
	}
	if !last {
		p.message = append(p.message, chunk...)
		return
	}
	whole := chunk
	if len(p.message) > 0 {
		whole = append(p.message, chunk...)
	}
	op := p.messageOp
	p.messageOp, p.message, p.text = OpContinuation, nil, utf8Check{}
	if p.compressed {
		p.compressedMessage(op, whole, ev)
		return
	}
	ev.Message(op, whole)
}

func (p *Parser) compressedMessage(op Op, payload []byte, ev Events) {
	f := borrowInflater()
	defer f.giveBack()
	inflated, err := f.inflate(payload, p.maxMessage)
	switch {
	case errors.Is(err, errInflatesBeyond):
		p.fail(CodeMessageTooLarge, "message of more than %d bytes", p.maxMessage)
	case err != nil:
		p.fail(CodeInvalidPayload, "a compressed message cannot be read: %s", err.Error())
	case op == OpText && !utf8.Valid(inflated):
		p.fail(CodeInvalidPayload, "text is not valid UTF-8")
	default:
		ev.Message(op, inflated)
	}
}

func (p *Parser) controlPayload(chunk []byte, ev Events) {
	if p.inPayload {
		p.control = append(p.control, chunk...)
		return
	}
	whole := chunk
	if len(p.control) > 0 {
		whole = append(p.control, chunk...)
	}
	p.control = nil
	if p.op == OpClose {
		p.closePayload(whole, ev)
		return
	}
	ev.Control(p.op, whole)
}

func (p *Parser) closePayload(body []byte, ev Events) {
	code, reason := CodeNone, body
	if len(body) == 1 {
		p.fail(CodeProtocolError, "close frame with half a code")
		return
	}
	if len(body) >= 2 {
		code, reason = Code(binary.BigEndian.Uint16(body)), body[2:]
		if !code.valid() {
			p.fail(CodeProtocolError, "close code %d may not be sent", code)
			return
		}
	}
	if !utf8.Valid(reason) {
		p.fail(CodeInvalidPayload, "close reason is not valid UTF-8")
		return
	}
	p.done, p.message = true, nil
	ev.Closing(code, string(reason))
}
