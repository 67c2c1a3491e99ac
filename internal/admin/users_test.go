package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/admin/api"
)

// directory knows alice, and fails for bob.
func directory(_ context.Context, user string) (api.User, error) {
	found := api.User{User: user, Node: "a", Scope: api.ScopeDeployment}
	switch user {
	case "alice/1":
		found.Sessions = []api.Session{{
			Node: "b", Address: "b:8080", Since: time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC), Type: "all", Client: "10.0.0.7:5", UserAgent: "<curl>",
		}}
	case "bob":
		return found, errors.New("redis is away")
	}
	return found, nil
}

func TestWhereAUserIsIsAnsweredToWhoShowsTheToken(t *testing.T) {
	s := serve(t, "secret")
	code, _ := get(t, s, "/v1/users/alice%2F1", "")
	assert.Equal(t, http.StatusUnauthorized, code)
	code, body := get(t, s, "/v1/users/alice%2F1", "secret")
	assert.Equal(t, http.StatusOK, code)
	assert.JSONEq(t, `{"user":"alice/1","node":"a","scope":"deployment","sessions":[`+
		`{"node":"b","address":"b:8080","since":"2030-01-02T12:00:00Z","type":"all","client":"10.0.0.7:5","user_agent":"<curl>"}]}`, body)
}

func TestAUserWhoIsConnectedNowhereIsAnAnswer(t *testing.T) {
	code, body := get(t, serve(t, ""), "/v1/users/nobody", "")
	assert.Equal(t, http.StatusOK, code)
	assert.JSONEq(t, `{"user":"nobody","node":"a","scope":"deployment","sessions":[]}`, body)
}

func TestAUserWhoCannotBeLookedUpIsNotSaidToBeAway(t *testing.T) {
	s := serve(t, "")
	code, body := get(t, s, "/v1/users/bob", "")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Contains(t, body, "redis is away")
	assert.Contains(t, body, "directory.redis")
	code, body = get(t, s, "/v1/users/"+strings.Repeat("x", 300), "")
	assert.Equal(t, http.StatusBadRequest, code)
	assert.Contains(t, body, "256")
}
