package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// originAllowed says whether a browser on that origin may connect. Clients that
// are no browsers send none.
func (c Config) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if slices.Contains(c.AllowedOrigins, allOrigins) {
		return true // also "null", which pages from a file send
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if len(c.AllowedOrigins) == 0 {
		return strings.EqualFold(u.Host, r.Host)
	}
	for _, allowed := range c.AllowedOrigins {
		if originMatches(allowed, u) {
			return true
		}
	}
	return false
}

// allOrigins is the pattern that allows every origin.
const allOrigins = "*"

// originMatches compares an origin with a pattern, whose host may begin with
// "*." for all names below.
func originMatches(pattern string, origin *url.URL) bool {
	p, err := url.Parse(pattern)
	if err != nil || !strings.EqualFold(p.Scheme, origin.Scheme) {
		return false
	}
	below, wild := strings.CutPrefix(strings.ToLower(p.Host), "*.")
	host := strings.ToLower(origin.Host)
	if wild {
		return strings.HasSuffix(host, "."+below)
	}
	return host == strings.ToLower(p.Host)
}
