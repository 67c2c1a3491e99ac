package ws_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

var frameSizes = []int{0, 1, 125, 126, 65535, 65536, 70000}

func TestFramesAreThoseOfTheLibrary(t *testing.T) {
	for _, size := range frameSizes {
		payload := bytes.Repeat([]byte{'x'}, size)
		want := gobwas.MustCompileFrame(gobwas.NewBinaryFrame(payload))
		assert.Equal(t, want, ws.AppendFrame(nil, ws.OpBinary, payload))
		assert.Equal(t, want, ws.Seal(append(make([]byte, ws.Headroom), payload...), ws.OpBinary))
	}
	assert.Equal(t, gobwas.MustCompileFrame(gobwas.NewCloseFrame(gobwas.NewCloseFrameBody(1001, "away"))), ws.AppendClose(nil, 1001, "away"))
	assert.Equal(t, []byte{0x88, 0}, ws.AppendClose(nil, ws.CodeNone, "ignored"))
}

func TestCloseReasonIsCutBetweenRunes(t *testing.T) {
	f := ws.AppendClose(nil, 1000, "a"+strings.Repeat("é", 100))
	require.LessOrEqual(t, len(f), 2+125)
	assert.True(t, utf8.Valid(f[4:]))
	assert.Len(t, f[4:], 123)
	f = ws.AppendClose(nil, 1000, strings.Repeat("é", 100))
	assert.Len(t, f[4:], 122)
}

func TestAppendFrameAllocatesNothing(t *testing.T) {
	payload, dst := make([]byte, 256), make([]byte, 0, 512)
	assert.Zero(t, testing.AllocsPerRun(100, func() { ws.AppendFrame(dst, ws.OpText, payload) }))
}

func BenchmarkAppendFrame(b *testing.B) {
	payload, dst := make([]byte, 256), make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		ws.AppendFrame(dst, ws.OpText, payload)
	}
}

func BenchmarkParserAck(b *testing.B) {
	p := ws.NewParser(ws.ParserLimits{MaxFrameBytes: 1 << 16, MaxMessageBytes: 1 << 16})
	frame, fed := text(`{"ack":["0194f6a2-7a3c-7bfb-8f1f-3f1c2d9e0001"]}`).bytes(), make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		n := copy(fed, frame)
		if err := p.Feed(fed[:n], silent{}); err != nil {
			b.Fatal(err)
		}
	}
}
