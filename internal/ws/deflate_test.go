package ws_test

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pushgate/internal/ws"
)

var deflateTestLimits = ws.ParserLimits{MaxFrameBytes: 1 << 17, MaxMessageBytes: 1 << 17, Deflate: true}

func raw(payload string) frame { return frame{op: ws.OpText, rsv: 4, payload: payload} }

type deflateCase struct {
	name   string
	frames []frame
	want   []string // as a recorder writes it
}

func deflateCases(t testing.TB) []deflateCase {
	hello := compressedFrame(t, ws.OpText, "Hello").payload
	long := strings.Repeat("All work and no play. ", 1000)
	packed := compressedFrame(t, ws.OpText, long)
	between := packed.split(20)
	between = slices.Insert(between, 1, ping("p"), pong("q"))
	many := func(list []frame) []frame { return append(list, text("plain")) }
	return []deflateCase{
		// RFC 7692, section 7.2.3.
		{"one block", []frame{raw("\xf2\x48\xcd\xc9\xc9\x07\x00")}, []string{"text Hello"}},
		{"two fragments", []frame{raw("\xf2\x48\xcd").andMore(), cont("\xc9\xc9\x07\x00")}, []string{"text Hello"}},
		{"a block that is not compressed", []frame{raw("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")}, []string{"text Hello"}},
		{"a block marked as the last", []frame{raw("\xf3\x48\xcd\xc9\xc9\x07\x00\x00")}, []string{"text Hello"}},
		{"two blocks", []frame{raw("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")}, []string{"text Hello"}},
		{"two streams", []frame{raw("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00")}, []string{"text HelloHello"}},
		{"the last block and no empty one", []frame{raw("\xf3\x48\xcd\xc9\xc9\x07\x00")}, []string{"text Hello"}},
		{"an empty message", []frame{raw("\x00")}, []string{"text"}},
		{"an empty fragment first", []frame{raw("").andMore(), cont(hello)}, []string{"text Hello"}},
		{"nothing at all", []frame{raw("")}, []string{"text"}},
		{"a window that was kept is not there", []frame{raw("\xf2\x48\xcd\xc9\xc9\x07\x00"), raw("\xf2\x00\x11\x00\x00")}, []string{"text Hello", "error 1007"}},

		{"plain messages may come, too", []frame{text("a"), raw(hello), text("b"), binaryFrame("\xff")}, []string{"text a", "text Hello", "text b", "binary \xff"}},
		{"a plain message in fragments after a compressed one", []frame{raw(hello), text("a").andMore(), cont("b")}, []string{"text Hello", "text ab"}},
		{"long", many([]frame{packed}), []string{"text 22000 bytes", "text plain"}},
		{"control frames between fragments", many(between), []string{"ping p", "pong q", "text 22000 bytes", "text plain"}},

		{"RSV1 on a continuation", []frame{raw(hello[:2]).andMore(), {op: ws.OpContinuation, rsv: 4, payload: hello[2:]}}, []string{"error 1002"}},
		{"RSV1 on the continuation of a plain message", []frame{text("a").andMore(), {op: ws.OpContinuation, rsv: 4, payload: hello}}, []string{"error 1002"}},
		{"RSV1 on a ping", []frame{{op: ws.OpPing, rsv: 4}}, []string{"error 1002"}},
		{"RSV1 on a pong", []frame{{op: ws.OpPong, rsv: 4}}, []string{"error 1002"}},
		{"RSV1 on a close", []frame{{op: ws.OpClose, rsv: 4}}, []string{"error 1002"}},
		{"RSV2", []frame{{op: ws.OpText, rsv: 6, payload: hello}}, []string{"error 1002"}},
		{"RSV3", []frame{{op: ws.OpText, rsv: 5, payload: hello}}, []string{"error 1002"}},
		{"RSV1 on a reserved opcode", []frame{{op: 3, rsv: 4, payload: hello}}, []string{"error 1002"}},
		{"a new message inside one", []frame{raw(hello).andMore(), raw(hello)}, []string{"error 1002"}},

		{"not what a compressor makes", []frame{raw("\xff\xff\xff\xff")}, []string{"error 1007"}},
		{"a reserved kind of block", []frame{raw("\x06")}, []string{"error 1007"}},
		{"a distance before the beginning", []frame{raw("\x02\x3e\x00")}, []string{"error 1007"}},
		{"cut off", []frame{{op: ws.OpText, rsv: 4, payload: packed.payload[:len(packed.payload)/2]}}, []string{"error 1007"}},
		{"garbage behind a stream", []frame{raw("\xf3\x48\xcd\xc9\xc9\x07\x00\xff\xff\xff\xff")}, []string{"error 1007"}},
		{"text that is not UTF-8", []frame{compressedFrame(t, ws.OpText, "a\xff")}, []string{"error 1007"}},
		{"text that ends inside a rune", []frame{compressedFrame(t, ws.OpText, "\xce")}, []string{"error 1007"}},
		{"binary may be anything", []frame{compressedFrame(t, ws.OpBinary, "\xff\xfe")}, []string{"binary \xff\xfe"}},
		{"a rune across fragments", compressedFrame(t, ws.OpText, "κόσμε").split(1), []string{"text κόσμε"}},
	}
}

