package api

import (
	"net/http"
	"time"

	"pushgate/internal/admin/answer"
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

// user answers GET /v1/users/{user}. A user who is connected nowhere is an answer.
func (a *API) user(c call) (reply, error) {
	user := c.PathValue("user")
	if err := push.CheckUser(user); err != nil {
		return reply{}, badRequest(err.Error(), "a user id is 1 to 256 bytes of UTF-8")
	}
	found, err := a.p.Users(c.Context(), user)
	if err != nil {
		return reply{}, &answer.Problem{
			Status: http.StatusServiceUnavailable, Text: "where the user is cannot be found out: " + err.Error(),
			Hint: "look at directory.redis, and at the check directory on /readyz", RetryAfter: time.Second,
		}
	}
	if found.Sessions == nil {
		found.Sessions = []Session{}
	}
	return ok(found)
}
