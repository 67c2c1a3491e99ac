package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"pushgate/internal/auth"
	"pushgate/internal/hub"
	"pushgate/internal/listen"
	"pushgate/internal/push"
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
	// Ready returns why this node may not take sessions, nil if it may.
	Ready      func() error
	Logger     *zap.Logger
	Registerer prometheus.Registerer
}

// Server is the gateway listener.
type Server struct {
	Params
	log      *zap.Logger
	listener *listen.Listener
	http     *http.Server
	upgrades *prometheus.CounterVec
	rate     rate
	open     atomic.Int64 // sessions, those being opened included
}

// New binds the listener; nothing is accepted before Run.
func New(ctx context.Context, p Params) (*Server, error) {
	listener, err := listen.Bind(ctx, "gateway listener", "gateway.listen", p.Config.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Params: p, log: p.Logger.Named("gateway"), listener: listener,
		rate: rate{limit: p.Config.MaxHandshakesPerSecond},
		upgrades: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pushgate_upgrades_total", Help: "Requests to open a session, by result.",
		}, []string{"result"}),
	}
	for _, r := range upgradeResults() {
		s.upgrades.WithLabelValues(r)
	}
	if p.Registerer != nil {
		p.Registerer.MustRegister(s.upgrades)
	}
	const maxHeader = 8 << 10
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: p.Config.ReadHeaderTimeout,
		MaxHeaderBytes:    maxHeader,
		IdleTimeout:       time.Minute,
		ErrorLog:          zap.NewStdLog(s.log),
	}
	return s, nil
}

// Addr returns where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops listening; for a server that was never run.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends and the requests under way are answered, or two
// seconds after. Sessions are not requests: they live on.
func (s *Server) Run(ctx context.Context) error { return s.listener.Serve(ctx, s.http) }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/websocket/{type}/{user}", s.connect)
	mux.HandleFunc("POST /v1/users/{user}/messages", s.produce)
	mux.HandleFunc("/v1/users/{user}/messages", func(w http.ResponseWriter, _ *http.Request) {
		problem{Status: http.StatusMethodNotAllowed, Error: "messages are posted here", Hint: "use POST", Allow: http.MethodPost}.write(w)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem{
			Status: http.StatusNotFound, Error: "there is nothing at this address",
			Hint: "open a WebSocket at /websocket/{businessType}/{userId}, or POST to /v1/users/{userId}/messages",
		}.write(w)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("a request handler failed", zap.Any("panic", p), zap.Stack("stack"))
				problem{Status: http.StatusInternalServerError, Error: "the server failed", RetryAfter: 1}.write(w)
			}
		}()
		mux.ServeHTTP(w, r)
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