func TestCompressedMessagesAreReadHoweverTheBytesArrive(t *testing.T) {
	for _, c := range deflateCases(t) {
		t.Run(c.name, func(t *testing.T) {
			b := stream(c.frames...)
			got, _ := parse(b, deflateTestLimits, whole)
			assert.Equal(t, c.want, []string(got), "in one piece")
			got, _ = parse(b, deflateTestLimits, one)
			assert.Equal(t, c.want, []string(got), "byte by byte")
			random := mathrand.New(mathrand.NewPCG(1, 2))
			got, _ = parse(b, deflateTestLimits, func() int { return 1 + random.IntN(9) })
			assert.Equal(t, c.want, []string(got), "in random pieces")
		})
	}
}

// The rules of plain messages hold where compressed ones may come.
func TestWhereCompressionIsAgreedPlainMessagesFollowTheirRules(t *testing.T) {
	for _, r := range allRules() {
		if !strings.HasPrefix(r.name, "reserved bits 100") { // that is what marks compressed ones
			t.Run(r.name, func(t *testing.T) { conformParser(t, r, true) })
		}
	}
}

func TestWhatIsInflatedHoldsTheLimit(t *testing.T) {
	limits := ws.ParserLimits{MaxFrameBytes: 1000, MaxMessageBytes: 1000, Deflate: true}
	for _, c := range []struct {
		name   string
		frames []frame
		want   string
	}{
		{"the longest", []frame{compressedFrame(t, ws.OpText, strings.Repeat("x", 1000))}, "text 1000 bytes"},
		{"one more", []frame{compressedFrame(t, ws.OpText, strings.Repeat("x", 1001))}, "error 1009"},
		{"one more, in fragments", compressedFrame(t, ws.OpText, strings.Repeat("x", 1001)).split(3), "error 1009"},
		{"a frame that is too long as it is", []frame{raw(strings.Repeat("x", 1001))}, "error 1009"},
		{"fragments that are too long as they are", raw(strings.Repeat("x", 1001)).split(500), "error 1009"},
		{"too long, and not UTF-8", []frame{compressedFrame(t, ws.OpText, strings.Repeat("\xff", 1001))}, "error 1009"},
	} {
		got, _ := parse(stream(c.frames...), limits, whole)
		assert.Equal(t, []string{c.want}, []string(got), c.name)
	}
}

// costlyTables is a stream of one block without content, whose codes take long to make
// tables of: 255 of ten bits, and one of each length.
const costlyTables = "\xed\xe0\x03\xb4\x6d\xdb\xb6\x6d\xdb\x2e\xdb\xb6\x6d\xdb\xb6\x6d\xdb" +
	"\xb6\x6d\xdb\xb6\x6d\xdb\xb6\x6d\x7b\xad\x1f\xd3\x3e\xf7\xfd\x60\x5b\x11"

