package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asShipped has a node with the intervals that users have.
func asShipped(env map[string]string) {
	env["PUSHGATE_LOG_LEVEL"] = "info"
	for _, key := range []string{
		"PUSHGATE_DELIVERY_COMMIT_INTERVAL", "PUSHGATE_CUSTODY_COMMIT_INTERVAL", "PUSHGATE_DELIVERY_RECEIPT_INTERVAL",
		"PUSHGATE_SESSION_MAX_BUFFERED_BYTES", "PUSHGATE_WAITING_OFFER_BYTES", "PUSHGATE_SESSION_WRITE_TIMEOUT", "PUSHGATE_SESSION_ACK_TIMEOUT",
	} {
		delete(env, key)
	}
}

// gatewayOnly has a node answer for no partition.
func gatewayOnly(env map[string]string) { env["PUSHGATE_NODE_ROLES"] = "gateway" }

// benched is what pushgate bench says.
type benched struct {
	Lost, Delivered  int64
	Rate             float64 `json:"delivered_per_s"`
	Latency, Connect struct {
		P50 float64 `json:"p50_ms"`
		P99 float64 `json:"p99_ms"`
		Max float64 `json:"max_ms"`
	}
	Waiting struct {
		Users    int
		Messages int64
		Last     struct {
			P50 float64 `json:"p50_ms"`
			P99 float64 `json:"p99_ms"`
			Max float64 `json:"max_ms"`
		}
	}
	Nodes []struct {
		CPUMicros        float64 `json:"cpu_us_per_delivery"`
		RSSPerConnection float64 `json:"rss_bytes_per_connection"`
	}
}

// load starts pushgate bench on nodes.
func (d *deployment) load(nodes []*node, args ...string) *process {
	d.t.Helper()
	all := []string{"bench", "--output", "json", "--connect-rate", "2000"}
	scheme := "ws://"
	if d.extra["PUSHGATE_GATEWAY_TLS_CERT_FILE"] != "" {
		scheme = "wss://"
	}
	for _, n := range nodes {
		all = append(all, "--url", scheme+n.gateway, "--admin", "http://"+n.admin)
	}
	return run(d.t, "bench", d.env(), append(all, args...)...)
}

// result waits for the end of pushgate bench. Whatever was measured, nothing was lost.
func (p *process) result(within time.Duration) (r benched) {
	p.t.Helper()
	require.Zero(p.t, p.exit(within), p.out.String())
	require.NoError(p.t, json.Unmarshal([]byte(p.out.String()), &r), p.out.String())
	assert.Zero(p.t, r.Lost)
	return r
}

// pinTo lets processes run on one core only, so that the core of another is its own.
func pinTo(t *testing.T, core int, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		out, err := exec.Command("taskset", "--all-tasks", "--cpu-list", "--pid", strconv.Itoa(core), strconv.Itoa(pid)).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// brokerPids are the processes of Apache Kafka that this one has started.
func brokerPids(t *testing.T) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	for _, e := range entries {
		if comm, parent, _ := stat(e.Name()); comm == "java" && parent == os.Getpid() {
			pid, err := strconv.Atoi(e.Name())
			require.NoError(t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// unpin lets processes run everywhere again.
func unpin(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		out, err := exec.Command("taskset", "--all-tasks", "--cpu-list", "--pid", "0-"+strconv.Itoa(runtime.NumCPU()-1), strconv.Itoa(pid)).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

func (n *node) pid() int { return n.cmd.Process.Pid }

func (n *node) cpu() time.Duration { return cpuOf(n.t, strconv.Itoa(n.pid())) }

// resident is the memory of a process, in bytes, as Linux counts it.
func (n *node) resident() float64 {
	n.t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.pid()), "status"))
	require.NoError(n.t, err)
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(b)
	require.NotNil(n.t, found)
	kb, err := strconv.Atoi(string(found[1]))
	require.NoError(n.t, err)
	return float64(kb) * 1024
}

// asleep stops a process for a while, so that its input piles up.
func (n *node) asleep(d time.Duration) {
	n.signal(syscall.SIGSTOP)
	wait(d)
	n.signal(syscall.SIGCONT)
}

// coldUnicast is what a frame to one connection after the other costs, in nanoseconds: by
// send(2) alone, and by a connection of the platform.
func coldUnicast(t *testing.T) (bare, conn float64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-run", "^$", "-bench", "^BenchmarkColdUnicast$", "-benchtime", "200000x", "pushgate/internal/ws")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	value := func(name string) float64 {
		found := regexp.MustCompile(`BenchmarkColdUnicast/` + name + `\S*\s+\d+\s+([\d.]+) ns/op`).FindSubmatch(out)
		require.NotNil(t, found, string(out))
		v, err := strconv.ParseFloat(string(found[1]), 64)
		require.NoError(t, err)
		return v
	}
	return value("send"), value("Conn")
}

// middle is the median of what was measured, 0 where nothing was.
func middle(values ...float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// cells are a row of a table.
func cells(values ...any) string {
	texts := make([]string, len(values))
	for i, c := range values {
		switch v := c.(type) {
		case float64:
			texts[i] = strconv.FormatFloat(v, 'f', 2, 64)
		default:
			texts[i] = fmt.Sprint(v)
		}
	}
	return "| " + strings.Join(texts, " | ") + " |"
}

// payload of so many bytes.
func payload(bytes int) string { return `"` + strings.Repeat("x", bytes-2) + `"` }
