package gateway

import (
	"net/http"
	"net/url"
	"strings"
)

// originAllowed says whether a browser on that origin may connect. Clients that
// are no browsers send none.
func (c Config) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
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

// originMatches compares an origin with a pattern: * for all, or a host that may
// begin with "*." for all names below.
func originMatches(pattern string, origin *url.URL) bool {
	if pattern == "*" {
		return true
	}
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
