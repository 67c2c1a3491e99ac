package ws

import "encoding/binary"

// utf8Check validates UTF-8 that arrives in pieces, and fails at the first byte
// no valid text can contain. The zero value is the start of a text.
type utf8Check struct {
	// need counts the continuation bytes of the rune under way; the next one
	// must be within lo and hi.
	need, lo, hi byte
}

const asciiMask = 0x8080808080808080

// feed says whether what came so far can still become valid text.
func (u *utf8Check) feed(p []byte) bool {
	for i := 0; i < len(p); {
		if u.need == 0 {
			for len(p)-i >= 8 && binary.LittleEndian.Uint64(p[i:])&asciiMask == 0 {
				i += 8
			}
			if i == len(p) {
				return true
			}
			if !u.start(p[i]) {
				return false
			}
			i++
			continue
		}
		if p[i] < u.lo || p[i] > u.hi {
			return false
		}
		u.need--
		u.lo, u.hi = 0x80, 0xBF
		i++
	}
	return true
}

// start takes the first byte of a rune. The ranges leave out overlong forms,
// surrogates and what lies beyond U+10FFFF (Unicode, table 3-7).
func (u *utf8Check) start(b byte) bool {
	u.lo, u.hi = 0x80, 0xBF
	switch {
	case b < 0x80:
		return true
	case b >= 0xC2 && b <= 0xDF:
		u.need = 1
	case b >= 0xE0 && b <= 0xEF:
		u.need = 2
		switch b {
		case 0xE0:
			u.lo = 0xA0
		case 0xED:
			u.hi = 0x9F
		}
	case b >= 0xF0 && b <= 0xF4:
		u.need = 3
		switch b {
		case 0xF0:
			u.lo = 0x90
		case 0xF4:
			u.hi = 0x8F
		}
	default:
		return false
	}
	return true
}

// complete says whether the text may end here.
func (u *utf8Check) complete() bool { return u.need == 0 }
