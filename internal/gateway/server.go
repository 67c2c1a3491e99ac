package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"pushgate/internal/auth"
	"pushgate/internal/hub"
	"pushgate/internal/listen"
	"pushgate/internal/push"
	"pushgate/internal/pushgatejs"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// Publisher writes a request to the message log and returns when it is durable
// or ctx has ended.
type Publisher interface {
	Publish(ctx context.Context, rec push.Record) error
}

// Params of a Server.
type Params struct {
	Config    Config
	Limits    push.Limits
	Verifier  *auth.Verifier
	Sockets   *ws.Server
	Sessions  *session.Factory
	Hub       *hub.Hub
	Publisher Publisher
	// Internal and Carrier: what other nodes and services bring (POST /push). Without
	// a carrier there is no such address.
	Internal Internal
	Carrier  Carrier
	// Descriptors is how many files and sockets the process may have open; 0: unknown.
	// Where it is the lower limit, it bounds the sessions: what else is open needs some,
	// too, and a listener that cannot accept refuses nobody in order.
	Descriptors int
	// Ready returns why this node may not take sessions, nil if it may.
	Ready      func() error
	Logger     *zap.Logger
	Registerer prometheus.Registerer
}

// Server is the gateway listener.
type Server struct {
	Params
	log      *zap.Logger
	producer *Producer
	listener *listen.Listener
	http     *http.Server
	upgrades *prometheus.CounterVec
	posts    *prometheus.CounterVec
	gate     *listen.Gate
	rate     rate
	room     int64                  // sessions there may be
	open     atomic.Int64           // sessions, those being opened included
	onEnd    func(*session.Session) // is ended: one value for all sessions
	refused  atomic.Int64           // when the refusal of a call was logged last, Unix nanoseconds
	// forNodes and forNodesHTTP are the internal listener, nil where there is none.
	forNodes     *listen.Listener
	forNodesHTTP *http.Server
	buffers      sync.Pool // of *bytes.Buffer, for what custodians bring
}

// New binds the listeners; nothing is accepted before Run.
func New(ctx context.Context, p Params) (*Server, error) {
	listener, err := listen.Bind(ctx, "gateway listener", "gateway.listen", p.Config.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Params: p, log: p.Logger.Named("gateway"), listener: listener,
		producer: NewProducer(ProducerParams{Config: p.Config, Limits: p.Limits, Publisher: p.Publisher, Logger: p.Logger}),
		rate:     rate{limit: p.Config.MaxHandshakesPerSecond},
		upgrades: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushgate_upgrades_total", Help: "Requests to open a session, by result.",
		}, []string{"result"}),
	}
	s.onEnd = s.ended
	waiting := s.pendingFor(p.Config.MaxPendingHandshakes)
	s.room = s.roomFor(p.Config.MaxConnections, waiting)
	for _, r := range upgradeResults() {
		s.upgrades.WithLabelValues(r)
	}
	s.posts = newPosts()
	s.http = s.serverOf(s.routes())
	secure, err := p.Config.TLS.Config(TLSKey, s.renewed)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	enduring := listen.NewEnduring(listener.Listener, s.log)
	s.gate = listen.NewGate(waiting)
	s.layer(enduring, secure)
	if p.Registerer != nil {
		p.Registerer.MustRegister(s.upgrades, s.posts, sessionsLimit(s.room))
		p.Registerer.MustRegister(s.gate.Collectors()...)
		p.Registerer.MustRegister(enduring.Collectors()...)
	}
	if s.forNodes, err = bindInternal(ctx, p.Internal); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if s.forNodes != nil {
		s.forNodesHTTP = s.serverOf(s.routesForNodes())
	}
	return s, nil
}

// layer puts what bounds handshakes between the socket and the HTTP server, and TLS, if
// any, on top.
func (s *Server) layer(enduring *listen.Enduring, secure *tls.Config) {
	s.http.ErrorLog = zap.NewStdLog(listen.FewHandshakes(s.log))
	s.http.ConnContext, s.http.ConnState = s.gate.ConnContext, s.gate.ConnState
	s.listener.Listener = s.gate.Listener(enduring)
	if secure == nil {
		return
	}
	// The other half of the processors is for those who are connected.
	turns := listen.NewTurns(runtime.GOMAXPROCS(0) / 2)
	s.http.ConnState = func(nc net.Conn, state http.ConnState) {
		turns.ConnState(nc, state)
		s.gate.ConnState(nc, state)
	}
	s.listener.Listener = tls.NewListener(ws.Detachable(turns.Listener(s.listener.Listener)), secure)
}

func (s *Server) serverOf(h http.Handler) *http.Server {
	const maxHeader = 8 << 10
	return &http.Server{
		Handler:           listen.BodiesWithin(s.Config.ReadHeaderTimeout, s.recovering(h)),
		ReadHeaderTimeout: s.Config.ReadHeaderTimeout,
		MaxHeaderBytes:    maxHeader,
		IdleTimeout:       time.Minute,
		ErrorLog:          zap.NewStdLog(s.log),
	}
}

