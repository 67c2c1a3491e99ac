package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/gateway"
	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// operators serves what others authenticate, as the admin listener does.
func operators(t *testing.T, r *rig) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/websocket/{type}/{user}", r.server.ConnectOperator)
	mux.Handle("POST /v1/users/{user}/messages", gateway.NewProducer(gateway.ProducerParams{
		Config: r.config, Limits: push.Limits{MaxBytes: maxBytes}, Publisher: r, Logger: zaptest.NewLogger(t),
	}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestAnOperatorOpensASessionOfAUserWithoutTheUsersToken(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.MaxConnections = 1; r.config.AllowedOrigins = []string{"https://shop.example"} })
	address := operators(t, r)
	dial := func(path string) (*ws.ClientConn, error) {
		// The origin is the console's: whoever authenticates the operator has checked it.
		return ws.Dial(t.Context(), "ws://"+address+path, ws.DialParams{
			Header: http.Header{"Origin": {"http://" + address}}, Subprotocols: []string{session.PushgateName, "bearer.secret"},
		})
	}
	_, err := r.dial("/websocket/order/42", ws.DialParams{})
	require.ErrorContains(t, err, "401", "others show the user's token")
	c, err := dial("/v1/websocket/order/42")
	require.NoError(t, err)
	assert.Equal(t, push.Binding{User: "42", Type: "order"}, <-r.bound)
	_, err = dial("/v1/websocket/order/43")
	require.ErrorContains(t, err, "429", "the limit of the node is for operators, too")
	require.NoError(t, c.Close(session.CloseNormal, ""))
}

func TestAMessageOfAnOperatorIsProducedAsAnyOther(t *testing.T) {
	r := newRig(t)
	address := operators(t, r)
	req := r.request(http.MethodPost, "", strings.NewReader(`{"n":1}`))
	req.URL.Host, req.URL.Path = address, "/v1/users/42/messages"
	req.Header.Set("ce-id", "m-1")
	a := r.do(req)
	assert.Equal(t, http.StatusAccepted, a.status, a.body)
	assert.Equal(t, "m-1", a.decode(t)["id"])
	require.Len(t, r.published(), 1)
	assert.Equal(t, "42", string(r.published()[0].Key))
}
