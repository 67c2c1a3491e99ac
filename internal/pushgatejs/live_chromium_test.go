package pushgatejs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/notrun"
)

// requireChromium is the environment variable that, set to 1, makes the tests fail that
// cannot run in Chromium, instead of saying so and returning. Build servers set it.
const requireChromium = "PUSHGATE_E2E_REQUIRE_CHROMIUM"

var withoutChromium notrun.Notice

// browser starts Chromium, without a window. It ends with the test.
func browser(t *testing.T) (ctx context.Context, ok bool) {
	t.Helper()
	required := os.Getenv(requireChromium) == "1"
	if testing.Short() && !required {
		withoutChromium.Say("tests of pushgate.js in Chromium were not run: -short was asked for")
		return nil, false
	}
	path, err := "", errors.New("it is not in PATH")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		if required {
			t.Fatalf("%s=1, but there is no Chromium in PATH: install the package chromium (%v)", requireChromium, err)
		}
		withoutChromium.Say("tests of pushgate.js in Chromium were not run: install the package chromium")
		return nil, false
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // root has none
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until it has gone
	require.NoError(t, chromedp.Do(ctx), "starting %s", path)
	return ctx, true
}

// inChromium runs devices in a tab each.
type inChromium struct {
	browser  context.Context
	platform *platform
}

// page serves the page of a device: from an origin of its own, as shops are.
func page(t *testing.T, module string) (url string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<!doctype html><script type="module">`+module+`</script>`)
	})
	mux.HandleFunc("/device.mjs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		http.ServeFile(w, r, "test/device.mjs")
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// tab opens one in which pages can tell something.
func (c inChromium) tab(t *testing.T, take func(string)) context.Context {
	t.Helper()
	tab, end := chromedp.NewContext(c.browser)
	t.Cleanup(end)
	require.NoError(t, chromedp.Listen(tab, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventBindingCalled:
			take(ev.Payload)
		case *runtime.EventExceptionThrown:
			take(fmt.Sprintf("%+v", ev.ExceptionDetails))
		}
	}))
	_, err := chromedp.Call(tab, runtime.AddBinding, runtime.AddBindingParams{Name: "tell"})
	require.NoError(t, err)
	return tab
}

// connectTab is connect, for tests that want the tab as well.
func (c inChromium) connectTab(t *testing.T, g *gateway, user string, options map[string]any, ttl time.Duration) (*device, context.Context) {
	t.Helper()
	all := map[string]any{"url": "ws://" + g.address, "user": user}
	maps.Copy(all, options)
	config, err := json.Marshal(map[string]any{"tokens": c.platform.tokens(t, user, ttl), "options": all})
	require.NoError(t, err)
	d := &device{t: t}
	tab := c.tab(t, d.take)
	d.do = func(script string) {
		t.Helper()
		require.NoError(t, chromedp.Do(tab, chromedp.Evaluate[chromedp.Void](script)))
	}
	url := page(t, fmt.Sprintf(`
		import { connect } from "http://%s/pushgate.js";
		import { start } from "/device.mjs";
		window.device = start({ connect, WebSocket, tell: (event) => tell(JSON.stringify(event)), ...%s });`, g.address, config))
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(url)))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the device told:", d.told())
		}
	})
	return d, tab
}

func (c inChromium) connect(t *testing.T, g *gateway, user string, options map[string]any, ttl time.Duration) *device {
	t.Helper()
	d, _ := c.connectTab(t, g, user, options, ttl)
	return d
}

func TestInChromium(t *testing.T) {
	ctx, ok := browser(t)
	if !ok {
		return
	}
	t.Parallel()
	p := startPlatform(t)
	in := inChromium{browser: ctx, platform: p}
	stories(t, p, in)
	t.Run("a browser without a network waits for it, and is connected as soon as it is there", func(t *testing.T) {
		t.Parallel()
		offline(t, p, in)
	})
	t.Run("a classic script may import it, and it does nothing by itself", func(t *testing.T) {
		t.Parallel()
		g := p.startGateway(t, nil)
		d := &device{t: t}
		tab := in.tab(t, d.take)
		require.NoError(t, chromedp.Do(tab, chromedp.Navigate(page(t, ""))))
		const script = `import("http://%s/pushgate.js").then((m) => Object.keys(m))`
		names, err := chromedp.Run(tab, chromedp.Evaluate[[]string](fmt.Sprintf(script, g.address), chromedp.EvalAwaitPromise))
		require.NoError(t, err, "from a classic script")
		assert.Equal(t, []string{"connect"}, names)
		assert.Empty(t, d.told())
	})
}

// emulate takes the network from a tab, or gives it back.
func emulate(t *testing.T, tab context.Context, offline bool) { //nolint:revive // the test comes first, as everywhere
	t.Helper()
	_, err := chromedp.Call(tab, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1}},
	})
	require.NoError(t, err)
	_, err = chromedp.Call(tab, network.OverrideNetworkState, network.OverrideNetworkStateParams{
		Offline: offline, DownloadThroughput: -1, UploadThroughput: -1,
	})
	require.NoError(t, err)
}

func offline(t *testing.T, p *platform, in inChromium) {
	g := p.startGateway(t, nil)
	d, tab := in.connectTab(t, g, "offline", nil, long)
	at := d.await(0, "open")

	// The network is gone, then the connection.
	emulate(t, tab, true)
	g.end(t, syscall.SIGKILL)
	at = d.await(at, "waiting offline")
	g.start()
	p.send("offline", "a", "b")
	<-time.After(3 * time.Second) // several pauses of one that does not know why
	require.Empty(t, d.story(at), "no attempt is made")
	began := time.Now()
	emulate(t, tab, false)
	d.await(at, "open")
	assert.Less(t, time.Since(began), 2*time.Second, "at once, not at the end of a pause")
	d.expectAll([]string{"a", "b"})

	// The network is gone and back, and nobody has told the connection.
	from := len(d.told())
	emulate(t, tab, true)
	p.send("offline", "c")
	emulate(t, tab, false)
	d.await(from, "open")
	p.send("offline", "d")
	d.expectAll([]string{"a", "b", "c", "d"})
	assert.NotContains(t, strings.Join(d.story(from), "\n"), "final=true")
}
