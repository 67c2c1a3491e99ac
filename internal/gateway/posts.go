package gateway

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of a message that was posted: labels of a metric.
const (
	postAccepted     = "accepted"
	postBadRequest   = "bad_request"
	postUnauthorized = "unauthorized"
	postForbidden    = "forbidden"
	postTooLarge     = "too_large"
	postUnavailable  = "unavailable"
)

func newPosts() *prometheus.CounterVec {
	posts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pushgate_posts_total", Help: "Messages posted over HTTP, by result.",
	}, []string{"result"})
	for _, result := range []string{postAccepted, postBadRequest, postUnauthorized, postForbidden, postTooLarge, postUnavailable} {
		posts.WithLabelValues(result)
	}
	return posts
}

// sessionsLimit is what pushgate_sessions is to be compared with.
func sessionsLimit(limit int64) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "pushgate_sessions_limit", Help: "Sessions this gateway takes: gateway.max_connections, or fewer where the process may not open as many files."})
	g.Set(float64(limit))
	return g
}

func postResult(status int) string {
	switch status {
	case http.StatusAccepted:
		return postAccepted
	case http.StatusUnauthorized:
		return postUnauthorized
	case http.StatusForbidden:
		return postForbidden
	case http.StatusRequestEntityTooLarge:
		return postTooLarge
	case http.StatusServiceUnavailable:
		return postUnavailable
	default:
		return postBadRequest
	}
}

// counted returns a writer that notes how a post is answered, and what counts it
// when it has been.
func (s *Server) counted(w http.ResponseWriter) (http.ResponseWriter, func()) {
	c := &statusWriter{ResponseWriter: w}
	return c, func() {
		if c.status != 0 { // a handler that panicked has answered nothing
			s.posts.WithLabelValues(postResult(c.status)).Inc()
		}
	}
}

// statusWriter notes the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController, which sets deadlines.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
