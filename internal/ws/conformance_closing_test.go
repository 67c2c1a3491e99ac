package ws_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func TestAClosingHandshakeEndsInOrder(t *testing.T) { conform(t, closingRules()) }

func TestNothingIsHeardAfterTheEnd(t *testing.T) {
	for _, last := range []frame{closing(1000, ""), {op: ws.OpClose}, {op: 3}, text("\xff")} {
		for _, secure := range []bool{false, true} {
			r := newRig(t, rigParams{limits: conformingLimits(), tls: secure})
			nc, pe := r.dialRaw(t, string(text("before").bytes()))
			_, err := nc.Write(last.bytes())
			require.NoError(t, err)
			_, err = io.ReadAll(nc)
			require.NoError(t, err)
			// The server has said its last, and still reads.
			for range 3 {
				_, err = nc.Write(stream(text("after"), closing(1001, "")))
				require.NoError(t, err)
			}
			require.NoError(t, nc.Close())
			assert.NotEqual(t, ws.Code(1001), pe.awaitClosed(t).Code)
			assert.Equal(t, 1, pe.heard)
		}
	}
}

// closingRules are group 7.
func closingRules() []rule {
	half := frame{op: ws.OpClose, payload: "\x03"}
	large := text(stars(256 << 10))
	rules := []rule{
		{name: "a message, then the close frame", says: stream(text("a"), closing(1000, "bye")), sees: []frame{text("a")}, closes: 1000},
		{name: "two close frames", says: stream(closing(1000, ""), closing(1001, "")), closes: 1000},
		{name: "a ping after the close frame", says: stream(closing(1000, ""), ping("p")), closes: 1000},
		{name: "a message after the close frame", says: stream(closing(1000, ""), text("a")), closes: 1000},
		{name: "nonsense after the close frame", says: append(closing(1000, "").bytes(), stars(1000)...), closes: 1000},
		{name: "half a frame after the close frame", says: append(closing(1000, "").bytes(), text("a").bytes()[:4]...), closes: 1000},
		{name: "a continuation after the close frame", says: stream(text("a").andMore(), closing(1000, ""), cont("b")), closes: 1000},
		{name: "a large message, the close frame, then a ping", says: stream(large, closing(1000, ""), ping("p")), sees: []frame{large}, closes: 1000},
		{name: "what was said goes out before the answer", says: stream(text("a"), ping("p"), text("b"), closing(3001, "bye"), text("c")), sees: []frame{text("a"), pong("p"), text("b")}, closes: 3001},
		{name: "no code", says: stream(frame{op: ws.OpClose}), closes: ws.CodeNone},
		{name: "half a code", says: stream(half), fails: 1002},
		{name: "half a code, then a ping", says: stream(half, ping("p")), fails: 1002},
		{name: "a code without a reason", says: stream(closing(1000, "")), closes: 1000},
		{name: "a reason", says: stream(closing(1000, "Hello World!")), closes: 1000},
		{name: "a reason that is not ASCII", says: stream(closing(1000, "κόσμε")), closes: 1000},
		{name: "a reason of 123 bytes", says: stream(closing(1000, stars(123))), closes: 1000},
		{name: "a reason of 124 bytes", says: stream(closing(1000, stars(124))), fails: 1002},
		{name: "a reason of 1000 bytes", says: stream(closing(1000, stars(1000))), fails: 1002},
		{name: "a reason that is not UTF-8", says: stream(closing(1000, "κ\xed\xa0\x80edited")), fails: 1007},
		{name: "a reason that ends inside a character", says: stream(closing(1000, strings.Repeat("é", 61)+"\xc3")), fails: 1007},
		{name: "a bad code with a bad reason", says: stream(closing(1005, "\xff")), fails: 1002},
	}
	for _, code := range []ws.Code{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		rules = append(rules, rule{name: fmt.Sprintf("code %d", code), says: closing(uint16(code), "").bytes(), closes: code})
	}
	for _, code := range []uint16{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		rules = append(rules,
			rule{name: fmt.Sprintf("code %d", code), says: closing(code, "").bytes(), fails: 1002},
			rule{name: fmt.Sprintf("code %d with a reason", code), says: closing(code, "reason").bytes(), fails: 1002},
		)
	}
	return rules
}
