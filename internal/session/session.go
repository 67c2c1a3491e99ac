package session

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"pushgate/internal/push"
	"pushgate/internal/ws"
)

// Transport is what a session writes to. Neither call blocks or calls back into
// the session before it returns. *ws.Conn is one.
type Transport interface {
	// Send hands over a write, which is completed once and in order if it was
	// accepted. ws.ErrSlow and ws.ErrClosed refuse it.
	Send(w *ws.Write) error
	// Close begins the end; the transport calls OnClose when it has come.
	Close(g ws.Goodbye)
}

// Factory makes sessions that share configuration and metrics.
type Factory struct {
	config   Config
	log      *zap.Logger
	metrics  *metrics
	expiries expiries
}

// FactoryParams are what NewFactory needs; Registerer may be nil.
type FactoryParams struct {
	Config     Config
	Logger     *zap.Logger
	Registerer prometheus.Registerer
}

// NewFactory checks the configuration and registers the metrics.
func NewFactory(p FactoryParams) (*Factory, error) {
	if err := p.Config.Validate(); err != nil {
		return nil, fmt.Errorf("configuring sessions: %w", err)
	}
	m, err := newMetrics(p.Registerer)
	if err != nil {
		return nil, err
	}
	return &Factory{config: p.Config, log: p.Logger, metrics: m}, nil
}

// Params describe one session.
type Params struct {
	User string
	// Type is the business type it takes, or push.AllTypes.
	Type        string
	Subprotocol Subprotocol
	Transport   Transport
	// Window says which compressed frames the client takes.
	Window ws.Window
	// Expires closes the session with CloseTokenExpired; zero means never.
	Expires time.Time
	// UserAgent is what the client says that it is, for operators to read. May be
	// empty; of a long one only the beginning is kept.
	UserAgent string
	// OnEnd is called once, after everything delivered to the session has been
	// reported; nil is allowed.
	OnEnd func(*Session)
}

// Session is one connection of one user. It implements ws.Handler: the transport
// calls it. Safe for concurrent use.
//
// Lock order: the session's lock may be held while the transport takes its own,
// never the other way round; no reporter and no OnEnd is called under it.
//
// There are as many as there are users: it is kept small, and what most of them have
// in common is shared.
type Session struct {
	factory     *Factory
	user, kind  string
	agent       unique.Handle[string]
	transport   Transport
	onEnd       func(*Session)
	opened      int64 // Unix nanoseconds, as wakeAt
	expires     int64 // Unix nanoseconds; 0: never
	expiryIndex int32 // where it stands among those that expire; theirs
	form        form

	closing bool // Close was called, or the end has come
	over    bool // OnClose has reported what was left
	telling int8 // calls of the timer that report at the moment
	mu      sync.Mutex
	pending pendingList
	late    *lateList
	timer   *time.Timer // for the next deadline; nil when there is none
	wakeAt  int64
}

// maxAgentBytes bounds what is kept of a user agent.
const maxAgentBytes = 128

// New opens a session. The transport must call OnClose some day.
func (f *Factory) New(p Params) *Session {
	s := &Session{
		factory: f, transport: p.Transport, onEnd: p.OnEnd, form: formOf(p.Subprotocol, p.Window), opened: time.Now().UnixNano(),
		// Copies: these are parts of the request, which is not to live as long.
		user: strings.Clone(p.User), kind: unique.Make(p.Type).Value(),
		// A client decides how long it is.
		agent: unique.Make(p.UserAgent[:min(len(p.UserAgent), maxAgentBytes)]),
	}
	f.metrics.open[p.Subprotocol].Inc()
	if !p.Expires.IsZero() {
		s.expires = p.Expires.UnixNano()
		f.expiries.add(s)
	}
	return s
}

// User is whose session it is.
func (s *Session) User() string { return s.user }

// Type is the business type the session takes, or push.AllTypes.
func (s *Session) Type() string { return s.kind }

// Subprotocol is the form of its messages.
func (s *Session) Subprotocol() Subprotocol { return s.form.subprotocol() }

// Client is where the client is (ip:port; empty when it is gone), and what it says that
// it is.
func (s *Session) Client() (addr, userAgent string) {
	if t, ok := s.transport.(interface{ RemoteAddr() net.Addr }); ok {
		if a := t.RemoteAddr(); a != nil {
			addr = a.String()
		}
	}
	return addr, s.agent.Value()
}

// Opened is when it was opened.
func (s *Session) Opened() time.Time { return time.Unix(0, s.opened) }

