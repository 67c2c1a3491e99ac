package pushgatejs_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/notrun"
)

// requireNode is the environment variable that, set to 1, makes the tests fail that
// cannot run in Node, instead of saying so and returning. Build servers set it.
const requireNode = "PUSHGATE_E2E_REQUIRE_NODE"

var withoutNode notrun.Notice

// node returns where Node is; modules says that what check.sh installs is wanted, too.
func node(t *testing.T, modules bool) (path string, ok bool) {
	t.Helper()
	path, err := exec.LookPath("node")
	if err == nil {
		err = recent(path)
	}
	if err == nil && modules {
		if _, err = os.Stat("node_modules/ws"); err != nil {
			err = fmt.Errorf("run npm ci in internal/pushgatejs: %w", err)
		}
	}
	if err == nil {
		return path, true
	}
	if os.Getenv(requireNode) == "1" {
		t.Fatalf("%s=1, but the tests of pushgate.js in Node cannot be run: %v", requireNode, err)
	}
	withoutNode.Say(fmt.Sprintf("tests of pushgate.js in Node were not run: %v", err))
	return "", false
}

// recent holds that Node can fake time, dates included.
func recent(path string) error {
	const oldest = 20
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return fmt.Errorf("asking %s for its version: %w", path, err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldest {
		return fmt.Errorf("%s is version %s: install Node %d or newer", path, out, oldest)
	}
	return nil
}

func TestTheClientKeepsItsPromisesWithTimeInTheTestsHands(t *testing.T) {
	t.Parallel()
	path, ok := node(t, false)
	if !ok {
		return
	}
	files, err := filepath.Glob("test/*.test.mjs")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	out, err := exec.CommandContext(t.Context(), path, append([]string{"--test", "--test-reporter=tap"}, files...)...).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "# fail 0")
	assert.NotContains(t, string(out), "# pass 0")
}

func TestThePackageThatIsPublishedHoldsTheClientAndItsTypes(t *testing.T) {
	t.Parallel()
	path, ok := node(t, false)
	if !ok {
		return
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "npm", "pack", "--json", "--offline", "--ignore-scripts", "--pack-destination", dir)
	cmd.Env = append(os.Environ(), "npm_config_cache="+t.TempDir())
	out, err := cmd.Output()
	require.NoError(t, err, "npm pack: %s", out)
	archives, err := filepath.Glob(filepath.Join(dir, "pushgate-*.tgz"))
	require.NoError(t, err)
	require.Len(t, archives, 1)
	into := filepath.Join(dir, "node_modules", "pushgate")
	require.NoError(t, os.MkdirAll(into, 0o755))
	out, err = exec.CommandContext(t.Context(), "tar", "-xzf", archives[0], "--strip-components=1", "-C", into).CombinedOutput()
	require.NoError(t, err, string(out))
	var packed []string
	require.NoError(t, filepath.WalkDir(into, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			packed = append(packed, strings.TrimPrefix(name, into+"/"))
		}
		return err
	}))
	assert.ElementsMatch(t, []string{"LICENSE", "README.md", "package.json", "dist/pushgate.js", "dist/pushgate.d.ts"}, packed)

	user := filepath.Join(dir, "user.mjs")
	require.NoError(t, os.WriteFile(user, []byte(`import { connect } from "pushgate"; console.log(typeof connect)`), 0o600))
	out, err = exec.CommandContext(t.Context(), path, user).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, "function\n", string(out))
}

// inNode runs devices in Node.
type inNode struct {
	path     string
	platform *platform
}

func (n inNode) connect(t *testing.T, g *gateway, user string, options map[string]any, ttl time.Duration) *device {
	t.Helper()
	all := map[string]any{"url": "ws://" + g.address, "user": user}
	maps.Copy(all, options)
	config, err := json.Marshal(map[string]any{"tokens": n.platform.tokens(t, user, ttl), "options": all})
	require.NoError(t, err)
	cmd := exec.Command(n.path, "test/node-device.mjs", string(config))
	cmd.SysProcAttr = dieWithParent()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	d := &device{t: t, do: func(script string) {
		_, err := fmt.Fprintln(in, script)
		require.NoError(t, err)
	}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			d.take(lines.Text())
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		select {
		case <-read:
		case <-time.After(patience):
			t.Error("the device does not end when it is closed: something is left that runs")
			_ = cmd.Process.Kill()
			<-read
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the device: %v", err)
		}
		if t.Failed() {
			t.Log("the device told:", d.told())
		}
	})
	return d
}

func TestInNode(t *testing.T) {
	if testing.Short() && os.Getenv(requireNode) != "1" {
		withoutNode.Say("tests of pushgate.js in Node were not run: -short was asked for")
		return
	}
	path, ok := node(t, true)
	if !ok {
		return
	}
	t.Parallel()
	p := startPlatform(t)
	in := inNode{path: path, platform: p}
	stories(t, p, in)
	t.Run("a gateway that says when to come back is not asked sooner", func(t *testing.T) {
		t.Parallel()
		asked := make(chan time.Time, 100)
		busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked <- time.Now()
			w.Header().Set("Retry-After", "2")
			http.Error(w, "too many", http.StatusTooManyRequests)
		}))
		defer busy.Close()
		d := in.connect(t, &gateway{address: busy.Listener.Addr().String()}, "busy", map[string]any{"maxDelay": 10}, long)
		first, second, third := <-asked, <-asked, <-asked
		assert.GreaterOrEqual(t, second.Sub(first), 2*time.Second)
		assert.GreaterOrEqual(t, third.Sub(second), 2*time.Second)
		d.await(d.await(0, "closed 1006 final=false"), "waiting refused")
	})
	t.Run("a gateway that is frozen is noticed by its silence", func(t *testing.T) {
		t.Parallel()
		g := p.startGateway(t, map[string]string{"PUSHGATE_SESSION_PING_INTERVAL": "1s"})
		d := in.connect(t, g, "frozen", map[string]any{"heartbeat": 1500, "connectTimeout": 1000}, long)
		d.await(0, "open")
		// One that only has nothing to say is not given up.
		<-time.After(5 * time.Second)
		require.Equal(t, []string{"connecting", "open"}, d.story(0))
		g.signal(syscall.SIGSTOP)
		at := d.await(0, "closed 1006 final=false")
		at = d.await(at, "waiting refused")
		p.send("frozen", "meanwhile")
		g.signal(syscall.SIGCONT)
		d.await(at, "open")
		d.expectAll([]string{"meanwhile"})
	})
}
