package ws

import (
	"encoding/binary"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
)

// Op is the opcode of a frame.
type Op byte

// The opcodes of RFC 6455, section 11.8.
const (
	OpContinuation Op = 0x0
	OpText         Op = 0x1
	OpBinary       Op = 0x2
	OpClose        Op = 0x8
	OpPing         Op = 0x9
	OpPong         Op = 0xA
)

func (o Op) control() bool { return o&0x8 != 0 }

const (
	finBit  = 0x80
	maskBit = 0x80
	// maxControl is the most a control frame may carry.
	maxControl = 125
	// maxReason is what a close frame has room for after its code.
	maxReason = maxControl - 2
)

// Headroom is the longest header a server's frame can have: what a buffer for
// Seal keeps free at its front.
const Headroom = 10

// AppendFrame appends a final, unmasked frame to dst: what a server sends. It
// allocates nothing beyond what dst lacks. A frame is immutable once sent and may
// be sent on any number of connections.
func AppendFrame(dst []byte, op Op, payload []byte) []byte {
	dst = appendHeader(dst, op, len(payload), 0)
	return append(dst, payload...)
}

// Seal makes a frame of buf without copying: its first Headroom bytes are free,
// the payload follows. The result is the tail of buf that holds header and
// payload.
func Seal(buf []byte, op Op) []byte {
	var head [Headroom]byte
	h := appendHeader(head[:0], op, len(buf)-Headroom, 0)
	start := Headroom - len(h)
	copy(buf[start:], h)
	return buf[start:]
}

// AppendClose appends a close frame to dst. A reason that does not fit is cut
// between runes; CodeNone gives a frame without code and reason.
func AppendClose(dst []byte, code Code, reason string) []byte {
	if code == CodeNone {
		return appendHeader(dst, OpClose, 0, 0)
	}
	reason = cutReason(reason)
	dst = appendHeader(dst, OpClose, 2+len(reason), 0)
	return appendCloseBody(dst, code, reason)
}

func appendCloseBody(dst []byte, code Code, reason string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

func cutReason(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	n := maxReason
	for n > 0 && !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

// appendHeader writes the header of a final frame; mask is 0 or maskBit.
func appendHeader(dst []byte, op Op, length int, mask byte) []byte {
	dst = append(dst, finBit|byte(op))
	switch {
	case length <= maxControl:
		return append(dst, mask|byte(length)) //nolint:gosec // at most 125
	case length <= 0xFFFF:
		dst = append(dst, mask|126)
		return binary.BigEndian.AppendUint16(dst, uint16(length))
	default:
		dst = append(dst, mask|127)
		return binary.BigEndian.AppendUint64(dst, uint64(length))
	}
}

// appendMasked appends a frame as a client sends it. The payload is copied, then
// masked in the copy.
func appendMasked(dst []byte, op Op, payload []byte, key [4]byte) []byte {
	dst = appendHeader(dst, op, len(payload), maskBit)
	dst = append(dst, key[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	gobwas.Cipher(dst[start:], key, 0)
	return dst
}
