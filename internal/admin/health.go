package admin

import (
	"net/http"

	"pushgate/internal/admin/answer"
)

// Check is one condition of readiness.
type Check struct {
	Name string
	// Ready returns why not, nil if it is. It must not block.
	Ready func() error
}

// Detail is something else worth knowing. It does not make a node unready.
type Detail struct {
	Name string
	// Text must not block.
	Text func() string
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready   bool              `json:"ready"`
	Checks  map[string]string `json:"checks"` // "ok", or why not
	Details map[string]string `json:"details,omitempty"`
}

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	found := readiness{Ready: true, Checks: make(map[string]string, len(s.checks)), Details: make(map[string]string, len(s.details))}
	for _, c := range s.checks {
		found.Checks[c.Name] = "ok"
		if err := c.Ready(); err != nil {
			found.Ready = false
			found.Checks[c.Name] = err.Error()
		}
	}
	for _, d := range s.details {
		found.Details[d.Name] = d.Text()
	}
	status := http.StatusOK
	if !found.Ready {
		status = http.StatusServiceUnavailable
	}
	answer.JSON(w, status, found)
}