// Closing says whether the session takes no more messages.
func (s *Session) Closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// Deliver writes a message to the client and reports to r how it goes on, by the
// contract of push.Reporter; r may be called before Deliver returns. It never
// blocks. m is kept until its end, m.Data is not looked at after Deliver returns.
// Messages are written in the order of the calls.
func (s *Session) Deliver(m *push.Message, f *Frames, r push.Reporter) {
	frame, saved := s.frame(f)
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		r.Report(m, push.Failed, push.Offline)
		return
	}
	if d := s.pending.find([]byte(m.ID)); d != nil {
		v := NewVerdict(m, r)
		d.more = append(d.more, v)
		held := d.written
		s.mu.Unlock()
		if held {
			v.Tell(push.Held, push.ReasonNone)
		}
		return
	}
	if int(s.pending.n) >= s.factory.config.MaxUnacked {
		s.mu.Unlock()
		r.Report(m, push.Failed, push.SlowConsumer)
		return
	}
	d := &delivery{session: s}
	d.verdict.m, d.verdict.r = m, r
	d.write = ws.Write{Frame: frame, Done: d}
	s.pending.add(d)
	err := s.transport.Send(&d.write)
	if err != nil {
		s.pending.remove(d)
	}
	s.mu.Unlock()
	switch {
	case err == nil && saved == 0:
	case err == nil:
		s.factory.metrics.saved.Add(float64(saved))
	case errors.Is(err, ws.ErrSlow):
		// A burst fills the buffer of a client that reads as fast as it can, too:
		// the message is handed back, and the connection goes on. The transport
		// gives up the client that takes nothing for the write timeout.
		r.Report(m, push.Failed, push.SlowConsumer)
	default:
		r.Report(m, push.Failed, push.Offline)
	}
}

// frame is a message as the client takes it, and how many bytes it is shorter for being
// compressed.
func (s *Session) frame(f *Frames) (frame []byte, saved int) {
	plain := f.For(s.Subprotocol())
	if len(plain) < s.factory.config.CompressFrom || !s.form.window().Takes(plain) {
		return plain, 0
	}
	deflated := f.Deflated(s.Subprotocol())
	return deflated, len(plain) - len(deflated)
}

// completed is the transport's word on a write.
func (s *Session) completed(d *delivery, err error) {
	s.mu.Lock()
	d.write.Frame = nil
	if !d.listed { // acknowledged before the kernel's word came round
		s.mu.Unlock()
		return
	}
	status, reason := push.Done, push.ReasonNone
	switch {
	case err != nil:
		s.pending.remove(d)
		status, reason = push.Failed, reasonOf(err)
	case s.Subprotocol().Acknowledges():
		status = push.Held
		d.written, d.deadline = true, time.Now().Add(s.factory.config.AckTimeout)
		s.wake(d.deadline)
	default:
		s.pending.remove(d)
	}
	more := d.more
	s.mu.Unlock()
	tell(d, more, status, reason)
}

// reasonOf says why a write failed.
func reasonOf(err error) push.Reason {
	switch {
	case errors.Is(err, ws.ErrSlow):
		return push.SlowConsumer
	case errors.Is(err, ws.ErrClosed):
		return push.Offline
	default:
		return push.WriteError
	}
}

// OnMessage implements ws.Handler: acknowledgements where the subprotocol has
// them, else nothing is allowed.
func (s *Session) OnMessage(op ws.Op, payload []byte) {
	if !s.Subprotocol().Acknowledges() || op != ws.OpText || parseAck(payload, s.acknowledged) != nil {
		s.Close(ClosePolicy)
	}
}

// acknowledged settles a message; ids that are not pending are ignored.
func (s *Session) acknowledged(id []byte) {
	s.mu.Lock()
	d := s.pending.find(id)
	if d != nil {
		s.pending.remove(d)
	}
	var late *delivery
	if s.late != nil {
		late = s.late.take(id)
	}
	s.mu.Unlock()
	// Unlisted, neither gets further verdicts attached.
	for _, e := range []*delivery{late, d} {
		if e != nil {
			tell(e, e.more, push.Done, push.ReasonNone)
		}
	}
}

// Close tells the client to go, with the text the code has; only the first call
// has an effect. What is queued is still written when the client is merely sent
// elsewhere.
func (s *Session) Close(code ws.Code) {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return
	}
	s.closing = true
	s.mu.Unlock()
	drop := code != CloseGoElsewhere && code != CloseNormal
	s.transport.Close(ws.Goodbye{Code: code, Reason: CodeText(code), Drop: drop})
}

// OnClose implements ws.Handler: what was written and not acknowledged has
// failed.
func (s *Session) OnClose(c ws.Closed) {
	s.mu.Lock()
	s.closing = true
	var left []*delivery
	for d := s.pending.first; d != nil; d = s.pending.first {
		s.pending.remove(d)
		left = append(left, d)
	}
	s.late = nil
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.mu.Unlock()
	if s.expires != 0 {
		s.factory.expiries.remove(s)
	}
	for _, d := range left {
		tell(d, d.more, push.Failed, push.Offline)
	}
	if errors.Is(c.Err, ws.ErrSlow) {
		c.Code = CloseTryLater // what the frame would have said, had there been room for it
	}
	s.factory.metrics.closed(s.Subprotocol(), c.Code)
	s.factory.log.Debug("session ended",
		zap.String("user", s.user), zap.Uint16("code", uint16(c.Code)), zap.Bool("remote", c.Remote), zap.Error(c.Err))
	s.finish(func() { s.over = true })
}

// finish calls OnEnd when both OnClose and the timer are done. The timer may go
// off just before OnClose and take what is overdue out of the pending list: it is
// then the one that reports the rest, and OnEnd is to come after that.
func (s *Session) finish(mark func()) {
	s.mu.Lock()
	mark()
	last := s.over && s.telling == 0
	s.mu.Unlock()
	if last && s.onEnd != nil {
		s.onEnd(s)
	}
}
