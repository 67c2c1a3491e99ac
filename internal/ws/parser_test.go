package ws_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pushgate/internal/ws"
)

// frame is one frame of a client, written here by hand: the tests share no code
// with what they test.
type frame struct {
	op       ws.Op
	payload  string
	more     bool // FIN not set
	rsv      byte
	unmasked bool
	// lengthBytes forces a longer form of the length: 2 or 8.
	lengthBytes int
}

func (f frame) bytes() []byte {
	first, mask := byte(f.op)|f.rsv<<4, byte(0x80)
	if !f.more {
		first |= 0x80
	}
	if f.unmasked {
		mask = 0
	}
	n := len(f.payload)
	var b []byte
	switch {
	case f.lengthBytes == 8 || f.lengthBytes == 0 && n > 65535:
		b = binary.BigEndian.AppendUint64([]byte{first, mask | 127}, uint64(n))
	case f.lengthBytes == 2 || f.lengthBytes == 0 && n > 125:
		b = binary.BigEndian.AppendUint16([]byte{first, mask | 126}, uint16(n))
	default:
		b = []byte{first, mask | byte(n)}
	}
	if f.unmasked {
		return append(b, f.payload...)
	}
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, key[:]...)
	for i := range n {
		b = append(b, f.payload[i]^key[i%4])
	}
	return b
}

func text(s string) frame        { return frame{op: ws.OpText, payload: s} }
func binaryFrame(s string) frame { return frame{op: ws.OpBinary, payload: s} }
func ping(s string) frame        { return frame{op: ws.OpPing, payload: s} }
func pong(s string) frame        { return frame{op: ws.OpPong, payload: s} }

func (f frame) andMore() frame { f.more = true; return f }

func cont(s string) frame { return frame{op: ws.OpContinuation, payload: s} }

func closing(code uint16, reason string) frame {
	return frame{op: ws.OpClose, payload: string(binary.BigEndian.AppendUint16(nil, code)) + reason}
}

// recorder writes events down.
type recorder []string

func (r *recorder) note(kind, payload string) {
	if len(payload) > 40 {
		payload = fmt.Sprintf("%d bytes", len(payload))
	}
	*r = append(*r, strings.TrimSuffix(kind+" "+payload, " "))
}

func (r *recorder) Message(op ws.Op, p []byte) {
	r.note(map[ws.Op]string{ws.OpText: "text", ws.OpBinary: "binary"}[op], string(p))
}

func (r *recorder) Control(op ws.Op, p []byte) {
	r.note(map[ws.Op]string{ws.OpPing: "ping", ws.OpPong: "pong"}[op], string(p))
}

func (r *recorder) Closing(code ws.Code, reason string) {
	r.note("close", strings.TrimSpace(fmt.Sprintf("%d %s", code, reason)))
}

var testLimits = ws.ParserLimits{MaxFrameBytes: 1 << 17, MaxMessageBytes: 1 << 17}

// parse feeds the stream in pieces of the sizes next gives and returns what came
// of it; the last event is the close code of an error. at is how many bytes had
// been fed by then.
func parse(stream []byte, limits ws.ParserLimits, next func() int) (events recorder, at int) {
	p := ws.NewParser(limits)
	stream = slices.Clone(stream)
	for at < len(stream) {
		n := min(next(), len(stream)-at)
		err := p.Feed(stream[at:at+n], &events)
		at += n
		if broken, ok := errors.AsType[*ws.ProtocolError](err); ok {
			events.note("error", fmt.Sprint(broken.Code))
			return events, at
		}
	}
	return events, at
}

func one() int   { return 1 }
func whole() int { return 1 << 30 }

type parserCase struct {
	name   string
	frames []frame
	want   []string
}

