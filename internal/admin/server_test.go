package admin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"pushgate/internal/admin"
	"pushgate/internal/admin/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// readTokenOf: where there is a token, there is one to look only.
func readTokenOf(token string) string {
	if token == "" {
		return ""
	}
	return "look"
}

func serve(t *testing.T, token string, checks ...admin.Check) *admin.Server {
	t.Helper()
	return serveWith(t, token, nil, checks...)
}

func serveWith(t *testing.T, token string, details []admin.Detail, checks ...admin.Check) *admin.Server {
	t.Helper()
	s, err := admin.New(t.Context(), admin.Params{
		Config: admin.Config{Listen: "127.0.0.1:0", Token: token, ReadToken: readTokenOf(token)}, Checks: checks,
		Gatherer: prometheus.NewRegistry(), API: api.Params{Users: directory}, Logger: zap.NewNop(),
		Console: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the console") }),
		Details: details,
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	return s
}

func get(t *testing.T, s *admin.Server, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+path, http.NoBody)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func TestReadinessNamesEachCheckAndWhyItFails(t *testing.T) {
	well := admin.Check{Name: "kafka", Ready: func() error { return nil }}
	ill := admin.Check{Name: "delivery", Ready: func() error { return errors.New("partition 3 is not prepared") }}
	code, body := get(t, serve(t, "", well), "/readyz", "")
	assert.Equal(t, http.StatusOK, code)
	assert.JSONEq(t, `{"ready":true,"checks":{"kafka":"ok"}}`, body)

	code, body = get(t, serve(t, "", well, ill), "/readyz", "")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.JSONEq(t, `{"ready":false,"checks":{"kafka":"ok","delivery":"partition 3 is not prepared"}}`, body)
}

func TestHealthIsFreeAndTheRestAsksForTheToken(t *testing.T) {
	s := serve(t, "secret")
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 401, "/debug/pprof/": 401, "/v1/nothing": 401, "/v1": 401, "/": 200} {
		code, _ := get(t, s, path, "")
		assert.Equal(t, want, code, path)
	}
	for path, want := range map[string]int{"/metrics": 200, "/debug/pprof/": 200, "/v1/nothing": 404, "/v1": 404, "/v1/openapi.yaml": 200} {
		code, _ := get(t, s, path, "secret")
		assert.Equal(t, want, code, path)
	}
	for path, want := range map[string]int{"/metrics": 200, "/debug/pprof/": 403, "/v1/session": 200} {
		code, _ := get(t, s, path, "look")
		assert.Equal(t, want, code, path)
	}
	code, _ := get(t, s, "/metrics", "wrong")
	assert.Equal(t, http.StatusUnauthorized, code)
}

func TestAPortInUseSaysWhatToDo(t *testing.T) {
	s := serve(t, "")
	_, err := admin.New(t.Context(), admin.Params{Config: admin.Config{Listen: s.Addr()}, Logger: zap.NewNop(), Gatherer: prometheus.NewRegistry()})
	require.ErrorContains(t, err, "set admin.listen")
}

func TestATokenIsRequiredOffLoopback(t *testing.T) {
	for listen, ok := range map[string]bool{"127.0.0.1:8081": true, "localhost:8081": true, "[::1]:1": true, "0.0.0.0:8081": false, ":8081": false, "nonsense": false} {
		err := admin.Config{Listen: listen}.Validate()
		assert.Equal(t, ok, err == nil, "%s: %v", listen, err)
	}
	assert.NoError(t, admin.Config{Listen: ":8081", Token: "x", ReadToken: "y"}.Validate())
	assert.ErrorContains(t, admin.Config{Listen: "127.0.0.1:1", ReadToken: "y"}.Validate(), "set admin.token")
	assert.ErrorContains(t, admin.Config{Listen: ":8081", Token: "x", ReadToken: "x"}.Validate(), "set another")
}

func TestDetailsAreShownAndDoNotMakeANodeUnready(t *testing.T) {
	s := serveWith(t, "", []admin.Detail{{Name: "canary", Text: func() string { return "lost 3 of 3" }}})
	code, body := get(t, s, "/readyz", "")
	assert.Equal(t, http.StatusOK, code)
	assert.JSONEq(t, `{"ready":true,"checks":{},"details":{"canary":"lost 3 of 3"}}`, body)
}

func TestTheConsoleIsFramedByNobodyAndLoadsNothingFromElsewhere(t *testing.T) {
	s := serve(t, "secret")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+"/", http.NoBody)
	require.NoError(t, err)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	for name, part := range map[string]string{
		"Content-Security-Policy": "default-src 'self'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		assert.Contains(t, res.Header.Get(name), part)
	}
	assert.NotContains(t, res.Header.Get("Content-Security-Policy"), "unsafe-inline")
	assert.Empty(t, res.Cookies())
}
