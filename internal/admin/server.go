// Package admin is the listener for operators: is the process alive, may it take
// traffic, how is it doing. What is asked is answered by those who know; this
// package only serves it.
package admin

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"pushgate/internal/listen"
)

// Config of the admin listener.
type Config struct {
	Listen string `mapstructure:"listen" doc:"Address of health checks, metrics and the admin API."`
	Token  string `mapstructure:"token" secret:"true" doc:"Secret that metrics, profiles and the admin API ask for (Authorization: Bearer). Required off loopback; health checks never ask."`
}

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8081"} }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("admin.listen is %q: write it as host:port", c.Listen)
	}
	if c.Token == "" && !listen.Loopback(c.Listen) {
		return fmt.Errorf("admin.token is empty, but admin.listen (%s) can be reached from other machines: set a token, or listen on 127.0.0.1", c.Listen)
	}
	return nil
}

// Check is one condition of readiness.
type Check struct {
	Name string
	// Ready returns why not, nil if it is. It must not block.
	Ready func() error
}

// Params of a Server.
type Params struct {
	Config   Config
	Checks   []Check
	Gatherer prometheus.Gatherer
	// Users finds where a user is connected. It blocks for some round trips at most,
	// and is safe for concurrent use.
	Users  func(ctx context.Context, user string) (User, error)
	Logger *zap.Logger
}

// Server is the admin listener. It listens from New on, so that health checks
// are answered while the node is still starting.
type Server struct {
	http     *http.Server
	listener *listen.Listener
	checks   []Check
	users    func(ctx context.Context, user string) (User, error)
	log      *zap.Logger
}

// New binds the listener.
func New(ctx context.Context, p Params) (*Server, error) {
	listener, err := listen.Bind(ctx, "admin listener", "admin.listen", p.Config.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: listener, checks: p.Checks, users: p.Users, log: p.Logger.Named("admin")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.readyz)
	guarded := http.NewServeMux()
	guarded.Handle("GET /metrics", promhttp.HandlerFor(p.Gatherer, promhttp.HandlerOpts{}))
	guarded.HandleFunc("GET /v1/users/{user}", s.user)
	guarded.HandleFunc("GET /debug/pprof/", pprof.Index)
	guarded.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	guarded.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	guarded.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	guarded.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("/", requireToken(p.Config.Token, guarded))
	const headerTimeout = 5 * time.Second
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	return s, nil
}

// Addr returns where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops listening; for a server that was never run.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends and the requests under way are answered, or two
// seconds after.
func (s *Server) Run(ctx context.Context) error { return s.listener.Serve(ctx, s.http) }

// readiness is the answer of /readyz.
type readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"` // "ok", or why not
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := readiness{Ready: true, Checks: make(map[string]string, len(s.checks))}
	for _, c := range s.checks {
		answer.Checks[c.Name] = "ok"
		if err := c.Ready(); err != nil {
			answer.Ready = false
			answer.Checks[c.Name] = err.Error()
		}
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	s.answer(w, status, answer)
}

// requireToken lets requests through that carry the token; with an empty token,
// all.
func requireToken(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if token != "" && subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "admin.token is needed: send it as Authorization: Bearer", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
