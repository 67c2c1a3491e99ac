package gateway

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/auth"
	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// Results of a request to open a session: labels of a metric.
const (
	resultOpened      = "opened"
	resultBadRequest  = "bad_request"
	resultUnauthentic = "unauthorized"
	resultForbidden   = "forbidden"
	resultOverLimit   = "over_limit"
	resultNotReady    = "not_ready"
)

func upgradeResults() []string {
	return []string{resultOpened, resultBadRequest, resultUnauthentic, resultForbidden, resultOverLimit, resultNotReady}
}

// resultOf names the result of a refusal.
func resultOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return resultUnauthentic
	case http.StatusForbidden:
		return resultForbidden
	case http.StatusTooManyRequests:
		return resultOverLimit
	case http.StatusServiceUnavailable:
		return resultNotReady
	default:
		return resultBadRequest
	}
}

// connect opens a session: GET /websocket/{businessType}/{userId}.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) { s.connectAs(w, r, s.identify) }

// ConnectOperator opens a session of the user in the path (values user and type) for
// somebody else, whom the caller has authenticated and whose origin it has checked. All
// else is as for the user's own devices: the limits of this node, and what is written
// and acknowledged counts as delivered.
func (s *Server) ConnectOperator(w http.ResponseWriter, r *http.Request) {
	s.connectAs(w, r, func(*http.Request, string) (auth.Identity, *problem) { return auth.Identity{}, nil })
}

// identity says as whom a request opens a session of a user, or why it may not.
type identity func(r *http.Request, user string) (auth.Identity, *problem)

func (s *Server) connectAs(w http.ResponseWriter, r *http.Request, who identity) {
	user, kind := r.PathValue("user"), r.PathValue("type")
	id, refusal := s.admit(r, user, kind, who)
	if refusal != nil {
		s.upgrades.WithLabelValues(resultOf(refusal.Status)).Inc()
		s.log.Debug("session refused", zap.String("user", user), zap.Int("status", refusal.Status), zap.String("error", refusal.Error))
		refusal.write(w)
		return
	}
	conn, protocol, err := s.Sockets.Upgrade(w, r, ws.UpgradeParams{
		Subprotocols: session.SubprotocolNames(),
		// Browsers drop a connection that answers none of their offers; where the
		// token is all that was offered, it is answered.
		Otherwise: func(offered []string) string {
			if slices.ContainsFunc(offered, func(name string) bool { return !auth.CarriesToken(name) }) {
				return ""
			}
			return offered[0]
		},
	})
	if err != nil {
		s.open.Add(-1)
		s.upgrades.WithLabelValues(resultBadRequest).Inc()
		s.log.Debug("upgrade failed", zap.String("user", user), zap.Error(err))
		return
	}
	opened := s.Sessions.New(session.Params{
		User: user, Type: kind, Subprotocol: session.SubprotocolOf(protocol), Transport: conn, Window: conn.Window(),
		Expires: id.Expires, UserAgent: r.UserAgent(), OnEnd: s.onEnd,
	})
	// Added first, started then: what waits for the user may be written as soon as
	// it comes, and the end of the connection finds the session in the hub.
	if err := s.Hub.Add(opened); err != nil {
		opened.Close(session.CloseGoElsewhere)
	}
	s.upgrades.WithLabelValues(resultOpened).Inc()
	conn.Start(opened)
}

// ended forgets a session.
func (s *Server) ended(e *session.Session) {
	s.Hub.Remove(e)
	s.open.Add(-1)
}

// admit checks everything that can be checked before the upgrade. What it admits
// is counted as open from then on: were it counted when it is, all that ask at
// the same moment would find the last place free.
func (s *Server) admit(r *http.Request, user, kind string, who identity) (auth.Identity, *problem) {
	if err := ws.CheckRequest(r); err != nil {
		return auth.Identity{}, handshakeProblem(err)
	}
	if err := push.CheckUser(user); err != nil {
		return auth.Identity{}, &problem{Status: http.StatusBadRequest, Error: err.Error()}
	}
	if err := push.CheckType(kind); err != nil {
		return auth.Identity{}, &problem{Status: http.StatusBadRequest, Error: err.Error()}
	}
	if err := s.Ready(); err != nil {
		return auth.Identity{}, &problem{Status: http.StatusServiceUnavailable, Error: "not ready: " + err.Error(), Hint: "connect to another node, or again in a moment", RetryAfter: spread(1)}
	}
	// In a storm most are refused: that is known before a token is looked at, which costs
	// more than all else here. Only who is admitted uses anything up, so that those
	// without a token take nobody's place.
	switch {
	case s.open.Load() >= s.room:
		return auth.Identity{}, full()
	case s.rate.spent(time.Now()):
		return auth.Identity{}, tooFast()
	}
	id, refusal := who(r, user)
	switch {
	case refusal != nil:
		return id, refusal
	case s.open.Add(1) > s.room:
		s.open.Add(-1)
		return id, full()
	case !s.rate.take(time.Now()):
		s.open.Add(-1)
		return id, tooFast()
	}
	return id, nil
}

func full() *problem {
	const rest = 5 // seconds: places become free one by one
	return &problem{Status: http.StatusTooManyRequests, Error: "this node has all the sessions it takes", Hint: "connect to another node", RetryAfter: spread(rest)}
}

func tooFast() *problem {
	return &problem{Status: http.StatusTooManyRequests, Error: "too many sessions are opened at the moment", RetryAfter: spread(1)}
}

// spread is when to come back, in seconds: at least so many and at most three times as
// many, so that those refused together do not come together.
func spread(least int) int {
	return least + rand.IntN(2*least+1) //nolint:gosec // spreads load, guards nothing
}

// identify takes the word of the user's token, and of the browser for its origin.
func (s *Server) identify(r *http.Request, user string) (auth.Identity, *problem) {
	if !s.Config.originAllowed(r) {
		return auth.Identity{}, &problem{Status: http.StatusForbidden, Error: "this origin may not connect", Hint: "add it to gateway.allowed_origins"}
	}
	id, refusal := s.authenticate(r)
	if refusal == nil && !id.Is(user) {
		refusal = &problem{Status: http.StatusForbidden, Error: "the token is another user's"}
	}
	return id, refusal
}

// rate is a token bucket that holds one second's worth. Safe for concurrent use.
type rate struct {
	limit int // a second; 0: none

	mu   sync.Mutex
	left float64
	at   time.Time
}

func (r *rate) take(now time.Time) bool {
	if r.limit == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fill(now)
	if r.left < 1 {
		return false
	}
	r.left--
	return true
}

// spent says whether nothing could be taken now.
func (r *rate) spent(now time.Time) bool {
	if r.limit == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fill(now)
	return r.left < 1
}

// fill adds what has come since it was called last. The caller holds mu.
func (r *rate) fill(now time.Time) {
	if r.at.IsZero() {
		r.left = float64(r.limit)
	} else {
		r.left = min(float64(r.limit), r.left+now.Sub(r.at).Seconds()*float64(r.limit))
	}
	r.at = now
}
