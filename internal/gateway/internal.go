package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/listen"
	"pushgate/internal/push"
)

// Carrier delivers what other nodes and services bring to this one. Safe for
// concurrent use.
type Carrier interface {
	// Ready returns why nothing can be brought at the moment, nil if it can. It does
	// not block.
	Ready() error
	// Carry delivers what a custodian brings and returns the answer, soon: it does not
	// wait for acknowledgements. The carriage is not looked at afterwards. An error
	// means that nothing was delivered, and can be at another time.
	Carry(ctx context.Context, c *push.Carriage) (answer push.Receipt, err error)
	// Push delivers one message and blocks until it is delivered or has failed, or ctx
	// ends. Here is false when its user has no session that takes it. A zero m.Time
	// means that its sender has given none.
	Push(ctx context.Context, m *push.Message) (status push.Status, reason push.Reason, here bool)
}

// Internal is how other nodes and services reach this one.
type Internal struct {
	// Listen is the address of a listener of their own; empty: they use the gateway
	// listener.
	Listen string
	// Token is what they must show.
	Token string
	// TrustLoopback serves what comes in on a loopback address where there is neither
	// a token nor TLS. Not where clients have to show tokens: a proxy on this machine
	// may bring anybody's requests, and need not say so.
	TrustLoopback bool
	// TLS of that listener, nil for none. Where it asks for certificates, these stand
	// for the token.
	TLS *tls.Config
}

// mutual says whether callers show certificates.
func (i Internal) mutual() bool {
	return i.TLS != nil && i.TLS.ClientAuth == tls.RequireAndVerifyClientCert && i.TLS.ClientCAs != nil
}

func bindInternal(ctx context.Context, i Internal) (*listen.Listener, error) {
	if i.Listen == "" {
		if i.TLS != nil {
			return nil, errors.New("internal.tls is set, but internal.listen is empty: set the address to encrypt")
		}
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	l, err := listen.Bind(ctx, "internal listener", "internal.listen", i.Listen)
	if err == nil && i.TLS != nil {
		l.Listener = tls.NewListener(l.Listener, i.TLS)
	}
	return l, err
}

// internal guards what only other nodes and services may do.
func (s *Server) internal(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if refusal := s.mayPush(r); refusal != nil {
			s.logRefusal(r, refusal)
			refusal.write(w)
			return
		}
		if err := s.Carrier.Ready(); err != nil {
			problem{Status: http.StatusServiceUnavailable, Error: "not ready: " + err.Error(), RetryAfter: 1}.write(w)
			return
		}
		serve(w, r)
	}
}

// logRefusal tells of callers that are refused, not of each: one whose settings are not
// this node's comes again and again.
func (s *Server) logRefusal(r *http.Request, refusal *problem) {
	const pause = 10 * time.Second
	now, last := time.Now().UnixNano(), s.refused.Load()
	if now-last < int64(pause) || !s.refused.CompareAndSwap(last, now) {
		return
	}
	s.log.Warn("a call of this node is refused; if it is another node's, internal.token or the certificates of internal.tls are not the same on both",
		zap.String("from", r.RemoteAddr), zap.String("error", refusal.Error))
}

// mayPush says why not.
func (s *Server) mayPush(r *http.Request) *problem {
	if r.Header.Get("Origin") != "" {
		return &problem{Status: http.StatusForbidden, Error: "browsers may not push", Hint: "send to /v1/users/{userId}/messages"}
	}
	token := bearerOf(r)
	switch {
	case s.Internal.mutual() && r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
		return nil
	case s.Internal.Token == "":
		if s.Internal.TrustLoopback && reachedLoopback(r) && !forwarded(r) {
			return nil
		}
		return &problem{Status: http.StatusForbidden, Error: "nobody may push here, as the node has no internal.token", Hint: "set internal.token on all nodes"}
	case token == "":
		return &problem{Status: http.StatusUnauthorized, Error: "no token", Hint: "send internal.token as Authorization: Bearer"}
	case !equal(token, s.Internal.Token):
		return &problem{Status: http.StatusUnauthorized, Error: "the token is not internal.token of this node", Hint: "set the same one on all nodes"}
	}
	return nil
}

// bearerOf returns the token of the Authorization header. Elsewhere it would stand in
// access logs.
func bearerOf(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// equal compares secrets in a time that tells nothing of them, their length included.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// reachedLoopback says whether the request came in on a loopback address.
func reachedLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && listen.Loopback(addr.String())
}

// forwarded says whether a proxy on this machine has brought the request from
// somewhere else.
func forwarded(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Real-Ip"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

// internalRoutes adds what other nodes and services use.
func (s *Server) internalRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /push", s.internal(s.carry))
	mux.HandleFunc("POST /push/{user}", s.internal(s.push))
	for _, path := range []string{"/push", "/push/{user}"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			problem{Status: http.StatusMethodNotAllowed, Error: "messages are posted here", Hint: "use POST", Allow: http.MethodPost}.write(w)
		})
	}
}
