// Package answer is how the admin listener answers: JSON that people read, too, and
// refusals that say what is wrong and what to do. What is answered is decided by
// those who use it.
package answer

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Problem is how a request is refused. It is an error, so that those who are asked can
// say how their failure is answered.
type Problem struct { //nolint:errname // it is what is answered, and RFC 9457 calls it so
	Status int    `json:"-"`
	Text   string `json:"error"`
	Hint   string `json:"hint"`
	// RetryAfter, rounded up to seconds; 0: trying again does not help by itself.
	RetryAfter time.Duration `json:"-"`
	// Allow lists the methods that are allowed, of a 405.
	Allow string `json:"-"`
}

func (p *Problem) Error() string {
	if p.Hint == "" {
		return p.Text
	}
	return p.Text + ": " + p.Hint
}

// Write answers with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if p.Allow != "" {
		w.Header().Set("Allow", p.Allow)
	}
	if p.RetryAfter > 0 {
		seconds := (p.RetryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	JSON(w, p.Status, p)
}

// JSON answers with a value.
func JSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // it is read by people
	_ = encoder.Encode(body)     // a client that is gone has no use for it
}
