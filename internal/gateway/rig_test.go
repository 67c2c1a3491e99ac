package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/auth"
	"pushgate/internal/gateway"
	"pushgate/internal/hub"
	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// patience bounds every wait of a test.
const patience = 10 * time.Second

const maxBytes = 1 << 10

// rig is a gateway on a real socket with a real hub; only Kafka is not there.
type rig struct {
	t        *testing.T
	config   gateway.Config
	auth     auth.Config
	hub      *hub.Hub
	registry *prometheus.Registry
	server   *gateway.Server
	client   *http.Client
	stop     context.CancelFunc
	ended    chan error
	bound    chan push.Binding
	internal gateway.Internal
	// descriptors the process may have; 0: unknown
	descriptors int
	carrier     *carrier // nil: none
	// compressFrom is session.compress_from_bytes.
	compressFrom int

	mu      sync.Mutex
	ready   error
	publish func(context.Context, push.Record) error
	records []push.Record
}

// Publish implements gateway.Publisher.
func (r *rig) Publish(ctx context.Context, rec push.Record) error {
	r.mu.Lock()
	publish := r.publish
	r.records = append(r.records, rec)
	r.mu.Unlock()
	if publish == nil {
		return nil
	}
	return publish(ctx, rec)
}

// deliver hands a message to its user's sessions; false when none takes it.
func (r *rig) deliver(m *push.Message, to push.Reporter) bool {
	sessions := r.hub.Of([]byte(m.User))
	return sessions != nil && sessions.Deliver(m, to)
}

func (r *rig) published() []push.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records
}

func (r *rig) isReady() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready
}

func newRig(t *testing.T, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{
		t: t, config: gateway.DefaultConfig(), auth: auth.DefaultConfig(), registry: prometheus.NewRegistry(),
		client: &http.Client{Transport: &http.Transport{}}, ended: make(chan error, 1), bound: make(chan push.Binding, 100),
	}
	r.config.Listen = "127.0.0.1:0"
	r.auth.Mode, r.auth.JWT.HMACSecret = auth.ModeJWT, "0123456789abcdef0123456789abcdef"
	for _, c := range change {
		c(r)
	}
	require.NoError(t, r.config.Validate())
	log := zaptest.NewLogger(t)
	verifier, err := auth.New(t.Context(), r.auth)
	require.NoError(t, err)
	sessions := session.DefaultConfig()
	sessions.CloseTimeout, sessions.CompressFrom = 100*time.Millisecond, r.compressFrom
	factory, err := session.NewFactory(session.FactoryParams{Config: sessions, Logger: log, Registerer: r.registry})
	require.NoError(t, err)
	sockets, err := ws.NewServer(ws.ServerParams{Limits: sessions.Limits()})
	require.NoError(t, err)
	r.hub, err = hub.New(hub.Params{OnBind: func(s *session.Session) { r.bound <- push.Binding{User: s.User(), Type: s.Type()} }})
	require.NoError(t, err)
	p := gateway.Params{
		Config: r.config, Limits: push.Limits{MaxBytes: maxBytes, DefaultTTL: time.Hour}, Verifier: verifier,
		Sockets: sockets, Sessions: factory, Hub: r.hub, Publisher: r, Ready: r.isReady, Logger: log, Registerer: r.registry,
		Internal: r.internal, Descriptors: r.descriptors,
	}
	if r.carrier != nil {
		p.Carrier = r.carrier
	}
	r.server, err = gateway.New(t.Context(), p)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() {
		r.ended <- r.server.Run(ctx)
		close(r.ended)
	}()
	socketsCtx, stopSockets := context.WithCancel(context.Background())
	socketsEnded := make(chan error, 1)
	go func() { socketsEnded <- sockets.Run(socketsCtx) }()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		stop()
		assert.NoError(t, <-r.ended)
		stopSockets()
		assert.NoError(t, <-socketsEnded)
		verifier.Close()
	})
	return r
}

// token is one of a user.
func (r *rig) token(user string, scopes ...string) string {
	r.t.Helper()
	token, err := auth.Sign(r.auth.JWT, auth.Grant{User: user, Scopes: scopes, TTL: time.Hour})
	require.NoError(r.t, err)
	return token
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// dial opens a session.
func (r *rig) dial(path string, p ws.DialParams) (*ws.ClientConn, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	c, err := ws.Dial(ctx, "ws://"+r.server.Addr()+path, p)
	if err == nil {
		r.t.Cleanup(func() { _ = c.Drop() })
		require.NoError(r.t, c.SetReadDeadline(time.Now().Add(patience)))
	}
	return c, err
}

// connect opens a session of a user, and waits until the hub has it.
func (r *rig) connect(user string) *ws.ClientConn {
	r.t.Helper()
	c, err := r.dial("/websocket/all/"+user, ws.DialParams{Header: bearer(r.token(user)), Subprotocols: []string{session.PushgateName}})
	require.NoError(r.t, err)
	<-r.bound
	return c
}

// answer is what an HTTP request brought.
type answer struct {
	status int
	header http.Header
	body   string
}

// decode takes the body apart.
func (a answer) decode(t *testing.T) map[string]string {
	t.Helper()
	assert.Equal(t, "application/json", a.header.Get("Content-Type"))
	var fields map[string]string
	require.NoError(t, json.Unmarshal([]byte(a.body), &fields), a.body)
	return fields
}

func (r *rig) do(req *http.Request) answer {
	r.t.Helper()
	resp, err := r.client.Do(req)
	require.NoError(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

func (r *rig) request(method, path string, body io.Reader) *http.Request {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.server.Addr()+path, body)
	require.NoError(r.t, err)
	return req
}

// handshake is a good request to open a session of user 42.
func (r *rig) handshake() *http.Request {
	r.t.Helper()
	req := r.request(http.MethodGet, "/websocket/order/42", http.NoBody)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-Websocket-Version", "13")
	req.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	req.Header.Set("Authorization", "Bearer "+r.token("42"))
	return req
}

// message is a good request to send user 42 something.
func (r *rig) message(body string) *http.Request {
	r.t.Helper()
	req := r.request(http.MethodPost, "/v1/users/42/messages", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+r.token("shop", "read", auth.ScopePush))
	return req
}

// result is how often a session was asked for with that result.
func (r *rig) result(label string) int {
	r.t.Helper()
	families, err := r.registry.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "pushgate_upgrades_total" && m.GetLabel()[0].GetValue() == label {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	require.Fail(r.t, "no result "+strconv.Quote(label))
	return 0
}
