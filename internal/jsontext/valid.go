package jsontext

import (
	"bytes"
	"encoding/binary"
)

// maxDepth of arrays and objects in each other: that of encoding/json.
const maxDepth = 10_000

// Valid says whether text is one JSON value. It decides as encoding/json.Valid does (RFC
// 8259; that strings are UTF-8 is not looked at), in a fraction of the time: every payload
// is looked at by each who reads it. It allocates only for what is nested more than 512
// deep.
func Valid(text []byte) bool {
	v := validator{rest: text}
	for v.space(); v.value(); v.space() {
		more, ok := v.next()
		if !ok {
			return false
		}
		if !more {
			return len(v.rest) == 0
		}
	}
	return false
}

// validator is somewhere in a text.
type validator struct {
	rest []byte
	// depth counts what is open; there is a bit for each, set where it is an object.
	depth int
	first [8]uint64
	more  []uint64
}

const word = 64

// bit is where the kind of what was opened at a depth is kept.
func (v *validator) bit(depth int) (in *uint64, mask uint64) {
	at := depth / word
	mask = 1 << (depth % word)
	if at < len(v.first) {
		return &v.first[at], mask
	}
	if at -= len(v.first); at == len(v.more) {
		v.more = append(v.more, 0)
	}
	return &v.more[at], mask
}

func (v *validator) open(object bool) bool {
	if v.depth == maxDepth {
		return false
	}
	in, mask := v.bit(v.depth)
	if *in &^= mask; object {
		*in |= mask
	}
	v.depth++
	return true
}

func (v *validator) inObject() bool {
	in, mask := v.bit(v.depth - 1)
	return *in&mask != 0
}

// value takes a value up to where one inside of it may begin, or to its end.
func (v *validator) value() bool {
	for len(v.rest) > 0 {
		switch c := v.rest[0]; c {
		case '{':
			v.rest = v.rest[1:]
			if !v.open(true) {
				return false
			}
			if v.space(); v.peek() == '}' {
				return true
			}
			if !v.key() {
				return false
			}
		case '[':
			v.rest = v.rest[1:]
			if !v.open(false) {
				return false
			}
			if v.space(); v.peek() == ']' {
				return true
			}
		case '"':
			return v.text()
		case 't':
			return v.word("true")
		case 'f':
			return v.word("false")
		case 'n':
			return v.word("null")
		default:
			return v.number()
		}
		v.space()
	}
	return false
}

// next takes what follows a value: ends of what it is in, and a comma. It is ok where
// that may stand there; there is more where another value must follow.
func (v *validator) next() (more, ok bool) {
	for {
		v.space()
		if v.depth == 0 {
			return false, true
		}
		object := v.inObject()
		switch v.peek() {
		case ',':
			v.rest = v.rest[1:]
			v.space()
			return true, !object || v.key()
		case '}':
			if !object {
				return false, false
			}
		case ']':
			if object {
				return false, false
			}
		default:
			return false, false
		}
		v.rest = v.rest[1:]
		v.depth--
	}
}

// key takes the name of a member, and its colon.
func (v *validator) key() bool {
	if v.peek() != '"' || !v.text() {
		return false
	}
	if v.space(); v.peek() != ':' {
		return false
	}
	v.rest = v.rest[1:]
	v.space()
	return true
}

// peek is the next byte, 0 at the end.
func (v *validator) peek() byte {
	if len(v.rest) == 0 {
		return 0
	}
	return v.rest[0]
}

func (v *validator) space() {
	b := v.rest
	if len(b) == 0 || b[0] > ' ' {
		return
	}
	n := 0
	for n < len(b) && (b[n] == ' ' || b[n] == '\n' || b[n] == '\r' || b[n] == '\t') {
		n++
	}
	v.rest = b[n:]
}

func (v *validator) word(w string) bool {
	if !bytes.HasPrefix(v.rest, []byte(w)) {
		return false
	}
	v.rest = v.rest[len(w):]
	return true
}

// text takes a string.
func (v *validator) text() bool {
	b := v.rest
	for i := 1; ; {
		i += plain(b[i:])
		if i == len(b) {
			return false
		}
		switch {
		case b[i] == '"':
			v.rest = b[i+1:]
			return true
		case b[i] != '\\' || i+1 == len(b): // a control character, or the end
			return false
		}
		switch b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			const digits = 4
			if len(b) < i+2+digits || !hex(b[i+2:i+2+digits]) {
				return false
			}
			i += 2 + digits
		default:
			return false
		}
	}
}

// plain counts the bytes before the first quote, backslash or control character, eight
// at a time, and where there are many four times eight.
func plain(b []byte) (n int) {
	const (
		signs  = 0x8080808080808080
		step   = 8
		stride = 4 * step
	)
	for ; len(b)-n >= stride; n += stride {
		w := b[n : n+stride]
		if (special(w)|special(w[step:])|special(w[2*step:])|special(w[3*step:]))&signs != 0 {
			break
		}
	}
	for ; len(b)-n >= step; n += step {
		if special(b[n:])&signs != 0 {
			break
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

// special looks at eight bytes at once: the first of them that is no plain one has its
// sign set, and none before it (Hacker's Delight, section 6-1).
func special(b []byte) uint64 {
	const ones = 0x0101010101010101
	x := binary.LittleEndian.Uint64(b)
	quote, backslash := x^ones*'"', x^ones*'\\'
	return (x-ones*' ')&^x | (quote-ones)&^quote | (backslash-ones)&^backslash
}

func hex(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) && (c|' ' < 'a' || c|' ' > 'f') {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number takes a number.
func (v *validator) number() bool {
	b := v.rest
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	whole := digits(b)
	if whole == 0 || whole > 1 && b[0] == '0' {
		return false
	}
	b = b[whole:]
	if len(b) > 0 && b[0] == '.' {
		n := digits(b[1:])
		if n == 0 {
			return false
		}
		b = b[1+n:]
	}
	if len(b) > 0 && b[0]|' ' == 'e' {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		n := digits(b)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	v.rest = b
	return true
}

func digits(b []byte) (n int) {
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	return n
}
