package listen

import (
	"net/http"
	"time"
)

// BodiesWithin bounds how long a request may take to bring its body, from when its
// headers are there. The library reads what is left of a body before it answers, whatever
// the answer is, and would wait for ever. A handler that takes a body sets a time of its
// own.
func BodiesWithin(patience time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience))
		}
		next.ServeHTTP(w, r)
	})
}
