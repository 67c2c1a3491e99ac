package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pushgate/internal/freeport"
)

// binary is the program under test, built once by TestMain.
var binary string //nolint:gochecknoglobals // set once before any test runs

// binaryVariable names the program to test, instead of one built from the tree.
const binaryVariable = "PUSHGATE_E2E_BINARY"

// keepVariable names a directory where all that processes say is kept.
const keepVariable = "PUSHGATE_E2E_KEEP"

// build builds the program into dir.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "pushgate")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "pushgate/cmd/pushgate")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return path, nil
}

// process is one running program.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  *output

	mu    sync.Mutex
	ended chan struct{}
	err   error
}

// output keeps what a process says, for the case that its test fails.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// run starts a program with an environment on top of nothing but what it needs.
func run(t *testing.T, name string, env map[string]string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, out: &output{}, ended: make(chan struct{})}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	for k, v := range env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	var out io.Writer = p.out
	if dir := os.Getenv(keepVariable); dir != "" {
		f, err := os.CreateTemp(dir, strings.Map(fileName, name)+"-*.log")
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		out = io.MultiWriter(p.out, f)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, p.cmd.Start())
	go func() {
		err := p.cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("--- %s said:\n%s", name, tail(p.out.String(), 12_000))
		}
	})
	return p
}

// fileName replaces what a file's name must not hold.
func fileName(r rune) rune {
	if r == '/' || r == ' ' || r == '*' {
		return '_'
	}
	return r
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + s[len(s)-n:]
}

func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.ended:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

// kill is SIGKILL: the process cannot say goodbye. It returns when it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// exit waits for the process to end by itself and returns its exit code.
func (p *process) exit(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		require.Failf(p.t, "still running", "%s has not ended within %s", p.name, within)
	}
	return p.cmd.ProcessState.ExitCode()
}

// node is one running `pushgate serve`.
type node struct {
	*process
	id             string
	gateway, admin string
	// called says that it is a gateway that does not read, once all custodians call.
	called bool
}

// node starts a node of the deployment and waits until it is ready; where it is to be
// called, also until it is.
func (d *deployment) node(id string, change ...func(env map[string]string)) *node {
	d.t.Helper()
	n := d.start(id, change...)
	n.ready(30 * time.Second)
	if n.called {
		require.True(d.t, poll(20*time.Second, n.isCalled), "%s still reads", id)
	}
	return n
}

func (n *node) isCalled() bool { return n.metric("pushgate_routing_called") == 1 }

// start starts a node of the deployment and does not wait for it.
func (d *deployment) start(id string, change ...func(env map[string]string)) *node {
	d.t.Helper()
	gateway, admin := freeport.Address(d.t), freeport.Address(d.t)
	env := map[string]string{
		"PUSHGATE_NODE_ID":                    d.prefix + id,
		"PUSHGATE_GATEWAY_LISTEN":             gateway,
		"PUSHGATE_ADMIN_LISTEN":               admin,
		"PUSHGATE_RETRY_BACKOFF_INITIAL":      "100ms",
		"PUSHGATE_RETRY_BACKOFF_MAX":          "500ms",
		"PUSHGATE_LOG_LEVEL":                  "debug",
		"PUSHGATE_DRAIN_TIMEOUT":              "3s",
		"PUSHGATE_CUSTODY_OFFLINE_RECHECK":    "1h", // what arrives was not brought by a timer
		"PUSHGATE_DELIVERY_COMMIT_INTERVAL":   "200ms",
		"PUSHGATE_CUSTODY_COMMIT_INTERVAL":    "200ms",
		"PUSHGATE_KAFKA_SESSION_TIMEOUT":      "6s",
		"PUSHGATE_DELIVERY_RECEIPT_INTERVAL":  "20ms",
		"PUSHGATE_SESSION_WRITE_TIMEOUT":      "2s",
		"PUSHGATE_SESSION_ACK_TIMEOUT":        "2s",
		"PUSHGATE_SESSION_MAX_BUFFERED_BYTES": "98304",
		"PUSHGATE_WAITING_OFFER_BYTES":        "49152",
	}
	maps.Copy(env, d.env())
	for _, c := range change {
		c(env)
	}
	p := run(d.t, id, env, "serve")
	return &node{
		process: p, id: id, gateway: gateway, admin: admin,
		called: env["PUSHGATE_ROUTING_MODE"] == "targeted" && env["PUSHGATE_NODE_ROLES"] != "custodian",
	}
}

// with sets one variable of a node's environment.
func with(key, value string) func(map[string]string) {
	return func(env map[string]string) { env[key] = value }
}

// again starts the node once more with the same id and addresses.
func (n *node) again(d *deployment, change ...func(map[string]string)) *node {
	d.t.Helper()
	same := func(env map[string]string) {
		env["PUSHGATE_GATEWAY_LISTEN"], env["PUSHGATE_ADMIN_LISTEN"] = n.gateway, n.admin
	}
	m := d.start(n.id, append([]func(map[string]string){same}, change...)...)
	m.gateway, m.admin = n.gateway, n.admin
	return m
}

func (n *node) ready(within time.Duration) {
	n.t.Helper()
	var last string
	ok := poll(within, func() bool {
		select {
		case <-n.ended:
			return true
		default:
		}
		code, body, err := get(n.t.Context(), "http://"+n.admin+"/readyz")
		last = fmt.Sprint(code, " ", body, " ", err)
		return err == nil && code == http.StatusOK
	})
	select {
	case <-n.ended:
		require.Failf(n.t, "the node ended", "%s ended before it was ready:\n%s", n.id, tail(n.out.String(), 4000))
	default:
	}
	require.True(n.t, ok, "%s not ready within %s: %s", n.id, within, last)
}

// metric returns the sum of all series of a metric whose line has all the given
// parts.
func (n *node) metric(name string, parts ...string) float64 {
	n.t.Helper()
	_, body, err := get(n.t.Context(), "http://"+n.admin+"/metrics")
	require.NoError(n.t, err)
	sum, _ := valueOf(body, name, parts...)
	return sum
}

// valueOf returns the sum of all series of a metric whose line has all the given
// parts, and how many there are.
func valueOf(body, name string, parts ...string) (sum float64, series int) {
lines:
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, name+" ") && !strings.HasPrefix(line, name+"{") {
			continue
		}
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		fields := strings.Fields(line)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			continue
		}
		sum += value
		series++
	}
	return sum, series
}

func get(ctx context.Context, url string) (code int, body string, err error) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// poll asks until the answer is yes or the time is up.
func poll(within time.Duration, ask func() bool) bool {
	const interval = 10 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for end := time.Now().Add(within); time.Now().Before(end); <-tick.C {
		if ask() {
			return true
		}
	}
	return ask()
}
