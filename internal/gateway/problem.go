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
	// RetryAfter in seconds; 0: trying again does not help by itself.
	RetryAfter int `json:"-"`
}

func (p problem) write(w http.ResponseWriter) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	answer(w, p.Status, p)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone has no use for it
}
