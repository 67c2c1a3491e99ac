package hub_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/hub"
	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

func message(id string) *push.Message {
	return &push.Message{ID: id, User: "42", Type: "order", Attempt: 1, EndsWait: push.NoWait, JSON: true, Data: []byte(`{}`)}
}

// diary writes reports down.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) Report(m *push.Message, s push.Status, r push.Reason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	line := m.ID + " " + s.String()
	if r != push.ReasonNone {
		line += " " + r.String()
	}
	d.lines = append(d.lines, line)
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.lines...)
}

// house makes sessions for one hub.
type house struct {
	*hub.Hub

	sessions *session.Factory
}

func newHouse(t *testing.T, p hub.Params) *house {
	t.Helper()
	h, err := hub.New(p)
	require.NoError(t, err)
	f, err := session.NewFactory(session.FactoryParams{Config: session.DefaultConfig(), Logger: zap.NewNop()})
	require.NoError(t, err)
	return &house{Hub: h, sessions: f}
}

// Deliver hands a message to its user's sessions; false when none takes it.
func (h *house) Deliver(m *push.Message, r push.Reporter) bool {
	to := h.Of([]byte(m.User))
	return to != nil && to.Deliver(m, r)
}

// guest is one session and its transport: writes are completed by the test.
type guest struct {
	*session.Session

	mu       sync.Mutex
	queued   []*ws.Write
	frames   [][]byte
	goodbyes []ws.Code
	at       []time.Time // of the goodbyes
	// leave is called when the session is told to go, in a goroutine of its own.
	leave func(*guest)
}

type guestParams struct {
	user, kind  string
	subprotocol session.Subprotocol
	leave       func(*guest)
}

// open makes a session that is not in the hub yet, but leaves it when it ends.
func (h *house) open(p guestParams) *guest {
	if p.user == "" {
		p.user = "42"
	}
	if p.kind == "" {
		p.kind = push.AllTypes
	}
	g := &guest{leave: p.leave}
	g.Session = h.sessions.New(session.Params{
		User: p.user, Type: p.kind, Subprotocol: p.subprotocol, Transport: transport{g}, OnEnd: h.Remove,
	})
	return g
}

// enter opens a session and adds it.
func (h *house) enter(t *testing.T, p guestParams) *guest {
	t.Helper()
	g := h.open(p)
	require.NoError(t, h.Add(g.Session))
	return g
}

// transport keeps the two Closes apart.
type transport struct{ g *guest }

func (t transport) Send(w *ws.Write) error {
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	t.g.queued = append(t.g.queued, w)
	t.g.frames = append(t.g.frames, w.Frame)
	return nil
}

func (t transport) Close(g ws.Goodbye) {
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	t.g.goodbyes = append(t.g.goodbyes, g.Code)
	t.g.at = append(t.g.at, time.Now())
	if t.g.leave != nil {
		go t.g.leave(t.g)
	}
}

// complete tells of every write under way that it came to err.
func (g *guest) complete(err error) {
	g.mu.Lock()
	queued := g.queued
	g.queued = nil
	g.mu.Unlock()
	for _, w := range queued {
		w.Done.Completed(w, err)
	}
}

// end is the end of the connection.
func (g *guest) end() {
	g.complete(ws.ErrClosed)
	g.OnClose(ws.Closed{Code: ws.CodeAbnormal})
}

func (g *guest) codes() []ws.Code {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]ws.Code(nil), g.goodbyes...)
}

func (g *guest) ack(id string) { g.OnMessage(ws.OpText, []byte(`{"ack":["`+id+`"]}`)) }
