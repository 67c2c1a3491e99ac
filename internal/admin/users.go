package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/push"
)

// How far an answer about a user reaches.
const (
	// ScopeDeployment: sessions on all nodes, as the directory knows them.
	ScopeDeployment = "deployment"
	// ScopeNode: sessions on the node that answers, because there is no directory.
	ScopeNode = "node"
)

// User is where a user is connected.
type User struct {
	User string `json:"user"`
	// Node answers; Scope says of which nodes.
	Node     string    `json:"node"`
	Scope    string    `json:"scope"`
	Sessions []Session `json:"sessions"` // the newest first
}

// Session is one connection of a user.
type Session struct {
	Node string `json:"node"`
	// Address is where other nodes reach that node; empty where it is not known.
	Address   string    `json:"address"`
	Since     time.Time `json:"since"`
	Type      string    `json:"type"`
	Client    string    `json:"client"`
	UserAgent string    `json:"user_agent"`
}

// failure is how a request is refused: what is wrong, and what to do.
type failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// user answers GET /v1/users/{userId}. A user who is connected nowhere is an answer.
func (s *Server) user(w http.ResponseWriter, r *http.Request) {
	user := r.PathValue("user")
	if err := push.CheckUser(user); err != nil {
		s.answer(w, http.StatusBadRequest, failure{Error: err.Error()})
		return
	}
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	found, err := s.users(ctx, user)
	if err != nil {
		s.log.Debug("user not found out", zap.String("user", user), zap.Error(err))
		s.answer(w, http.StatusServiceUnavailable, failure{
			Error: "where the user is cannot be found out: " + err.Error(), Hint: "look at directory.redis, and at the check directory on /readyz",
		})
		return
	}
	if found.Sessions == nil {
		found.Sessions = []Session{}
	}
	s.answer(w, http.StatusOK, found)
}

func (s *Server) answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // it is read by people
	if err := encoder.Encode(body); err != nil {
		s.log.Debug("answer not sent", zap.Error(err))
	}
}
