// Package access decides who may do what on the admin listener, and from where. It
// keeps no sessions and sets no cookies: each request shows its token. What there is to
// do is declared by those who ask.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"

	"pushgate/internal/admin/answer"
	"pushgate/internal/listen"
)

// Role is what somebody may do.
type Role uint8

// The roles, each of which may do what those before it may.
const (
	Nobody   Role = iota
	Reader        // sees everything, payloads included, and changes nothing
	Operator      // replays, discards, releases, sends
)

func (r Role) String() string {
	switch r {
	case Reader:
		return "reader"
	case Operator:
		return "operator"
	default:
		return "nobody"
	}
}

// Guard knows the tokens. Its zero value lets everybody on this machine be operator.
type Guard struct {
	// Token makes an operator, ReadToken a reader. Without Token everybody is operator
	// who reaches the listener by a loopback name, and is no page of somebody else.
	Token, ReadToken string
	// Listen is the address of the listener, as configured.
	Listen string
}

// Admit returns the role of who asks, which is at least need, or says why not. It does
// not trust a browser that asks on behalf of a page of another origin: without a token,
// it would be enough to have such a page open on the machine of the node.
func (g Guard) Admit(r *http.Request, need Role) (Role, *answer.Problem) {
	return g.admit(r, need, bearerOf(r))
}

// AdmitSocket is Admit for the WebSocket handshake, in which a browser can show the token
// as subprotocol bearer.<token> only.
func (g Guard) AdmitSocket(r *http.Request, need Role) (Role, *answer.Problem) {
	// A browser says always whose page opens a socket.
	if !originMatches(r) {
		return Nobody, foreign()
	}
	token := bearerOf(r)
	if token == "" {
		token = subprotocolOf(r)
	}
	return g.admit(r, need, token)
}

func (g Guard) admit(r *http.Request, need Role, token string) (Role, *answer.Problem) {
	if g.Token == "" && !g.reachedByName(r) {
		return Nobody, &answer.Problem{
			Status: http.StatusForbidden, Text: "without a token, the admin listener answers to localhost and to the name in admin.listen only",
			Hint: "use that name, or set admin.token",
		}
	}
	// With a token, nobody reads by accident: a page of another origin does not have it.
	if (g.Token == "" || !safe(r.Method)) && !ownPage(r) {
		return Nobody, foreign()
	}
	role := g.roleOf(token)
	switch {
	case role == Nobody && token == "":
		return Nobody, &answer.Problem{Status: http.StatusUnauthorized, Text: "no token", Hint: "send admin.token, or admin.read_token to look only, as Authorization: Bearer"}
	case role == Nobody:
		return Nobody, &answer.Problem{Status: http.StatusUnauthorized, Text: "the token is neither admin.token nor admin.read_token of this node", Hint: "set the same ones on all nodes"}
	case role < need:
		return role, &answer.Problem{Status: http.StatusForbidden, Text: "admin.read_token may look only", Hint: "use admin.token"}
	}
	return role, nil
}

// roleOf compares with both tokens in any case, so that the time tells nothing.
func (g Guard) roleOf(token string) Role {
	if g.Token == "" {
		return Operator
	}
	operator, reader := equal(token, g.Token), equal(token, g.ReadToken)
	switch {
	case operator:
		return Operator
	case reader && g.ReadToken != "":
		return Reader
	default:
		return Nobody
	}
}

// equal compares secrets in a time that tells nothing of them, their length included.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// reachedByName keeps out whoever has its own name lead to this machine (DNS
// rebinding): to the browser, its page is then of the same origin.
func (g Guard) reachedByName(r *http.Request) bool {
	host := hostOf(r.Host)
	configured := hostOf(g.Listen)
	return listen.Loopback(net.JoinHostPort(strings.ToLower(host), "0")) || configured != "" && strings.EqualFold(host, configured)
}

// hostOf leaves out the port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return strings.Trim(address, "[]")
	}
	return host
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead
}

// ownPage says whether a request comes from a page of this listener, or from no page.
// Who types or follows an address (a navigation) only looks.
func ownPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		return originMatches(r)
	default:
		return safe(r.Method) && r.Header.Get("Sec-Fetch-Mode") == "navigate"
	}
}

// originMatches compares the origin a browser names with the host it asks; who is no
// browser names none.
func originMatches(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func foreign() *answer.Problem {
	return &answer.Problem{
		Status: http.StatusForbidden, Text: "the request comes from a page of another origin",
		Hint: "use the console of this listener; a proxy in front of it has to hand the Host header through",
	}
}

// bearerOf returns the token of the Authorization header. In the address it would stand
// in access logs.
func bearerOf(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func subprotocolOf(r *http.Request) string {
	for _, line := range r.Header.Values("Sec-Websocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(name), "bearer."); ok {
				return token
			}
		}
	}
	return ""
}