// The groups carry the numbers of the Autobahn test suite.
func parserCases() []parserCase {
	big := strings.Repeat("*", 65536)
	greek := "κόσμε"
	cases := []parserCase{
		{"1 text sizes", []frame{text(""), text("x"), text(big[:125]), text(big[:126]), text(big[:65535]), text(big)}, []string{"text", "text x", "text 125 bytes", "text 126 bytes", "text 65535 bytes", "text 65536 bytes"}},
		{"1 binary sizes", []frame{binaryFrame(""), binaryFrame("\xfe"), binaryFrame(big[:126]), binaryFrame(big)}, []string{"binary", "binary \xfe", "binary 126 bytes", "binary 65536 bytes"}},
		{"2 pings", []frame{ping(""), ping("hi"), ping("\x00\xff"), ping(big[:125])}, []string{"ping", "ping hi", "ping \x00\xff", "ping 125 bytes"}},
		{"2 ping of 126 bytes", []frame{ping(big[:126])}, []string{"error 1002"}},
		{"2 unsolicited pongs", []frame{pong(""), pong("x"), ping("y")}, []string{"pong", "pong x", "ping y"}},
		{"3 RSV1", []frame{{op: ws.OpText, rsv: 4}}, []string{"error 1002"}},
		{"3 RSV2 after a text", []frame{text("a"), {op: ws.OpText, rsv: 2}, ping("")}, []string{"text a", "error 1002"}},
		{"3 RSV3 on a ping", []frame{{op: ws.OpPing, rsv: 1}}, []string{"error 1002"}},
		{"3 all RSV on a close", []frame{{op: ws.OpClose, rsv: 7}}, []string{"error 1002"}},
		{"4 data after a reserved opcode", []frame{text("a"), {op: 5, payload: "x"}, ping("")}, []string{"text a", "error 1002"}},
		{"5 fragmented ping", []frame{ping("a").andMore(), cont("b")}, []string{"error 1002"}},
		{"5 fragmented pong", []frame{pong("a").andMore(), cont("b")}, []string{"error 1002"}},
		{"5 two fragments", []frame{text("a").andMore(), cont("b")}, []string{"text ab"}},
		{"5 ping in between", []frame{text("a").andMore(), ping("p"), cont("b")}, []string{"ping p", "text ab"}},
		{"5 close in between", []frame{text("a").andMore(), closing(1000, ""), cont("b")}, []string{"close 1000"}},
		{"5 continuation of nothing", []frame{cont("a"), text("b")}, []string{"error 1002"}},
		{"5 unfinished continuation of nothing", []frame{cont("a").andMore(), text("b")}, []string{"error 1002"}},
		{"5 continuation after the end", []frame{text("a").andMore(), cont("b"), cont("c")}, []string{"text ab", "error 1002"}},
		{"5 new text inside a message", []frame{text("a").andMore(), text("b")}, []string{"error 1002"}},
		{"5 new binary inside a message", []frame{text("a").andMore(), binaryFrame("b")}, []string{"error 1002"}},
		{"5 empty fragments", []frame{binaryFrame("").andMore(), cont("").andMore(), cont("")}, []string{"binary"}},
		{"5 empty fragments around text", []frame{text("").andMore(), cont("a").andMore(), cont("")}, []string{"text a"}},
		{"5 many fragments and pings", []frame{text("1").andMore(), cont("2").andMore(), ping("a"), cont("3").andMore(), cont("4").andMore(), ping("b"), cont("5")}, []string{"ping a", "ping b", "text 12345"}},
		{"6 valid UTF-8", []frame{text(greek), text("\U0010FFFF\uE000\uD7FF")}, []string{"text " + greek, "text \U0010FFFF\uE000\uD7FF"}},
		{"6 split inside a rune", []frame{text(greek[:3]).andMore(), cont(greek[3:4]).andMore(), ping(""), cont(greek[4:])}, []string{"ping", "text " + greek}},
		{"6 ends inside a rune", []frame{text(greek[:3])}, []string{"error 1007"}},
		{"6 ends inside a rune, fragmented", []frame{text("a").andMore(), cont(greek[:3])}, []string{"error 1007"}},
		{"6 bad in the second fragment", []frame{text(greek).andMore(), cont("\xed\xa0\x80").andMore(), cont("x")}, []string{"error 1007"}},
		{"6 binary may be anything", []frame{binaryFrame("\xff\xfe")}, []string{"binary \xff\xfe"}},
		{"6 state does not leak into the next message", []frame{text(greek), binaryFrame("\xce"), text("a")}, []string{"text " + greek, "binary \xce", "text a"}},
		{"7 close without code", []frame{{op: ws.OpClose}}, []string{"close 1005"}},
		{"7 close with half a code", []frame{{op: ws.OpClose, payload: "\x03"}}, []string{"error 1002"}},
		{"7 close with the longest reason", []frame{closing(1000, big[:123])}, []string{"close 128 bytes"}},
		{"7 close with too long a reason", []frame{closing(1000, big[:124])}, []string{"error 1002"}},
		{"7 close with bad reason", []frame{closing(1000, "\xce\xba\xed\xa0\x80")}, []string{"error 1007"}},
		{"7 nothing counts after close", []frame{text("a"), closing(1000, "x"), text("b"), {op: 7}, closing(3000, "")}, []string{"text a", "close 1000 x"}},
		{"10 sent in fragments of 1300", fragments(big, 1300), []string{"text 65536 bytes"}},
		{"frames of a client are masked", []frame{{op: ws.OpText, payload: "a", unmasked: true}}, []string{"error 1002"}},
		{"pings of a client are masked", []frame{{op: ws.OpPing, unmasked: true}}, []string{"error 1002"}},
		{"length in two bytes without need", []frame{{op: ws.OpText, payload: "a", lengthBytes: 2}}, []string{"error 1002"}},
		{"length in eight bytes without need", []frame{{op: ws.OpText, payload: big[:126], lengthBytes: 8}}, []string{"error 1002"}},
	}
	for _, bad := range []string{"\xc0\xaf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80", "\xff", "\x80", "a\xcea"} {
		cases = append(cases, parserCase{fmt.Sprintf("6 invalid %x", bad), []frame{text(bad)}, []string{"error 1007"}})
	}
	for op := range ws.Op(16) {
		if op >= 3 && op <= 7 || op >= 11 {
			cases = append(cases, parserCase{fmt.Sprintf("4 opcode %d", op), []frame{{op: op}}, []string{"error 1002"}})
		}
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, parserCase{fmt.Sprintf("7 close %d", code), []frame{closing(code, "")}, []string{fmt.Sprintf("close %d", code)}})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, parserCase{fmt.Sprintf("7 close %d", code), []frame{closing(code, "")}, []string{"error 1002"}})
	}
	return cases
}

