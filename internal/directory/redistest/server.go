package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pushgate/internal/freeport"
)

// How long a server may take to do what it is told. Alone on a machine it is
// milliseconds.
const patience = time.Minute

// Server is a Redis, running. It ends with its test, unless it is lasting.
type Server struct {
	// Addr is where it listens, for its whole life and after.
	Addr string
	// Options are how the test looks behind the scenes.
	Options redis.Options

	path, dir string
	args      []string
	kill      context.CancelFunc
	ended     chan struct{}
}

// Start starts a server that keeps its data in memory only, with the settings
// given as on its command line. It returns false where Available does.
func Start(t testing.TB, settings ...string) (*Server, bool) {
	t.Helper()
	path, ok := Available(t)
	if !ok {
		return nil, false
	}
	port := freeport.Ports(t, 1)[0]
	return startOn(t, path, port, append([]string{"--port", strconv.Itoa(port)}, settings...)...), true
}

// Lasting is Start with a server that outlives its test: the caller kills it. What it
// writes is in dir.
func Lasting(t testing.TB, dir string, settings ...string) (*Server, bool) {
	t.Helper()
	path, ok := Available(t)
	if !ok {
		return nil, false
	}
	port := freeport.Ports(t, 1)[0]
	return launch(t, path, dir, port, append([]string{"--port", strconv.Itoa(port)}, settings...)...), true
}

// StartTLS is Start with a listener that takes encrypted connections only, of
// clients that have the same certificate. Its own Options do not reach it.
func StartTLS(t testing.TB, certFile, keyFile string) (*Server, bool) {
	t.Helper()
	path, ok := Available(t)
	if !ok {
		return nil, false
	}
	port := freeport.Ports(t, 1)[0]
	return startOn(t, path, port, "--port", "0", "--tls-port", strconv.Itoa(port),
		"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile), true
}

func startOn(t testing.TB, path string, port int, settings ...string) *Server {
	t.Helper()
	s := launch(t, path, t.TempDir(), port, settings...)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			content, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			const end = 2000
			t.Logf("the end of the log of %s:\n%s", s.Addr, content[max(0, len(content)-end):])
		}
	})
	return s
}

func launch(t testing.TB, path, dir string, port int, settings ...string) *Server {
	t.Helper()
	s := &Server{
		Addr: freeport.At(port), path: path, dir: dir,
	}
	s.Options.Addr = s.Addr
	s.args = append([]string{
		"--bind", freeport.Loopback, "--dir", s.dir, "--save", "", "--appendonly", "no",
		"--logfile", filepath.Join(s.dir, "log"), "--daemonize", "no",
	}, settings...)
	s.Restart(t)
	return s
}

// Kill ends the server by SIGKILL, and waits until it is gone. It may be repeated.
func (s *Server) Kill() {
	s.kill()
	<-s.ended
}

// Restart starts a server that was killed, on its old port, and empty unless its
// settings keep data. It does not wait until the server answers.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, s.path, s.args...) //nolint:gosec // G204: redis-server, as found in PATH.
	cmd.SysProcAttr = dieWithParent()
	s.kill, s.ended = cancel, make(chan struct{})
	started := make(chan error, 1)
	go func() {
		// "Dies with its parent" means the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(s.ended)
	}()
	if err := <-started; err != nil {
		t.Fatalf("starting %s: %v", s.path, err)
	}
}

// Client opens a client for the test's own looks and settings.
func (s *Server) Client(t testing.TB) *redis.Client {
	t.Helper()
	return client(t, &s.Options)
}

// ClientOf opens a client for a server of which only the address is known.
func ClientOf(t testing.TB, addr string) *redis.Client {
	t.Helper()
	return client(t, &redis.Options{Addr: addr})
}

func client(t testing.TB, o *redis.Options) *redis.Client {
	t.Helper()
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Ready waits until the server answers.
func (s *Server) Ready(t testing.TB) {
	t.Helper()
	c := s.Client(t)
	Until(t, s.Addr+" answers", func(ctx context.Context) error {
		select {
		case <-s.ended:
			t.Fatalf("%s has ended", s.Addr)
		default:
		}
		return c.Ping(ctx).Err()
	})
}

// Until waits until something is so.
func Until(t testing.TB, what string, so func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		err := so(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, err)
		case <-ticks.C:
		}
	}
}

// Cluster starts a cluster of three masters, and waits until it is whole.
func Cluster(t testing.TB) ([]*Server, bool) {
	t.Helper()
	path, ok := Available(t)
	if !ok {
		return nil, false
	}
	const masters, slots = 3, 16384
	servers := make([]*Server, masters)
	ports := freeport.Ports(t, 2*masters)
	for i := range servers {
		port := ports[i]
		servers[i] = startOn(t, path, port, "--port", strconv.Itoa(port), "--cluster-enabled", "yes",
			"--cluster-port", strconv.Itoa(ports[masters+i]), "--cluster-node-timeout", "5000")
	}
	for i, s := range servers {
		s.Ready(t)
		c := s.Client(t)
		from, to := i*slots/masters, (i+1)*slots/masters-1
		if err := c.ClusterAddSlotsRange(t.Context(), from, to).Err(); err != nil {
			t.Fatalf("giving slots to %s: %v", s.Addr, err)
		}
		if err := c.Do(t.Context(), "CLUSTER", "MEET", freeport.Loopback, ports[0], ports[masters]).Err(); err != nil {
			t.Fatalf("introducing %s: %v", s.Addr, err)
		}
	}
	for _, s := range servers {
		c := s.Client(t)
		Until(t, "the cluster is whole", func(ctx context.Context) error {
			state, err := c.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(state, "cluster_state:ok") || !strings.Contains(state, fmt.Sprintf("cluster_size:%d\r", masters)) {
				return errors.Join(err, fmt.Errorf("%s says %q", s.Addr, state))
			}
			return nil
		})
	}
	return servers, true
}

// Sentinel starts a sentinel that watches a master under a name and lets a replica
// take over after half a second.
func Sentinel(t testing.TB, master *Server, name string) *Server {
	t.Helper()
	port := freeport.Ports(t, 1)[0]
	host, masterPort, _ := net.SplitHostPort(master.Addr)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	content := fmt.Sprintf("port %d\nbind %s\nsentinel monitor %s %s %s 1\nsentinel down-after-milliseconds %s 500\nsentinel failover-timeout %s 3000\n",
		port, freeport.Loopback, name, host, masterPort, name, name)
	const private = 0o600
	if err := os.WriteFile(file, []byte(content), private); err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: freeport.At(port), path: master.path, args: []string{file, "--sentinel"}}
	s.Options.Addr = s.Addr
	s.Restart(t)
	t.Cleanup(s.Kill)
	s.Ready(t)
	return s
}