// renewed is told when the files of the certificate have changed.
func (s *Server) renewed(err error) {
	if err != nil {
		s.log.Error("the certificate has changed, and cannot be read: the old one is shown as long as this process lives", zap.Error(err))
		return
	}
	s.log.Info("the certificate was read again")
}

// pendingFor is how many of the handshakes that are wanted there can be at a time: they
// are to leave descriptors for sessions.
func (s *Server) pendingFor(wanted int) int {
	if s.Descriptors == 0 {
		return wanted
	}
	return min(wanted, max(s.Descriptors/10, 1)) //nolint:mnd // a tenth
}

// roomFor is how many of the sessions that are wanted there can be, beside so many
// handshakes.
func (s *Server) roomFor(wanted, handshakes int) int64 {
	others := 500 + handshakes // listeners, Kafka, Redis, operators, requests under way
	if s.Descriptors == 0 || wanted+others <= s.Descriptors {
		return int64(wanted)
	}
	room := max(s.Descriptors-others, 1)
	s.log.Info("fewer sessions than gateway.max_connections: the process may not open as many files (ulimit -n, LimitNOFILE)",
		zap.Int("descriptors", s.Descriptors), zap.Int("max_connections", wanted), zap.Int("sessions", room))
	return int64(room)
}

// Addr returns where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// InternalAddr returns where other nodes and services push to, as host:port: the
// internal listener, or else the gateway's.
func (s *Server) InternalAddr() string {
	if s.forNodes == nil {
		return s.Addr()
	}
	return s.forNodes.Addr().String()
}

// Close stops listening; for a server that was never run.
func (s *Server) Close() error {
	if s.forNodes == nil {
		return s.listener.Close()
	}
	return errors.Join(s.listener.Close(), s.forNodes.Close())
}

// Run serves until ctx ends and the requests under way are answered, or two
// seconds after. Sessions are not requests: they live on.
func (s *Server) Run(ctx context.Context) error {
	if s.forNodes == nil {
		return s.listener.Serve(ctx, s.http)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.listener.Serve(groupCtx, s.http) })
	group.Go(func() error { return s.forNodes.Serve(groupCtx, s.forNodesHTTP) })
	return group.Wait()
}

// routesForNodes are those of the internal listener.
func (s *Server) routesForNodes() http.Handler {
	mux := http.NewServeMux()
	if s.Carrier != nil {
		s.internalRoutes(mux)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem{Status: http.StatusNotFound, Error: "there is nothing at this address", Hint: "POST to /push/{userId}; clients connect to gateway.listen"}.write(w)
	})
	return mux
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/websocket/{type}/{user}", s.connect)
	mux.Handle("/pushgate.js", pushgatejs.Handler())
	mux.HandleFunc("POST /v1/users/{user}/messages", s.produce)
	mux.HandleFunc("/v1/users/{user}/messages", func(w http.ResponseWriter, _ *http.Request) {
		problem{Status: http.StatusMethodNotAllowed, Error: "messages are posted here", Hint: "use POST", Allow: http.MethodPost}.write(w)
	})
	hint := "open a WebSocket at /websocket/{businessType}/{userId}, or POST to /v1/users/{userId}/messages"
	if s.Carrier != nil && s.Internal.Listen == "" {
		s.internalRoutes(mux)
		hint += " or, with the token of the nodes, to /push/{userId}"
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem{Status: http.StatusNotFound, Error: "there is nothing at this address", Hint: hint}.write(w)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Whoever posts may wait for Kafka, and is not to keep others from connecting.
		if !strings.HasPrefix(r.URL.Path, "/websocket/") {
			listen.Leave(r.Context())
		}
		mux.ServeHTTP(w, r)
	})
}

// recovering answers for a handler that has failed.
func (s *Server) recovering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("a request handler failed", zap.Any("panic", p), zap.Stack("stack"))
				problem{Status: http.StatusInternalServerError, Error: "the server failed", RetryAfter: 1}.write(w)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// authenticate says who asks, or why not.
func (s *Server) authenticate(r *http.Request) (auth.Identity, *problem) {
	id, err := s.Verifier.Verify(r.Context(), auth.TokenOf(r))
	var bad *auth.BadTokenError
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, auth.ErrNoToken):
		return id, &problem{Status: http.StatusUnauthorized, Error: err.Error()}
	case errors.As(err, &bad):
		return id, &problem{Status: http.StatusUnauthorized, Error: err.Error(), Hint: "get a new token and try again"}
	default:
		s.log.Error("token could not be verified", zap.Error(err))
		return id, &problem{Status: http.StatusServiceUnavailable, Error: "tokens cannot be verified at the moment", RetryAfter: 1}
	}
}