func fragments(s string, size int) []frame {
	var list []frame
	for start := 0; start < len(s); start += size {
		f := cont(s[start:min(len(s), start+size)]).andMore()
		if start == 0 {
			f.op = ws.OpText
		}
		list = append(list, f)
	}
	list[len(list)-1].more = false
	return list
}

func stream(frames []frame) []byte {
	var b []byte
	for _, f := range frames {
		b = append(b, f.bytes()...)
	}
	return b
}

func TestParserFollowsTheRulesHoweverTheBytesArrive(t *testing.T) {
	for _, c := range parserCases() {
		t.Run(c.name, func(t *testing.T) {
			b := stream(c.frames)
			got, _ := parse(b, testLimits, whole)
			assert.Equal(t, c.want, []string(got), "in one piece")
			got, _ = parse(b, testLimits, one)
			assert.Equal(t, c.want, []string(got), "byte by byte")
			random := rand.New(rand.NewPCG(1, 2))
			got, _ = parse(b, testLimits, func() int { return 1 + random.IntN(9) })
			assert.Equal(t, c.want, []string(got), "in random pieces")
		})
	}
}

func TestParserFailsAtTheFirstByteThatShowsIt(t *testing.T) {
	head := func(f frame) []byte { return f.bytes()[:2] }
	for _, c := range []struct {
		name string
		b    []byte
		at   int
		want string
	}{
		{"reserved opcode", head(frame{op: 3, payload: "x"}), 2, "error 1002"},
		{"no mask", head(frame{op: ws.OpText, payload: "x", unmasked: true}), 2, "error 1002"},
		{"UTF-8 in the middle of a frame", text("ab\xffcd").bytes(), 9, "error 1007"},
		{"surrogate at its second byte", text("\xed\xa0\x80").bytes(), 8, "error 1007"},
		{"beyond the last code point at its second byte", text("\xf4\x90\x80\x80").bytes(), 8, "error 1007"},
		{"too large by its header", frame{op: ws.OpBinary, payload: strings.Repeat("x", 1<<17+1)}.bytes(), 14, "error 1009"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, at := parse(c.b, testLimits, one)
			assert.Equal(t, []string{c.want}, []string(got))
			assert.Equal(t, c.at, at)
		})
	}
}

func TestParserHoldsItsLimits(t *testing.T) {
	limits := ws.ParserLimits{MaxFrameBytes: 100, MaxMessageBytes: 150}
	x := strings.Repeat("x", 200)
	for _, c := range []struct {
		name   string
		frames []frame
		want   []string
	}{
		{"largest frame", []frame{text(x[:100])}, []string{"text 100 bytes"}},
		{"frame one over", []frame{text(x[:101])}, []string{"error 1009"}},
		{"largest message", []frame{text(x[:100]).andMore(), cont(x[:50])}, []string{"text 150 bytes"}},
		{"message one over", []frame{text(x[:100]).andMore(), cont(x[:51])}, []string{"error 1009"}},
		{"control frames are not messages", []frame{text(x[:100]).andMore(), ping(x[:125]), cont(x[:50])}, []string{"ping 125 bytes", "text 150 bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := parse(stream(c.frames), limits, one)
			assert.Equal(t, c.want, []string(got))
		})
	}
	huge := []byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}
	got, _ := parse(huge, limits, whole)
	assert.Equal(t, []string{"error 1002"}, []string(got), "the highest bit of a length is never set")
	huge[2] = 0x7f
	got, _ = parse(huge, limits, whole)
	assert.Equal(t, []string{"error 1009"}, []string(got))
}

func TestParserKeepsItsError(t *testing.T) {
	p := ws.NewParser(testLimits)
	var r recorder
	err := p.Feed(frame{op: 3}.bytes(), &r)
	require.Error(t, err)
	assert.Same(t, err, p.Feed(text("a").bytes(), &r))
	assert.Empty(t, r)
}

