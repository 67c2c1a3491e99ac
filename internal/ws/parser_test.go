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

// feed feeds the stream in pieces of the sizes next gives, until the parser fails. at is
// how many bytes it had by then.
func feed(stream []byte, limits ws.ParserLimits, next func() int, ev ws.Events) (at int, broken *ws.ProtocolError) {
	p := ws.NewParser(limits)
	for _, piece := range pieces(slices.Clone(stream), next) {
		err := p.Feed(piece, ev)
		at += len(piece)
		if errors.As(err, &broken) {
			break
		}
	}
	return at, broken
}

// pieces cuts b into pieces of the sizes next gives.
func pieces(b []byte, next func() int) (list [][]byte) {
	for len(b) > 0 {
		n := min(next(), len(b))
		list = append(list, b[:n])
		b = b[n:]
	}
	return list
}

// parse feeds the stream and returns what came of it; the last event is the close code
// of an error.
func parse(stream []byte, limits ws.ParserLimits, next func() int) (events recorder, at int) {
	at, broken := feed(stream, limits, next, &events)
	if broken != nil {
		events.note("error", fmt.Sprint(broken.Code))
	}
	return events, at
}

func one() int   { return 1 }
func whole() int { return 1 << 30 }

// in cuts a message into fragments of the size.
func (f frame) in(size int) []frame {
	var list []frame
	op := f.op
	for start := 0; start < len(f.payload); start += size {
		list = append(list, frame{op: op, payload: f.payload[start:min(len(f.payload), start+size)], more: true})
		op = ws.OpContinuation
	}
	list[len(list)-1].more = false
	return list
}

func stream(frames ...frame) []byte {
	var b []byte
	for _, f := range frames {
		b = append(b, f.bytes()...)
	}
	return b
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
			got, _ := parse(stream(c.frames...), limits, one)
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
		got, _ := parse(stream(frames...), testLimits, func() int { return sizes.Draw(t, "piece") })
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
	for _, r := range allRules() {
		if b := r.bytes(); len(b) < 1000 {
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
