package ws_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
)

func TestFramesOfEveryLengthComeBack(t *testing.T) { conform(t, lengthRules()) }

// lengthRules are group 1, and the rules about headers that need no group.
func lengthRules() []rule {
	var rules []rule
	for _, size := range []int{0, 1, 125, 126, 127, 128, 65535, 65536} {
		for _, f := range []frame{text(stars(size)), binaryFrame(scribble(size))} {
			rules = append(rules, rule{name: fmt.Sprintf("opcode %d, %d bytes", f.op, size), says: f.bytes(), sees: []frame{f}})
		}
	}
	together := []frame{text(stars(125)), text(stars(65536)), text(""), text(stars(126)), text("a")}
	unmasked := func(f frame) []byte { f.unmasked = true; return f.bytes() }
	longer := func(f frame, lengthBytes int) []byte { f.lengthBytes = lengthBytes; return f.bytes() }
	highest := binary.BigEndian.AppendUint64([]byte{0x82, 0xFF}, 1<<63+1)
	return append(rules,
		rule{name: "frames of all lengths together", says: stream(together...), sees: together},
		rule{name: "a key of zeros is a key", says: append([]byte{0x81, 0x82, 0, 0, 0, 0}, "hi"...), sees: []frame{text("hi")}},
		rule{name: "text without a mask", says: unmasked(text("a")), fails: 1002},
		rule{name: "a message without a mask after one with", says: slices.Concat(text("a").bytes(), unmasked(text("b"))), sees: []frame{text("a")}, fails: 1002},
		rule{name: "a ping without a mask", says: unmasked(ping("")), fails: 1002},
		rule{name: "a close frame without a mask", says: unmasked(closing(1000, "")), fails: 1002},
		rule{name: "no bytes, told in two", says: longer(text(""), 2), fails: 1002},
		rule{name: "125 bytes, told in two", says: longer(text(stars(125)), 2), fails: 1002},
		rule{name: "126 bytes, told in eight", says: longer(text(stars(126)), 8), fails: 1002},
		rule{name: "65535 bytes, told in eight", says: longer(text(stars(65535)), 8), fails: 1002},
		rule{name: "a length with the highest bit set", says: append(highest, 1, 2, 3, 4), fails: 1002},
		rule{name: "the header is enough to refuse", says: []byte{0x83, 0xFE}, fails: 1002},
	)
}
