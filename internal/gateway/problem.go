package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// problem is how requests are refused: what is wrong, and what to do.
type problem struct {
	Status int    `json:"-"`
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	// Reason is why a message was not delivered: a name of push.Reason.
	Reason string `json:"reason,omitempty"`
	// RetryAfter in seconds; 0: trying again does not help by itself.
	RetryAfter int `json:"-"`
	// Allow is the method that is allowed, of a 405.
	Allow string `json:"-"`
}

func (p problem) write(w http.ResponseWriter) {
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusUpgradeRequired:
		// RFC 9110, section 15.5.22, and RFC 6455, section 4.4, want them: they say
		// what to upgrade to.
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Version", "13")
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", p.Allow)
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	answer(w, p.Status, p)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // it is read by people
	_ = encoder.Encode(body)     // a client that is gone has no use for it
}
