package console_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// view is a page in a state, and what tells that it is there.
type view struct {
	name, hash, shows string
	prepare           func(*tab)
}

func views() []view {
	return []view{
		{"overview", "#/overview", "Messages a second", nil},
		{"nodes", "#/nodes", "pushgate.gateway.gate-7", nil},
		{"node", "#/nodes/gate-2", "Partitions in custody", nil},
		{"waiting", "#/waiting", "erin", nil},
		{"dead-letters", "#/dead-letters", "dave", nil},
		{"dead-letter", "#/dead-letters?open=3-17", "traceparent", nil},
		{"replay", "#/dead-letters", "dave", func(p *tab) {
			p.api.answer("POST /v1/dead-letters/replay", 200, object{"matched": 1240, "would_replay": 1180, "skipped": object{"expired": 44, "again": 16}, "sample": cannedLetters()})
			p.clicks("Replay all that match…")
			p.sees("1,180")
		}},
		{"operations", "#/operations", "carol", nil},
		{"operation", "#/operations/op-1", "the shop was a test", nil},
		{"explain", "#/explain?user=alice&id=0199a1b2-7c1d-7000-8000-0000000000a1", "Attempts used up", nil},
		{"playground", "#/playground", "Connection", func(p *tab) {
			p.clicks("Connect")
			p.sees("connected")
			p.api.frames <- object{"id": "0199a1b2-7c1d-7000-8000-0000000000c1", "type": "greeting", "time": ago(0), "attempt": 1, "data": object{"text": "Hello"}}
			p.sees("Hello", "acknowledged")
		}},
		{"unreachable", "#/overview", "Messages a second", func(p *tab) {
			p.api.answer("GET /v1/overview", 503, object{"error": "the broker cannot be reached", "hint": "check kafka.brokers and the network"})
			p.presses("r")
			p.sees("check kafka.brokers")
		}},
		{"token", "#/overview", "Messages a second", func(p *tab) {
			p.clicks("Token")
			p.sees("Token of the admin API")
		}},
		{"keys", "#/overview", "Messages a second", func(p *tab) {
			p.presses("?")
			p.sees("Keyboard shortcuts")
		}},
	}
}

// The shots are for people: PUSHGATE_CONSOLE_SHOTS names a directory to leave them in.
func TestEveryPageIsAccessibleAndFitsInEveryDress(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	axe := accessibility(t)
	shots := os.Getenv("PUSHGATE_CONSOLE_SHOTS")
	for _, d := range []dress{desk, deskNight, phone} {
		for _, v := range views() {
			t.Run(v.name+" "+d.name, func(t *testing.T) {
				p := b.open(t, v.hash, d)
				p.sees(v.shows)
				if v.prepare != nil {
					v.prepare(p)
				}
				if shots != "" {
					shot(t, p, filepath.Join(shots, v.name+"-"+d.name+".png"))
				}
				assert.LessOrEqual(t, eval[int](p, "document.documentElement.scrollWidth - innerWidth"), 0, "the page does not scroll sideways")
				if axe != "" {
					p.do(chromedp.Evaluate[chromedp.Void](axe))
					const check = `axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
						.then((r) => r.violations.map((v) => v.id + ': ' + v.help + '\n' + v.nodes.map((n) => '  ' + n.html.slice(0, 200) + ' ' + (n.any[0]?.message ?? '')).join('\n')))`
					assert.Empty(t, eval[[]string](p, check), "what keeps people out")
				}
			})
		}
	}
}

func shot(t *testing.T, p *tab, path string) {
	t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, png, 0o600))
}

// accessibility returns the script that checks it, which npm ci in ui brings; nothing,
// said, where that was not run.
func accessibility(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile("ui/node_modules/axe-core/axe.min.js")
	if err == nil {
		return string(script)
	}
	if os.Getenv(requireVariable) == "1" {
		t.Fatalf("%s=1, but axe-core is not there: run npm ci in internal/console/ui (%v)", requireVariable, err)
	}
	announced.Say("the accessibility of the console was not checked: run npm ci in internal/console/ui")
	return ""
}
