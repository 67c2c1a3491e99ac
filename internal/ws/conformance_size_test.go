package ws_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
)

func TestMessagesUpToTheLimitsComeBack(t *testing.T) { conform(t, sizeRules()) }

// sizeRules are group 9, as far as the limits go, and what lies past them.
func sizeRules() []rule {
	var rules []rule
	for _, size := range []int{128 << 10, maxConforming} {
		for _, f := range []frame{text(stars(size)), binaryFrame(scribble(size))} {
			rules = append(rules, rule{name: fmt.Sprintf("opcode %d, %d bytes", f.op, size), says: f.bytes(), sees: []frame{f}})
		}
	}
	largest := binaryFrame(scribble(maxConforming))
	for _, size := range []int{64, 64 << 10} {
		rules = append(rules, rule{name: fmt.Sprintf("the largest message in fragments of %d bytes", size), says: stream(largest.in(size)...), sees: []frame{largest}})
	}
	for _, size := range []int{0, 256} {
		many := slices.Repeat([]frame{binaryFrame(scribble(size))}, 1000)
		rules = append(rules, rule{name: fmt.Sprintf("a thousand messages of %d bytes", size), says: stream(many...), sees: many})
	}
	above := func(length uint64) []byte { // only the header
		return append(binary.BigEndian.AppendUint64([]byte{0x82, 0xFF}, length), 1, 2, 3, 4)
	}
	half := scribble(maxConforming / 2)
	return append(rules,
		rule{name: "a frame of one byte too many is refused by its header", says: above(maxConforming + 1), fails: 1009},
		rule{name: "so is the largest frame there can be", says: above(1<<63 - 1), fails: 1009},
		rule{name: "a message of one byte too many", says: stream(binaryFrame(half).andMore(), cont(half).andMore(), cont("x")), fails: 1009},
		rule{name: "what came before one that is too large comes back", says: append(stream(text("a"), ping("p")), above(maxConforming+1)...), sees: []frame{text("a"), pong("p")}, fails: 1009},
		rule{name: "pings do not count", says: stream(binaryFrame(half).andMore(), ping(stars(125)), cont(half)), sees: []frame{pong(stars(125)), binaryFrame(half + half)}},
	)
}
