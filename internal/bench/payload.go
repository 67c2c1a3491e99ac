package bench

import (
	"bytes"
	"slices"
	"time"
)

// A payload is a JSON object whose first members have fixed places:
//
//	{"bench":"<run>","n":"<number>","at":"<nanoseconds>","pad":"xxx"}
//
// Numbers are hexadecimal of fixed width, so that a receiver finds them by their
// place instead of decoding JSON: it shares its machine with what it measures.
const (
	payloadRun    = `{"bench":"`
	payloadNumber = `","n":"`
	payloadAt     = `","at":"`
	payloadPad    = `","pad":"`
	payloadEnd    = `"}`

	runDigits    = 8
	numberDigits = 12
	atDigits     = 16
)

// MinPayload is the size of a payload without padding.
const MinPayload = len(payloadRun) + runDigits + len(payloadNumber) + numberDigits + len(payloadAt) + atDigits +
	len(payloadPad) + len(payloadEnd)

// stamp is what a payload carries.
type stamp struct {
	number int64
	// at is when the message was to be sent, since the run began.
	at time.Duration
}

// marker is how the payloads of a run begin.
func marker(run string) []byte { return []byte(payloadRun + run + payloadNumber) }

// appendPayload appends a payload of size bytes that begins with mark.
func appendPayload(dst, mark []byte, s stamp, size int) []byte {
	dst = append(dst, mark...)
	dst = appendHex(dst, s.number, numberDigits)
	dst = append(dst, payloadAt...)
	dst = appendHex(dst, int64(s.at), atDigits)
	dst = append(dst, payloadPad...)
	for range size - MinPayload {
		dst = append(dst, 'x')
	}
	return append(dst, payloadEnd...)
}

// findStamp reads the payload in a frame of whatever form. It is false for
// frames that are not of this run.
func findStamp(frame, mark []byte) (stamp, bool) {
	_, rest, ok := bytes.Cut(frame, mark)
	if !ok {
		return stamp{}, false
	}
	number, rest, ok := cutHex(rest, numberDigits)
	if !ok || !bytes.HasPrefix(rest, []byte(payloadAt)) {
		return stamp{}, false
	}
	at, _, ok := cutHex(rest[len(payloadAt):], atDigits)
	return stamp{number: number, at: time.Duration(at)}, ok
}

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, v int64, digits int) []byte {
	dst = slices.Grow(dst, digits)
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, hexDigits[v>>(4*i)&0xf])
	}
	return dst
}

func cutHex(b []byte, digits int) (v int64, rest []byte, ok bool) {
	if len(b) < digits {
		return 0, nil, false
	}
	for _, c := range b[:digits] {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | int64(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | int64(c-'a'+10)
		default:
			return 0, nil, false
		}
	}
	return v, b[digits:], true
}
