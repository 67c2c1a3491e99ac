package pushgatejs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"pushgate/internal/freeport"
)

// patience bounds every wait for something that takes no time of its own.
const patience = 20 * time.Second

// program builds the program under test, once for all tests that want it.
type program struct {
	dir   string
	once  sync.Once
	path  string
	error error
}

var pushgate program

// binaryVariable names the program to test, instead of one built from the tree.
const binaryVariable = "PUSHGATE_E2E_BINARY"

func TestMain(m *testing.M) { os.Exit(testMain(m)) } //nolint:forbidigo // it is the main of the tests

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pushgatejs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	pushgate.dir = dir
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

func (p *program) build(t *testing.T) string {
	t.Helper()
	p.once.Do(func() {
		if p.path = os.Getenv(binaryVariable); p.path != "" {
			return
		}
		p.path = filepath.Join(p.dir, "pushgate")
		out, err := exec.CommandContext(context.Background(), "go", "build", "-o", p.path, "pushgate/cmd/pushgate").CombinedOutput()
		if err != nil {
			p.error = fmt.Errorf("building the program: %w\n%s", err, out)
		}
	})
	require.NoError(t, p.error)
	return p.path
}

// process is a running program. Its end is that of the test's, at the latest.
type process struct {
	cmd   *exec.Cmd
	said  *said
	ended chan struct{}
}

type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func run(t *testing.T, env map[string]string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), said: &said{}, ended: make(chan struct{})}
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	for k, v := range env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	p.cmd.SysProcAttr = dieWithParent()
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
		if t.Failed() {
			t.Logf("--- %s %v said:\n%s", filepath.Base(name), args, p.said.String())
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.ended:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

// end signals and waits until the process is gone.
func (p *process) end(t *testing.T, s syscall.Signal) {
	t.Helper()
	p.signal(s)
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.Fail(t, "the process does not end")
	}
}

const secret = "0123456789abcdef0123456789abcdef"

// platform is `pushgate dev`, for the broker and the custodian, and to send through. The
// gateways that devices connect to are processes of their own, to be killed.
type platform struct {
	t               *testing.T
	binary          string
	broker, gateway string
	producer        string // a token
	client          *http.Client
}

func startPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t, binary: pushgate.build(t), broker: freeport.Address(t), gateway: freeport.Address(t), client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(p.client.CloseIdleConnections)
	admin := freeport.Address(t)
	run(t, p.env(nil), p.binary, "dev", "--data-dir", t.TempDir(), "--kafka-listen", p.broker, "--gateway-listen", p.gateway, "--admin-listen", admin)
	p.ready(admin)
	p.producer = p.token("shop", time.Hour, "--scope", "push")
	return p
}

func (p *platform) env(more map[string]string) map[string]string {
	env := map[string]string{
		"PUSHGATE_AUTH_MODE":             "jwt",
		"PUSHGATE_AUTH_JWT_HMAC_SECRET":  secret,
		"PUSHGATE_AUTH_JWT_LEEWAY":       "0s",
		"PUSHGATE_SESSION_ACK_TIMEOUT":   "2s",
		"PUSHGATE_RETRY_BACKOFF_INITIAL": "100ms",
		"PUSHGATE_OUTCOMES_ENABLED":      "true",
	}
	maps.Copy(env, more)
	return env
}

func (p *platform) ready(admin string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		status, _, err := p.get("http://" + admin + "/readyz")
		return err == nil && status == http.StatusOK
	}, patience, 50*time.Millisecond, "not ready")
}

func (p *platform) get(url string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	return p.do(r)
}

func (p *platform) do(r *http.Request) (status int, body string, err error) {
	w, err := p.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = w.Body.Close() }()
	content, err := io.ReadAll(w.Body)
	return w.StatusCode, string(content), err
}

// token is what `pushgate token` prints.
func (p *platform) token(user string, ttl time.Duration, more ...string) string {
	cmd := exec.Command(p.binary, append([]string{"token", "--user", user, "--ttl", ttl.String()}, more...)...)
	cmd.Env = []string{"PUSHGATE_AUTH_JWT_HMAC_SECRET=" + secret}
	out, err := cmd.Output()
	if err != nil {
		return "none: " + err.Error()
	}
	return strings.TrimSpace(string(out))
}

// send produces messages with these ids; the payload is the id.
func (p *platform) send(user string, ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		p.sendPayload(user, id, "application/json", fmt.Sprintf("%q", id))
	}
}

func (p *platform) sendPayload(user, id, contentType, payload string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.gateway+"/v1/users/"+user+"/messages", strings.NewReader(payload))
	require.NoError(p.t, err)
	r.Header.Set("Authorization", "Bearer "+p.producer)
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("ce-id", id)
	status, body, err := p.do(r)
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusAccepted, status, body)
}

// tokens serves a user's tokens, of which each lasts for ttl, and counts them.
func (p *platform) tokens(t *testing.T, user string, ttl time.Duration) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = io.WriteString(w, p.token(user, ttl))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// gateway is a node that devices connect to.
type gateway struct {
	*process
	t        *testing.T
	platform *platform
	address  string
	admin    string
	env      map[string]string
}

func (p *platform) startGateway(t *testing.T, env map[string]string) *gateway {
	t.Helper()
	g := &gateway{t: t, platform: p, address: freeport.Address(t), admin: freeport.Address(t)}
	g.env = p.env(map[string]string{
		"PUSHGATE_NODE_ID":                 strings.ReplaceAll(g.address, ":", "-"),
		"PUSHGATE_NODE_ROLES":              "gateway",
		"PUSHGATE_KAFKA_BROKERS":           p.broker,
		"PUSHGATE_GATEWAY_LISTEN":          g.address,
		"PUSHGATE_GATEWAY_ALLOWED_ORIGINS": "*",
		"PUSHGATE_ADMIN_LISTEN":            g.admin,
		"PUSHGATE_DRAIN_TIMEOUT":           "500ms",
	})
	maps.Copy(g.env, env)
	g.start()
	return g
}

func (g *gateway) start() {
	g.t.Helper()
	g.process = run(g.t, g.env, g.platform.binary, "serve")
	g.platform.ready(g.admin)
}
