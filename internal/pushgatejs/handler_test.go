package pushgatejs_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/pushgatejs"
)

func get(method string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/pushgate.js", http.NoBody)
	r.Header = header
	w := httptest.NewRecorder()
	pushgatejs.Handler().ServeHTTP(w, r)
	return w
}

func built(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("dist/pushgate.js")
	require.NoError(t, err)
	return string(content)
}

func TestPagesOfEveryOriginMayImportIt(t *testing.T) {
	w := get(http.MethodGet, http.Header{"Origin": {"https://shop.example"}})
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, built(t), w.Body.String())
	assert.Equal(t, "text/javascript; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "cross-origin", w.Header().Get("Cross-Origin-Resource-Policy"))
	assert.Equal(t, "Accept-Encoding", w.Header().Get("Vary"))
	assert.Empty(t, w.Header().Get("Content-Encoding"))
}

func TestItIsZippedForThoseWhoTakeThat(t *testing.T) {
	for accepted, zipped := range map[string]bool{
		"gzip": true, "gzip, deflate, br, zstd": true, "br;q=1, GZIP ; q=0.5": true,
		"": false, "br": false, "gzip;q=0": false, "gzip; q=0.000": false, "gzip;q=x": false, "x-gzip": false,
	} {
		w := get(http.MethodGet, http.Header{"Accept-Encoding": {accepted}})
		body := io.Reader(w.Body)
		if zipped {
			assert.Equal(t, "gzip", w.Header().Get("Content-Encoding"), accepted)
			unzipped, err := gzip.NewReader(w.Body)
			require.NoError(t, err)
			body = unzipped
		} else {
			assert.Empty(t, w.Header().Get("Content-Encoding"), accepted)
		}
		content, err := io.ReadAll(body)
		require.NoError(t, err)
		assert.Equal(t, built(t), string(content), accepted)
	}
}

func TestItIsSentOnceToThoseWhoKeepIt(t *testing.T) {
	tags := map[string]bool{}
	for _, accepted := range []string{"", "gzip"} {
		tag := get(http.MethodGet, http.Header{"Accept-Encoding": {accepted}}).Header().Get("ETag")
		require.NotEmpty(t, tag)
		tags[tag] = true
		w := get(http.MethodGet, http.Header{"Accept-Encoding": {accepted}, "If-None-Match": {tag}})
		assert.Equal(t, http.StatusNotModified, w.Code)
		assert.Zero(t, w.Body.Len())
		assert.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
		w = get(http.MethodGet, http.Header{"Accept-Encoding": {accepted}, "If-None-Match": {`"another"`}})
		assert.Equal(t, http.StatusOK, w.Code)
	}
	assert.Len(t, tags, 2, "each encoding has a tag of its own")
}

func TestItIsOnlyRead(t *testing.T) {
	w := get(http.MethodPost, nil)
	assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
	assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	w = get(http.MethodHead, nil)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Zero(t, w.Body.Len())
}

// maxBytes is what the client may weigh on its way to a page, zipped.
const maxBytes = 5000

func TestItIsSmall(t *testing.T) {
	size := get(http.MethodGet, http.Header{"Accept-Encoding": {"gzip"}}).Body.Len()
	t.Logf("pushgate.js: %d bytes, %d zipped", len(built(t)), size)
	assert.LessOrEqual(t, size, maxBytes)
}
