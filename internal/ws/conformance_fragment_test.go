package ws_test

import (
	"fmt"
	"slices"
	"testing"

	"pushgate/internal/ws"
)

func TestFragmentsAreOneMessage(t *testing.T) { conform(t, fragmentRules()) }

// fragmentRules are groups 5, and 10: messages that were fragmented on their way.
func fragmentRules() []rule {
	rules := []rule{
		{name: "a ping in fragments", says: stream(ping("a").andMore(), cont("b")), fails: 1002},
		{name: "a pong in fragments", says: stream(pong("a").andMore(), cont("b")), fails: 1002},
		{name: "a close frame in fragments", says: stream(frame{op: ws.OpClose, payload: "\x03"}.andMore(), cont("\xe8")), fails: 1002},
		{name: "a fragmented ping inside a message", says: stream(text("a").andMore(), ping("b").andMore(), cont("c")), fails: 1002},
		{name: "text in two fragments", says: stream(text("a").andMore(), cont("b")), sees: []frame{text("ab")}},
		{name: "binary in two fragments", says: stream(binaryFrame("\xff").andMore(), cont("\xfe")), sees: []frame{binaryFrame("\xff\xfe")}},
		{name: "a ping between two fragments", says: stream(text("a").andMore(), ping("p"), cont("b")), sees: []frame{pong("p"), text("ab")}},
		{name: "a pong between two fragments", says: stream(text("a").andMore(), pong("p"), cont("b")), sees: []frame{text("ab")}},
		{name: "five fragments, and pings between them", says: stream(text("1").andMore(), cont("2").andMore(), ping("a"), cont("3").andMore(), cont("4").andMore(), ping("b"), cont("5")), sees: []frame{pong("a"), pong("b"), text("12345")}},
		{name: "a close frame between two fragments", says: stream(text("a").andMore(), closing(1000, ""), cont("b")), closes: 1000},
		{name: "empty fragments", says: stream(text("").andMore(), cont("").andMore(), cont("")), sees: []frame{text("")}},
		{name: "empty binary fragments", says: stream(binaryFrame("").andMore(), cont("").andMore(), cont("")), sees: []frame{binaryFrame("")}},
		{name: "empty fragments around one that is not", says: stream(text("").andMore(), cont("middle").andMore(), cont("")), sees: []frame{text("middle")}},
		{name: "an empty fragment between two that are not", says: stream(text("a").andMore(), cont("").andMore(), cont("b")), sees: []frame{text("ab")}},
		{name: "fragmented messages after one another", says: stream(text("a").andMore(), cont("b"), binaryFrame("c").andMore(), cont("d"), text("e")), sees: []frame{text("ab"), binaryFrame("cd"), text("e")}},
		{name: "the last continuation of nothing", says: stream(cont("a"), text("b")), fails: 1002},
		{name: "a first continuation of nothing", says: stream(cont("a").andMore(), text("b")), fails: 1002},
		{name: "an empty continuation of nothing", says: stream(cont("")), fails: 1002},
		{name: "a continuation after a whole message", says: stream(text("a"), cont("b")), sees: []frame{text("a")}, fails: 1002},
		{name: "a continuation after the last fragment", says: stream(text("a").andMore(), cont("b"), cont("c").andMore(), text("d")), sees: []frame{text("ab")}, fails: 1002},
		{name: "a continuation of nothing before a fragmented message", says: stream(cont("a").andMore(), text("b").andMore(), cont("c"), cont("a").andMore(), text("b").andMore(), cont("c")), fails: 1002},
		{name: "new text inside a message", says: stream(text("a").andMore(), text("b")), fails: 1002},
		{name: "new fragmented text inside a message", says: stream(text("a").andMore(), text("b").andMore()), fails: 1002},
		{name: "new binary inside a message", says: stream(text("a").andMore(), binaryFrame("b")), fails: 1002},
		{name: "new text inside a message, told by its header", says: append(text("a").andMore().bytes(), text("b").bytes()[:2]...), fails: 1002},
		{name: "a message of one byte in each fragment", says: stream(text(stars(200)).in(1)...), sees: []frame{text(stars(200))}},
	}
	for _, size := range []int{1300, 65535} {
		for _, f := range []frame{text(stars(65536)), binaryFrame(scribble(65536))} {
			rules = append(rules, rule{name: fmt.Sprintf("opcode %d in fragments of %d bytes", f.op, size), says: stream(f.in(size)...), sees: []frame{f}})
		}
	}
	interleaved := stream(slices.Concat(text(stars(2000)).in(100)[:19], []frame{ping("late")}, []frame{cont(stars(100))})...)
	return append(rules, rule{name: "a ping before the last of many fragments", says: interleaved, sees: []frame{pong("late"), text(stars(2000))}})
}
