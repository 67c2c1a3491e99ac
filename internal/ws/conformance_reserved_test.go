package ws_test

import (
	"fmt"
	"testing"

	"pushgate/internal/ws"
)

func TestWhatIsReservedIsRefused(t *testing.T) { conform(t, reservedRules()) }

// reservedRules are groups 3, of bits, and 4, of opcodes.
func reservedRules() []rule {
	var rules []rule
	refused := func(name string, f frame) {
		rules = append(rules,
			rule{name: name, says: stream(text("a"), f, ping("b")), sees: []frame{text("a")}, fails: 1002},
			rule{name: name + " inside a message", says: stream(text("a").andMore(), f, cont("b")), fails: 1002},
			rule{name: name + ", of which half the header comes", says: f.bytes()[:2], fails: 1002},
		)
	}
	for _, bits := range []byte{0b100, 0b010, 0b001, 0b111} {
		f := text("x")
		f.rsv = bits
		refused(fmt.Sprintf("reserved bits %03b", bits), f)
		for _, f := range []frame{text(""), binaryFrame("x"), ping("x"), pong("x"), closing(1000, "")} {
			f.rsv = bits
			rules = append(rules, rule{name: fmt.Sprintf("reserved bits %03b of opcode %d", bits, f.op), says: stream(f, text("a")), fails: 1002})
		}
		f = cont("b")
		f.rsv = bits
		rules = append(rules, rule{name: fmt.Sprintf("reserved bits %03b of a continuation", bits), says: stream(text("a").andMore(), f), fails: 1002})
	}
	for _, op := range []ws.Op{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		refused(fmt.Sprintf("opcode %d", op), frame{op: op, payload: "payload"})
		rules = append(rules, rule{name: fmt.Sprintf("opcode %d without a payload", op), says: frame{op: op}.bytes(), fails: 1002})
	}
	return rules
}
