// Package pushgatejs is the client for browsers and Node: its source in src, what is built
// of it in dist, the npm package around it, and the handler that serves it. What the client
// does is written in TypeScript; here it is only handed out. Where, is left to package
// gateway.
//
// After a change of src: npm ci && npm run build, and commit dist; check.sh compares.
package pushgatejs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed dist/pushgate.js
var script []byte

// Handler serves pushgate.js to pages of every origin: it holds nothing but code. It is
// safe for concurrent use and does not block.
func Handler() http.Handler {
	plain, small := newVariant(script), newVariant(zipped(script))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "pushgate.js is only read: use GET", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		// Modules are fetched with CORS, also by pages that isolate themselves.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		// Its address does not change with its content: asked for again after a while,
		// it costs an answer without a body.
		h.Set("Cache-Control", "public, max-age=600")
		h.Set("Vary", "Accept-Encoding")
		v := plain
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			v = small
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("ETag", v.tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(v.content))
	})
}

// variant is one encoding, with a tag of its own: a strong tag names bytes.
type variant struct {
	content []byte
	tag     string
}

func newVariant(content []byte) variant {
	sum := sha256.Sum256(content)
	const half = len(sum) / 2
	return variant{content: content, tag: `"` + hex.EncodeToString(sum[:half]) + `"`}
}

func zipped(content []byte) []byte {
	var small bytes.Buffer
	w, _ := gzip.NewWriterLevel(&small, gzip.BestCompression) // the level is a valid one
	_, _ = w.Write(content)                                   // a buffer does not fail
	_ = w.Close()
	return small.Bytes()
}

// acceptsGzip tells whether Accept-Encoding names gzip with a weight above zero. What it
// cannot read counts as no.
func acceptsGzip(headers []string) bool {
	for coding := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, weight, weighted := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		if !weighted {
			return true
		}
		_, value, _ := strings.Cut(weight, "=")
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		return err == nil && q > 0
	}
	return false
}
