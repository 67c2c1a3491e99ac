package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/notrun"
)

// requireVariable is the environment variable that, set to 1, makes the tests in a
// browser fail where there is none, instead of saying so and returning. Build servers
// set it.
const requireVariable = "PUSHGATE_E2E_REQUIRE_CHROMIUM"

// announced keeps the many tests from saying the same thing many times; it has to be
// the process's.
var announced notrun.Notice

// How long the page may take to show what it is to show. Alone on a machine it is
// milliseconds.
const patience = 30 * time.Second

// browser is a Chromium without a screen; it ends with its test.
type browser struct {
	ctx context.Context
	api *api
}

// startBrowser returns false, and has said why, where there is no Chromium.
func startBrowser(t *testing.T) (*browser, bool) {
	t.Helper()
	required := os.Getenv(requireVariable) == "1"
	if testing.Short() && !required {
		announced.Say("tests of the console in a browser were not run: -short was asked for")
		return nil, false
	}
	path, err := chromium()
	if err != nil {
		if required {
			t.Fatalf("%s=1, but there is no Chromium in PATH: install the package chromium (%v)", requireVariable, err)
		}
		announced.Say("tests of the console in a browser were not run: install the package chromium")
		return nil, false
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("lang", "en"),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocated, release := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the process
		cancel()
		release()
	})
	require.NoError(t, chromedp.Do(ctx), "starting %s", path)
	return &browser{ctx: ctx, api: newAPI(t)}, true
}

func chromium() (string, error) {
	var err error
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		var path string
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("looking for it: %w", err)
}

// dress is how a page is looked at.
type dress struct {
	name          string
	width, height int64
	dark          bool
}

var (
	desk      = dress{name: "light", width: 1360, height: 900}
	deskNight = dress{name: "dark", width: 1360, height: 900, dark: true}
	phone     = dress{name: "phone", width: 390, height: 844, dark: true}
)

// tab is one page in a browser, with storage of its own.
type tab struct {
	t    *testing.T
	ctx  context.Context
	api  *api
	mu   sync.Mutex
	said []string // what went wrong in it
}

// open opens the console at a hash. What the page throws, or the policy forbids, fails
// the test.
func (b *browser) open(t *testing.T, hash string, d dress) *tab {
	t.Helper()
	b.api.reset()
	p := &tab{t: t, api: b.api}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	require.NoError(t, chromedp.Do(ctx)) // The tab lives as long as the context of the first call.
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	p.ctx = ctx
	require.NoError(t, chromedp.Listen(ctx, p.listen))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the page shows:\n%s", p.text())
		}
		stop()
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		assert.Empty(t, p.said, "what went wrong in the page")
	})
	scheme := "light"
	if d.dark {
		scheme = "dark"
	}
	_, err := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	require.NoError(t, err)
	_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	require.NoError(t, err)
	p.do(chromedp.EmulateViewport(d.width, d.height), chromedp.Navigate(b.api.address()+"/"+hash))
	return p
}

func (p *tab) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.said = append(p.said, fmt.Sprintf("%+v", e.ExceptionDetails))
	case *log.EventEntryAdded:
		if e.Entry.Source == log.EntrySourceSecurity || strings.Contains(e.Entry.Text, "Content Security Policy") {
			p.said = append(p.said, e.Entry.Text)
		}
	}
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, actions...))
}

// eval evaluates an expression in the page; promises are waited for.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err, "evaluating %s", expression)
	return value
}

func (p *tab) text() string {
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// until waits for an expression to be true in the page.
func (p *tab) until(expression, what string) {
	p.t.Helper()
	timer := time.NewTicker(50 * time.Millisecond)
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	for !eval[bool](p, "!!("+expression+")") {
		if time.Now().After(deadline) {
			require.FailNow(p.t, "it was not so within "+patience.String()+": "+what, "the page shows:\n%s", p.text())
		}
		<-timer.C
	}
}

// sees waits for texts to be shown.
func (p *tab) sees(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.until("document.body.innerText.toLowerCase().includes("+quoted(strings.ToLower(text))+")", "the page shows "+text)
	}
}

// seesNot waits for a text to be gone.
func (p *tab) seesNot(text string) {
	p.t.Helper()
	p.until("!document.body.innerText.includes("+quoted(text)+")", "the page does not show "+text)
}

func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// found is the script that finds what can be clicked by its name; in the topmost dialog
// where there is one.
const found = `((name) => {
  const dialogs = document.querySelectorAll('dialog[open]');
  const root = dialogs.length ? dialogs[dialogs.length - 1] : document;
  const named = [...root.querySelectorAll('button, a, summary, label.check')].filter((e) => e.checkVisibility());
  const nameOf = (e) => (e.getAttribute('aria-label') || e.textContent).trim();
  return named.find((e) => nameOf(e) === name) ?? named.find((e) => nameOf(e).startsWith(name));
})`

// clicks waits for a button or link of that name, and clicks it.
func (p *tab) clicks(name string) {
	p.t.Helper()
	p.until(found+"("+quoted(name)+") && !"+found+"("+quoted(name)+").disabled", "there is "+name+" to click on")
	eval[bool](p, "("+found+"("+quoted(name)+").click(), true)")
}

// disabled tells whether a button cannot be used.
func (p *tab) disabled(name string) bool {
	p.t.Helper()
	p.until(found+"("+quoted(name)+")", "there is "+name)
	return eval[bool](p, "((e) => e.disabled || e.getAttribute('aria-disabled') === 'true')("+found+"("+quoted(name)+"))")
}

const labelled = `((name) => {
  const dialogs = document.querySelectorAll('dialog[open]');
  const root = dialogs.length ? dialogs[dialogs.length - 1] : document;
  const label = [...root.querySelectorAll('label[for]')].find((l) => l.textContent.trim() === name && l.checkVisibility());
  return label && document.getElementById(label.htmlFor);
})`

// types types into the field with a label, in place of what is there.
func (p *tab) types(label, text string) {
	p.t.Helper()
	p.until(labelled+"("+quoted(label)+")", "there is a field "+label)
	eval[bool](p, "((e) => (e.focus(), e.select?.(), true))("+labelled+"("+quoted(label)+"))")
	p.do(chromedp.KeyEvent(text))
}

// chooses chooses an option, by its value, of the list with a label.
func (p *tab) chooses(label, value string) {
	p.t.Helper()
	p.until(labelled+"("+quoted(label)+")", "there is a list "+label)
	eval[bool](p, "((e) => (e.value = "+quoted(value)+", e.dispatchEvent(new Event('change', {bubbles: true})), true))("+labelled+"("+quoted(label)+"))")
}

// presses presses keys, one after another.
func (p *tab) presses(keys string) {
	p.t.Helper()
	for _, key := range keys {
		p.do(chromedp.KeyEvent(string(key)))
	}
}

// strikes strikes a key as a keyboard does: what the page prevents does not become text.
func (p *tab) strikes(key string) {
	p.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		params := input.DispatchKeyEventParams{Type: kind, Key: key}
		if kind == input.DispatchKeyEventTypeKeyDown {
			params.Text = key
		}
		_, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, params)
		require.NoError(p.t, err)
	}
}

// hash waits for the address to hold a text.
func (p *tab) hash(part string) {
	p.t.Helper()
	p.until("location.hash.includes("+quoted(part)+")", "the address holds "+part+", not "+eval[string](p, "location.hash"))
}

func reload() chromedp.Action[chromedp.Void] { return chromedp.Reload() }
