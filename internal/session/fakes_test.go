package session_test

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func message(id string) *push.Message {
	return &push.Message{
		ID: id, User: "42", Type: "order", Time: noon, Attempt: 1, EndsWait: push.NoWait,
		ContentType: "application/json", JSON: true, Data: []byte(`{"n":1}`),
	}
}

// wire is a transport whose writes the test completes by hand.
type wire struct {
	mu       sync.Mutex
	queued   []*ws.Write
	sent     [][]byte // frames, of every accepted write
	refuse   error
	goodbyes []ws.Goodbye
}

func (w *wire) Send(write *ws.Write) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return w.refuse
	}
	w.queued = append(w.queued, write)
	w.sent = append(w.sent, write.Frame)
	return nil
}

func (w *wire) Close(g ws.Goodbye) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.goodbyes = append(w.goodbyes, g)
}

func (w *wire) take() []*ws.Write {
	w.mu.Lock()
	defer w.mu.Unlock()
	queued := w.queued
	w.queued = nil
	return queued
}

// complete tells of every write under way that it came to err, and how many there
// were.
func (w *wire) complete(err error) int {
	queued := w.take()
	for _, write := range queued {
		write.Done.Completed(write, err)
	}
	return len(queued)
}

// diary writes reports down.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) Report(m *push.Message, s push.Status, reason push.Reason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	line := m.ID + " " + s.String()
	if reason != push.ReasonNone {
		line += " " + reason.String()
	}
	d.lines = append(d.lines, line)
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.lines...)
}

func newFactory(t *testing.T, change ...func(*session.Config)) *session.Factory {
	t.Helper()
	c := session.DefaultConfig()
	for _, f := range change {
		f(&c)
	}
	f, err := session.NewFactory(session.FactoryParams{Config: c, Logger: zap.NewNop()})
	require.NoError(t, err)
	return f
}

// bench is one session on a wire.
type bench struct {
	*session.Session
	*wire

	ended int
}

func newBench(t *testing.T, s session.Subprotocol, change ...func(*session.Config)) *bench {
	t.Helper()
	return open(newFactory(t, change...), session.Params{Subprotocol: s})
}

// open fills in what a test does not care about.
func open(f *session.Factory, p session.Params) *bench {
	b := &bench{wire: &wire{}}
	p.User, p.Type, p.Transport = "42", push.AllTypes, b.wire
	p.OnEnd = func(*session.Session) { b.ended++ }
	b.Session = f.New(p)
	return b
}

// Close is the session's, not the wire's.
func (b *bench) Close(code ws.Code) { b.Session.Close(code) }

// deliver offers a message and returns the diary of its reports.
func (b *bench) deliver(id string) *diary {
	d := &diary{}
	b.deliverTo(id, d)
	return d
}

func (b *bench) deliverTo(id string, r push.Reporter) {
	m := message(id)
	frames := session.NewFrames(m)
	b.Deliver(m, &frames, r)
	m.Data = nil // as delivery does: nothing may look at it later
}

func (b *bench) ack(text string) { b.OnMessage(ws.OpText, []byte(text)) }

func (b *bench) codes() []ws.Code {
	b.mu.Lock()
	defer b.mu.Unlock()
	var codes []ws.Code
	for _, g := range b.goodbyes {
		codes = append(codes, g.Code)
	}
	return codes
}

// unframe takes a server's frame apart.
func unframe(t *testing.T, f []byte) (ws.Op, string) {
	t.Helper()
	require.GreaterOrEqual(t, len(f), 2)
	require.Equal(t, byte(0x80), f[0]&0xF0, "one final frame")
	length, payload := uint64(f[1]), f[2:]
	switch length {
	case 126:
		length, payload = uint64(binary.BigEndian.Uint16(payload)), payload[2:]
	case 127:
		length, payload = binary.BigEndian.Uint64(payload), payload[8:]
	}
	assert.Len(t, payload, int(length))
	return ws.Op(f[0] & 0xF), string(payload)
}

// The two sides fit together.
var (
	_ session.Transport = (*ws.Conn)(nil)
	_ ws.Handler        = (*session.Session)(nil)
)
