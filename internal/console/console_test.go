package console_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/console"
)

// ask sends a request with headers written "name: value".
func ask(method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	console.Handler().ServeHTTP(w, r)
	return w
}

// assets are the addresses the page names.
func assets(t *testing.T) []string {
	t.Helper()
	index := ask(http.MethodGet, "/").Body.String()
	found := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(index, -1)
	require.GreaterOrEqual(t, len(found), 4, "the page names its scripts, its style and its icon:\n%s", index)
	var names []string
	for _, f := range found {
		names = append(names, "/"+f[1])
	}
	return names
}

func TestThePageIsAskedForAnewAndItsAssetsAreKept(t *testing.T) {
	index := ask(http.MethodGet, "/")
	assert.Equal(t, http.StatusOK, index.Code)
	assert.Equal(t, "text/html; charset=utf-8", index.Header().Get("Content-Type"))
	assert.Equal(t, "no-cache", index.Header().Get("Cache-Control"))
	again := ask(http.MethodGet, "/", "If-None-Match: "+index.Header().Get("ETag"))
	assert.Equal(t, http.StatusNotModified, again.Code)

	kinds := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8"}
	for _, name := range assets(t) {
		w := ask(http.MethodGet, name)
		assert.Equal(t, http.StatusOK, w.Code, name)
		assert.Equal(t, kinds[filepath.Ext(name)], w.Header().Get("Content-Type"), name)
		assert.Contains(t, w.Header().Get("Cache-Control"), "immutable", name)
		assert.Regexp(t, `-[0-9a-f]{10}\.\w+$`, name, "what is kept for ever is named after its content")
		assert.Regexp(t, `^"[0-9a-f]+"$`, w.Header().Get("ETag"), "a strong tag")
	}
}

func TestWhoTakesGzipGetsIt(t *testing.T) {
	for _, name := range assets(t) {
		plain := ask(http.MethodGet, name)
		zipped := ask(http.MethodGet, name, "Accept-Encoding: br, gzip")
		if zipped.Header().Get("Content-Encoding") == "" {
			continue // it would not be smaller
		}
		assert.NotEqual(t, plain.Header().Get("ETag"), zipped.Header().Get("ETag"), "other bytes, another tag")
		assert.Equal(t, "Accept-Encoding", zipped.Header().Get("Vary"))
		r, err := gzip.NewReader(zipped.Body)
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, plain.Body.String(), string(content))
	}
	for header, takes := range map[string]bool{
		"gzip": true, "deflate, gzip;q=0.5": true, "gzip ; q=1": true,
		"gzip;q=0": false, "gzip; q=0.0": false, "br": false, "": false,
	} {
		w := ask(http.MethodGet, "/", "Accept-Encoding: "+header)
		assert.Equal(t, takes, w.Header().Get("Content-Encoding") == "gzip", "Accept-Encoding: %s", header)
	}
}

func TestNothingRunsThatThePolicyForbids(t *testing.T) {
	w := ask(http.MethodGet, "/")
	policy := w.Header().Get("Content-Security-Policy")
	assert.Contains(t, policy, "default-src 'self'")
	assert.NotContains(t, policy, "unsafe")
	assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	assert.NotRegexp(t, `<script(?:>| [^>]*>)[^<]`, w.Body.String(), "a script in the page")
	assert.NotRegexp(t, `<style| style=| on\w+=`, w.Body.String(), "a style or a handler in the page")
}

func TestWhatIsNotThereIsSaidToBeMissing(t *testing.T) {
	for _, name := range []string{"/nothing", "/assets/", "/assets/app.js", "/dist/index.html", "/../console.go", "/assets"} {
		assert.Equal(t, http.StatusNotFound, ask(http.MethodGet, name).Code, name)
	}
	assert.Equal(t, http.StatusMethodNotAllowed, ask(http.MethodPost, "/").Code)
	assert.Equal(t, http.StatusOK, ask(http.MethodHead, "/").Code)
}

// The aim is a page that comes quickly to a phone with one bar of signal.
func TestThePageIsSmall(t *testing.T) {
	const most = 60 << 10
	total := 0
	for _, name := range assets(t) {
		total += ask(http.MethodGet, name, "Accept-Encoding: gzip").Body.Len()
	}
	t.Logf("%d bytes, gzipped", total)
	assert.LessOrEqual(t, total, most+8<<10)
	for _, name := range assets(t) {
		if filepath.Ext(name) == ".js" {
			assert.LessOrEqual(t, ask(http.MethodGet, name, "Accept-Encoding: gzip").Body.Len(), most, name)
		}
	}
}

func TestNothingIsFetchedFromElsewhere(t *testing.T) {
	err := filepath.WalkDir("dist", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, address := range regexp.MustCompile(`https?://[\w./-]+`).FindAllString(string(content), -1) {
			assert.Contains(t, []string{"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml", "http://www.w3.org/1998/Math/MathML"}, address, path)
		}
		assert.NotContains(t, string(content), "url(data:", path)
		return nil
	})
	require.NoError(t, err)
}
