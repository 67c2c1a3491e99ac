package pushgatejs_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/freeport"
)

// block returns the first code block of a language in a section of docs/connecting.md.
func block(t *testing.T, section, language string) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/connecting.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(content), "\n## "+section+"\n")
	require.True(t, ok, section)
	found := regexp.MustCompile("(?s)\n```" + language + "\n(.*?)\n```\n").FindStringSubmatch(after)
	require.NotNil(t, found, language)
	return found[1]
}

// The page and the commands are those of the document; only the addresses are others, so
// that the test can be run where the usual ones are taken.
func TestTheExampleOfTheDocumentationWorks(t *testing.T) {
	ctx, ok := browser(t)
	if !ok {
		return
	}
	t.Parallel()
	gateway, broker, admin := freeport.Address(t), freeport.Address(t), freeport.Address(t)
	html := strings.ReplaceAll(block(t, "pushgate.js", "html"), "127.0.0.1:8080", gateway)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, html)
	}))
	defer page.Close()

	commands := strings.Split(block(t, "pushgate.js", "sh"), "\n")
	require.Len(t, commands, 3)
	binary := pushgate.build(t)
	shell := func(command, more string) *process {
		rest, ok := strings.CutPrefix(command, "go run ./cmd/pushgate ")
		require.True(t, ok, command)
		rest = strings.ReplaceAll(rest, "http://127.0.0.1:8000", page.URL)
		return run(t, nil, "sh", "-c", "exec "+binary+" "+rest+" "+more)
	}
	shell(commands[0], "--data-dir "+t.TempDir()+" --gateway-listen "+gateway+" --kafka-listen "+broker+" --admin-listen "+admin)
	(&platform{t: t, client: http.DefaultClient}).ready(admin)
	defer http.DefaultClient.CloseIdleConnections()

	tab, end := chromedp.NewContext(ctx)
	defer end()
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(page.URL)))
	shows := func(selector, text string) {
		t.Helper()
		var last string
		assert.Eventually(t, func() bool {
			last, _ = chromedp.Run(tab, chromedp.Evaluate[string](`document.querySelector("`+selector+`").textContent`))
			return last == text
		}, patience, 50*time.Millisecond)
		require.Equal(t, text, last)
	}
	shows("#state", "open")
	<-shell(commands[2], "--set kafka.brokers="+broker).ended
	shows("#messages", `order: {"order":991,"state":"shipped"}`)
}
