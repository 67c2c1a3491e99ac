// Package console serves the console: the page in which operators see what a platform
// does and put right what does not work. The page is built from ui into dist and
// embedded; it fetches nothing from elsewhere. What it shows and does is left to the
// admin API, and so are tokens: these files hold no secret and ask for none.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed dist
var dist embed.FS

// policy lets the page load and call its own origin only, and nobody frame it. It has
// no script and no style in its markup.
const policy = "default-src 'self'; style-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// What the build names after its content never changes under its name.
const (
	cacheForEver = "public, max-age=31536000, immutable"
	cacheNever   = "no-cache"
)

// file is a file as it is served.
type file struct {
	kind, cache string
	plain       variant
	gzip        variant // empty where it would not be smaller
}

// variant is one encoding of a file, with an entity tag of its own: a strong tag names
// bytes.
type variant struct {
	content []byte
	tag     string
}

// Handler serves GET / and GET /assets/..., and answers 404 for all else. It is safe for
// concurrent use and does not block.
func Handler() http.Handler {
	files := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the console is only read: use GET", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		if name == "" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			http.Error(w, "the console has no such file: open / instead", http.StatusNotFound)
			return
		}
		f.serve(w, r)
	})
}

func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", f.cache)
	h.Set("Vary", "Accept-Encoding")
	v := f.plain
	if f.gzip.content != nil && takesGzip(r.Header.Get("Accept-Encoding")) {
		v = f.gzip
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", v.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(v.content))
}

// takesGzip tells whether an Accept-Encoding header allows gzip.
func takesGzip(header string) bool {
	for one := range strings.SplitSeq(header, ",") {
		coding, quality, _ := strings.Cut(strings.TrimSpace(one), ";")
		if strings.TrimSpace(coding) == "gzip" {
			quality = strings.ReplaceAll(quality, " ", "")
			return strings.Trim(strings.TrimPrefix(quality, "q="), "0.") != "" || quality == ""
		}
	}
	return false
}

// load reads what is embedded. That it can be read is certain once it compiles.
func load() map[string]file {
	files := make(map[string]file)
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(fmt.Sprintf("console: %v", err))
	}
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		files[name] = newFile(name, content)
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("console: %v", err))
	}
	return files
}

func newFile(name string, content []byte) file {
	f := file{kind: kind(name), cache: cacheNever, plain: newVariant(content)}
	if strings.HasPrefix(name, "assets/") {
		f.cache = cacheForEver
	}
	var small bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&small, gzip.BestCompression) // the level is a valid one
	_, _ = zip.Write(content)                                   // a buffer does not fail
	_ = zip.Close()
	if small.Len() < len(content) {
		f.gzip = newVariant(small.Bytes())
	}
	return f
}

func newVariant(content []byte) variant {
	sum := sha256.Sum256(content)
	const half = len(sum) / 2
	return variant{content: content, tag: `"` + hex.EncodeToString(sum[:half]) + `"`}
}

// kind is named here, since what the machine believes of names differs.
func kind(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}
