package admin

import (
	"context"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"pushgate/internal/admin/access"
	"pushgate/internal/admin/answer"
	"pushgate/internal/admin/api"
	"pushgate/internal/listen"
)

// Params of a Server.
type Params struct {
	Config   Config
	Checks   []Check
	Details  []Detail
	Gatherer prometheus.Gatherer
	// API says what /v1 needs; its Guard is made here.
	API api.Params
	// Console serves everything else. It gets no token: it has no secrets.
	Console http.Handler
	Logger  *zap.Logger
}

// Server is the admin listener. It listens from New on, so that health checks
// are answered while the node is still starting.
type Server struct {
	http     *http.Server
	listener *listen.Listener
	checks   []Check
	details  []Detail
}

// New binds the listener.
func New(ctx context.Context, p Params) (*Server, error) {
	listener, err := listen.Bind(ctx, "admin listener", "admin.listen", p.Config.Listen)
	if err != nil {
		return nil, err
	}
	log := p.Logger.Named("admin")
	s := &Server{listener: listener, checks: p.Checks, details: p.Details}
	const (
		headerTimeout = 5 * time.Second
		bodyTime      = 5 * time.Second
		maxHeader     = 16 << 10
	)
	s.http = &http.Server{
		Handler: listen.BodiesWithin(bodyTime, s.routes(p, log)), ReadHeaderTimeout: headerTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: maxHeader, ErrorLog: zap.NewStdLog(log),
	}
	return s, nil
}

// Addr returns where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops listening; for a server that was never run.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends and the requests under way are answered, or two
// seconds after.
func (s *Server) Run(ctx context.Context) error { return s.listener.Serve(ctx, s.http) }

func (s *Server) routes(p Params, log *zap.Logger) http.Handler {
	guard := access.Guard{Token: p.Config.Token, ReadToken: p.Config.ReadToken, Listen: p.Config.Listen}
	p.API.Guard, p.API.Logger = guard, log
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", guarded(guard, access.Reader, promhttp.HandlerFor(p.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true})))
	// A profile costs, and shows what the process was started with.
	profiles := http.NewServeMux()
	profiles.HandleFunc("GET /debug/pprof/", pprof.Index)
	profiles.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	profiles.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	profiles.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	profiles.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/", guarded(guard, access.Operator, profiles))
	v1 := api.New(p.API)
	mux.Handle("/v1/", v1)
	mux.Handle("/v1", v1)
	mux.Handle("/", framed(p.Console))
	return mux
}

// guarded lets requests through that may.
func guarded(g access.Guard, need access.Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, refusal := g.Admit(r, need); refusal != nil {
			refusal.Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// framed keeps the console from being shown inside another page, and from loading
// anything that is not of this listener: an operator's token is in its memory.
func framed(console http.Handler) http.Handler {
	if console == nil {
		console = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			(&answer.Problem{Status: http.StatusNotFound, Text: "there is nothing at this address", Hint: "GET /v1/openapi.yaml names what there is"}).Write(w)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		console.ServeHTTP(w, r)
	})
}