func TestParserAllocatesNothingForMessagesInOnePiece(t *testing.T) {
	p := ws.NewParser(testLimits)
	b, fed := text(`{"ack":["a"]}`).bytes(), make([]byte, 64)
	var ev silent
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		n := copy(fed, b)
		if p.Feed(fed[:n], ev) != nil {
			panic("the parser failed")
		}
	}))
}

type silent struct{}

func (silent) Message(ws.Op, []byte)   {}
func (silent) Control(ws.Op, []byte)   {}
func (silent) Closing(ws.Code, string) {}

// said is one thing a peer says, and in which fragments.
type said struct {
	f    frame
	cuts []int
}

func TestWhatIsSaidIsReportedHoweverItIsFragmentedAndCut(t *testing.T) {
	say := rapid.Custom(func(t *rapid.T) said {
		switch op := rapid.SampledFrom([]ws.Op{ws.OpText, ws.OpBinary, ws.OpPing, ws.OpPong}).Draw(t, "op"); op {
		case ws.OpText:
			s := rapid.StringN(-1, 40, -1).Draw(t, "text")
			return said{text(s), rapid.SliceOfN(rapid.IntRange(0, len(s)), 0, 4).Draw(t, "cuts")}
		case ws.OpBinary:
			b := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "binary")
			return said{binaryFrame(string(b)), rapid.SliceOfN(rapid.IntRange(0, len(b)), 0, 4).Draw(t, "cuts")}
		default:
			return said{frame{op: op, payload: string(rapid.SliceOfN(rapid.Byte(), 0, 125).Draw(t, "control"))}, nil}
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		var frames []frame
		var want recorder
		for _, s := range rapid.SliceOfN(say, 1, 8).Draw(t, "said") {
			kind := map[ws.Op]string{ws.OpText: "text", ws.OpBinary: "binary", ws.OpPing: "ping", ws.OpPong: "pong"}[s.f.op]
			slices.Sort(s.cuts)
			op, from := s.f.op, 0
			for _, cut := range s.cuts {
				frames = append(frames, frame{op: op, payload: s.f.payload[from:cut], more: true}, ping("between"))
				want.note("ping", "between")
				op, from = ws.OpContinuation, cut
			}
			frames = append(frames, frame{op: op, payload: s.f.payload[from:]})
			want.note(kind, s.f.payload)
		}
		sizes := rapid.IntRange(1, 50)
		got, _ := parse(stream(frames), testLimits, func() int { return sizes.Draw(t, "piece") })
		if !slices.Equal(want, got) {
			t.Fatalf("said %q, reported %q", want, got)
		}
	})
}

// strict panics at an event that no peer may cause.
type strict struct{ limits ws.ParserLimits }

func (s strict) Message(op ws.Op, p []byte) {
	if op != ws.OpText && op != ws.OpBinary || op == ws.OpText && !utf8.Valid(p) || len(p) > s.limits.MaxMessageBytes {
		panic(fmt.Sprintf("message %d of %d bytes: %q", op, len(p), p))
	}
}

func (s strict) Control(op ws.Op, p []byte) {
	if op != ws.OpPing && op != ws.OpPong || len(p) > 125 {
		panic(fmt.Sprintf("control frame %d of %d bytes", op, len(p)))
	}
}

func (s strict) Closing(code ws.Code, reason string) {
	if code == ws.CodeAbnormal || !utf8.ValidString(reason) || len(reason) > 123 {
		panic(fmt.Sprintf("close %d %q", code, reason))
	}
}

// FuzzParser: pieces make no difference, nothing panics, and what is reported is
// within the rules and the limits.
func FuzzParser(f *testing.F) {
	for _, c := range parserCases() {
		if b := stream(c.frames); len(b) < 1000 {
			f.Add(b, uint64(1))
		}
	}
	limits := ws.ParserLimits{MaxFrameBytes: 1000, MaxMessageBytes: 2000}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		atOnce, _ := parse(b, limits, whole)
		bytewise, _ := parse(b, limits, one)
		random := rand.New(rand.NewPCG(seed, 0))
		mixed, _ := parse(b, limits, func() int { return 1 + random.IntN(20) })
		p := ws.NewParser(limits)
		_ = p.Feed(slices.Clone(b), strict{limits})
		assert.Equal(t, atOnce, bytewise)
		assert.Equal(t, atOnce, mixed)
	})
}

// FuzzText: a text is taken exactly when it is valid UTF-8.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "κόσμε", "\xed\xa0\x80", "\xf4\x8f\xbf\xbf", "12345678\xce\xba", "\xf0\x9f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, _ := parse(text(s).bytes(), testLimits, whole)
		require.Len(t, got, 1)
		assert.Equal(t, utf8.ValidString(s), got[0] != "error 1007")
	})
}
