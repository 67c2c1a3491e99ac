package session_test

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"io"
	"strings"
	"testing"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// inflated takes a compressed frame apart.
func inflated(t *testing.T, f []byte) (ws.Op, string) {
	t.Helper()
	f = bytes.Clone(f)
	require.Equal(t, byte(0xC0), f[0]&0xF0, "one final frame, compressed")
	f[0] &^= 0x40
	op, payload := unframe(t, f)
	end := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")
	plain, err := io.ReadAll(flate.NewReader(io.MultiReader(strings.NewReader(payload), end)))
	require.NoError(t, err)
	return op, string(plain)
}

// sizeable is a message whose frame has more than 1,024 bytes.
func sizeable(id string) *push.Message {
	m := message(id)
	m.Data = []byte(`["` + strings.Repeat("shipped ", 200) + `"]`)
	return m
}

// compressing are sessions that compress from 1,024 bytes on, with windows.
func compressing(t *testing.T, windows ...ws.Window) []*bench {
	t.Helper()
	f := newFactory(t, func(c *session.Config) { c.CompressFrom = 1024 })
	var all []*bench
	for _, w := range windows {
		all = append(all, open(f, session.Params{Subprotocol: session.Pushgate, Window: w}))
	}
	return all
}

func TestAMessageIsCompressedOnceForAllWhoTakeIt(t *testing.T) {
	all := compressing(t, 15, 0, 15, 9, 12)
	m := sizeable("a")
	frames := session.NewFrames(m)
	var d diary
	for _, b := range all {
		b.Deliver(m, &frames, &d)
		require.Len(t, b.sent, 1)
	}
	op, plain := unframe(t, all[1].sent[0])
	assert.Equal(t, ws.OpText, op)
	op, got := inflated(t, all[0].sent[0])
	assert.Equal(t, ws.OpText, op)
	assert.Equal(t, plain, got)
	assert.Less(t, len(all[0].sent[0]), len(plain)/4)
	assert.Same(t, &all[0].sent[0][0], &all[2].sent[0][0], "shared")
	assert.Same(t, &all[1].sent[0][0], &all[3].sent[0][0], "longer than its window")
	assert.Same(t, &all[0].sent[0][0], &all[4].sent[0][0], "not longer than its window")
}

func TestMessagesThatAreTooSmallAreNotCompressed(t *testing.T) {
	b := compressing(t, 15)[0]
	for _, size := range []int{10, 1000, 1023, 1024, 1025} {
		m := message("a")
		frames := session.NewFrames(m)
		overhead := len(frames.For(session.Pushgate)) - len(m.Data) + 2 // a longer length
		m = message("a")
		m.Data = []byte(`"` + strings.Repeat("x", max(0, size-overhead-2)) + `"`)
		frames = session.NewFrames(m)
		length := len(frames.For(session.Pushgate))
		b.sent = nil
		b.Deliver(m, &frames, &diary{})
		b.ack(`{"ack":["a"]}`)
		require.Len(t, b.sent, 1)
		assert.Equal(t, length >= 1024, b.sent[0][0]&0x40 != 0, "%d bytes", length)
		if size > 1000 {
			assert.Equal(t, size, length)
		}
	}
}

func TestWhatWouldNotShrinkIsSentAsItIs(t *testing.T) {
	random := make([]byte, 2000)
	_, _ = rand.Read(random)
	f := newFactory(t, func(c *session.Config) { c.CompressFrom = 1 })
	b := open(f, session.Params{Subprotocol: session.Plain, Window: 15})
	m := message("a")
	m.JSON, m.ContentType, m.Data = false, "", random
	frames := session.NewFrames(m)
	b.Deliver(m, &frames, &diary{})
	_, got := unframe(t, b.sent[0])
	assert.Equal(t, string(random), got)
}

func TestEachSubprotocolIsCompressedOnItsOwn(t *testing.T) {
	m := sizeable("a")
	f := session.NewFrames(m)
	for _, s := range []session.Subprotocol{session.Plain, session.Pushgate, session.CloudEvents} {
		op, plain := unframe(t, f.For(s))
		gotOp, got := inflated(t, f.Deflated(s))
		assert.Equal(t, op, gotOp)
		assert.Equal(t, plain, got)
		first := f.Deflated(s)
		assert.Same(t, &first[0], &f.Deflated(s)[0])
	}
}

func TestWhatIsSavedIsCounted(t *testing.T) {
	config := session.DefaultConfig()
	config.CompressFrom = 1024
	registry := prometheus.NewRegistry()
	f, err := session.NewFactory(session.FactoryParams{Config: config, Logger: zap.NewNop(), Registerer: registry})
	require.NoError(t, err)
	saved := 0
	b := open(f, session.Params{Subprotocol: session.Pushgate, Window: 15})
	for i, id := range []string{"a", "b", "c"} {
		if i == 2 {
			b.refuse = ws.ErrSlow // it was not sent
		}
		m := sizeable(id)
		frames := session.NewFrames(m)
		b.Deliver(m, &frames, &diary{})
		if i < 2 {
			saved += len(frames.For(session.Pushgate)) - len(frames.Deflated(session.Pushgate))
		}
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "pushgate_compression_saved_bytes_total" {
			assert.InDelta(t, saved, family.GetMetric()[0].GetCounter().GetValue(), 0)
			assert.Positive(t, saved)
			return
		}
	}
	assert.Fail(t, "not counted")
}

// There are as many sessions as users: what few of them need is not to make all of them
// larger.
func TestASessionIsNoLargerForIt(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 8 {
		assert.LessOrEqual(t, unsafe.Sizeof(session.Session{}), uintptr(160))
	}
}