// What 64 KiB can be inflated to is a thousand times that. No more of it is inflated than
// the largest message has.
func TestABombCostsNoMoreThanTheLargestMessage(t *testing.T) {
	const limit = 64 << 10
	limits := ws.ParserLimits{MaxFrameBytes: limit, MaxMessageBytes: limit, Deflate: true}
	zeros := compress(t, make([]byte, 8<<20), flate.BestSpeed)
	require.Less(t, len(zeros), limit)
	for name, payload := range map[string]string{
		"zeros":         string(zeros),
		"tables":        strings.Repeat(costlyTables, limit/len(costlyTables)),
		"empty streams": strings.Repeat("\x03\x00", limit/2),
		"empty blocks":  strings.Repeat("\x00\x00\x00\xff\xff", limit/5) + "\x00",
	} {
		b := frame{op: ws.OpBinary, rsv: 4, payload: payload}.bytes()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		got, _ := parse(b, limits, whole)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if name == "zeros" {
			assert.Equal(t, []string{"error 1009"}, []string(got), name)
		} else {
			assert.Equal(t, []string{"binary"}, []string(got), name)
		}
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16*limit), name)
		assert.Less(t, took, 5*time.Second, name)
		t.Log(name, took, after.TotalAlloc-before.TotalAlloc)
	}
}

func TestABombIsClosedWith1009(t *testing.T) {
	limits := deflateLimits()
	limits.MaxFrameBytes, limits.MaxMessageBytes = 64<<10, 64<<10
	r := newRig(t, rigParams{limits: limits, onMessage: deflatedEcho})
	c := r.dialOffering(t, plainOffer)
	c.send(t, compressedFrame(t, ws.OpBinary, string(make([]byte, 1<<20))))
	assert.Equal(t, ws.CodeMessageTooLarge, c.closedWith(t))
	assert.Equal(t, ws.CodeMessageTooLarge, c.peer.awaitClosed(t).Code)
}

func TestACompressedFrameIsShorterAndSaysTheSame(t *testing.T) {
	for _, size := range []int{100, 125, 126, 1000, 65535, 65536, 200_000} {
		payload := []byte(strings.Repeat(`{"order":991,"state":"shipped"}`, size/31+1)[:size])
		plain := ws.AppendFrame(nil, ws.OpText, payload)
		before := slices.Clone(plain)
		got := ws.Deflate(plain)
		assert.Equal(t, before, plain)
		require.Less(t, len(got), len(plain), size)
		assert.Equal(t, byte(0xC1), got[0], "FIN, RSV1, text")
		got[0] &^= 0x40
		op, body, err := readFrame(bytes.NewReader(got))
		require.NoError(t, err)
		assert.Equal(t, ws.OpText, op)
		back, err := inflate(body)
		require.NoError(t, err)
		assert.Equal(t, string(payload), string(back))
	}
}

func TestAFrameThatWouldNotShrinkIsLeftAsItIs(t *testing.T) {
	random := make([]byte, 4096)
	_, _ = rand.Read(random)
	for _, payload := range [][]byte{nil, []byte("x"), []byte("hello"), random} {
		plain := ws.AppendFrame(nil, ws.OpBinary, payload)
		assert.Same(t, &plain[0], &ws.Deflate(plain)[0])
	}
}

func TestASmallWindowTakesWhatIsNoLongerThanIt(t *testing.T) {
	frame := make([]byte, 513)
	for _, c := range []struct {
		window ws.Window
		length int
		takes  bool
	}{{0, 2, false}, {8, 256, true}, {8, 257, false}, {9, 512, true}, {9, 513, false}, {15, 513, true}} {
		assert.Equal(t, c.takes, c.window.Takes(frame[:c.length]), "%+v", c)
	}
	assert.True(t, ws.Window(15).Takes(make([]byte, 1<<20)))
	assert.False(t, ws.Window(14).Takes(make([]byte, 1<<20)))
}

func TestWhatIsCompressedIsReadAsItWas(t *testing.T) {
	words := rapid.SampledFrom([]string{"order", "shipped", `{"id":`, "κόσμε", "\x00\xff", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "0123456789"})
	rapid.Check(t, func(t *rapid.T) {
		payload := []byte(strings.Join(rapid.SliceOf(words).Draw(t, "words"), ""))
		payload = append(payload, rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "bytes")...)
		payload = bytes.Repeat(payload, rapid.IntRange(1, 300).Draw(t, "times"))
		got := ws.Deflate(ws.AppendFrame(nil, ws.OpBinary, payload))
		first := got[0]
		got[0] &^= 0x40
		_, body, err := readFrame(bytes.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		// Back as a client would send it, in fragments.
		sent := frame{op: ws.OpBinary, rsv: first >> 4 & 7, payload: string(body)}
		var read collector
		p := ws.NewParser(ws.ParserLimits{MaxFrameBytes: 1 << 24, MaxMessageBytes: 1 << 24, Deflate: true})
		if err := p.Feed(stream(sent.split(rapid.IntRange(1, 1000).Draw(t, "size"))...), &read); err != nil {
			t.Fatal(err)
		}
		if len(read) != 1 || !bytes.Equal(read[0], payload) {
			t.Fatalf("%d bytes were not read as they were", len(payload))
		}
	})
}

// collector copies messages.
type collector [][]byte

func (c *collector) Message(_ ws.Op, p []byte) { *c = append(*c, append([]byte{}, p...)) }
func (*collector) Control(ws.Op, []byte)       {}
func (*collector) Closing(ws.Code, string)     {}

func TestCompressorsAndInflatersAreSharedByAll(t *testing.T) {
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for round := range 50 {
				payload := strings.Repeat(fmt.Sprintf("%d of %d. ", round, worker), 1+round*20)
				got := ws.Deflate(ws.AppendFrame(nil, ws.OpText, []byte(payload)))
				compressed := got[0]&0x40 != 0
				got[0] &^= 0x40
				_, body, err := readFrame(bytes.NewReader(got))
				assert.NoError(t, err)
				f := text(string(body))
				if compressed {
					f.rsv = 4
				}
				var read collector
				p := ws.NewParser(deflateTestLimits)
				assert.NoError(t, p.Feed(f.bytes(), &read))
				if assert.Len(t, read, 1) {
					assert.Equal(t, payload, string(read[0]))
				}
			}
		})
	}
	all.Wait()
}

// There are as many connections as users: what few of them need is not to make all of them
// larger.
func TestAConnectionIsNoLargerForIt(t *testing.T) {
	if runtime.GOOS == "linux" && unsafe.Sizeof(uintptr(0)) == 8 {
		assert.LessOrEqual(t, unsafe.Sizeof(ws.Conn{}), uintptr(160))
	}
}

// FuzzInflate: a compressed message of any bytes breaks nothing and is within the limit,
// pieces make no difference, and where both read it, this package reads it as the standard
// library does.
func FuzzInflate(f *testing.F) {
	for _, c := range deflateCases(f) {
		for _, part := range c.frames {
			if part.rsv == 4 {
				f.Add([]byte(part.payload), uint16(100))
			}
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte, size uint16) {
		limits := ws.ParserLimits{MaxFrameBytes: 1 << 12, MaxMessageBytes: 1 << 12, Deflate: true}
		f := frame{op: ws.OpBinary, rsv: 4, payload: string(payload)}
		var atOnce, inPieces collector
		p := ws.NewParser(limits)
		err := p.Feed(f.bytes(), &atOnce)
		p = ws.NewParser(limits)
		again := p.Feed(stream(f.split(int(size)+1)...), &inPieces)
		assert.Equal(t, atOnce, inPieces)
		if err != nil {
			require.ErrorAs(t, again, new(*ws.ProtocolError))
			broken, ok := errors.AsType[*ws.ProtocolError](err)
			require.True(t, ok)
			assert.Contains(t, []ws.Code{ws.CodeMessageTooLarge, ws.CodeInvalidPayload}, broken.Code)
			return
		}
		require.Len(t, atOnce, 1)
		require.LessOrEqual(t, len(atOnce[0]), limits.MaxMessageBytes)
		if theirs, err := inflate(payload); err == nil {
			assert.True(t, bytes.HasPrefix(atOnce[0], theirs), "the standard library stops at the end of a stream")
		}
	})
}
