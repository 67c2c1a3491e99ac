package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func from(origin string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://push.example:8080/websocket/all/42", http.NoBody)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return r
}

func TestWhichOriginsMayConnect(t *testing.T) {
	shop := []string{"https://shop.example", "https://*.shop.example", "http://localhost:3000"}
	for name, row := range map[string]struct {
		patterns []string
		origin   string
		allowed  bool
	}{
		"no browser":                       {nil, "", true},
		"no browser, patterns":             {shop, "", true},
		"the same origin":                  {nil, "http://push.example:8080", true},
		"the same origin in other letters": {nil, "http://PUSH.example:8080", true},
		"the same behind a TLS proxy":      {nil, "https://push.example:8080", true},
		"another port":                     {nil, "http://push.example:8081", false},
		"another host":                     {nil, "http://evil.example", false},
		"the same origin is not implied":   {shop, "http://push.example:8080", false},
		"a listed origin":                  {shop, "https://shop.example", true},
		"in other letters":                 {shop, "HTTPS://Shop.Example", true},
		"another scheme":                   {shop, "http://shop.example", false},
		"another port than listed":         {shop, "https://shop.example:8443", false},
		"a listed port":                    {shop, "http://localhost:3000", true},
		"a name below":                     {shop, "https://www.shop.example", true},
		"a name far below":                 {shop, "https://a.b.shop.example", true},
		"a name that only ends so":         {shop, "https://evilshop.example", false},
		"a name that only begins so":       {shop, "https://shop.example.evil.example", false},
		"a star below does not mean above": {[]string{"https://*.shop.example"}, "https://shop.example", false},
		"all":                              {[]string{"*"}, "https://anywhere.example", true},
		"all, from a file":                 {[]string{"*"}, "null", true},
		"from a file":                      {shop, "null", false},
		"no origin at all":                 {shop, "https://%zz", false},
		"a file when nothing is listed":    {nil, "null", false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, row.allowed, Config{AllowedOrigins: row.patterns}.originAllowed(from(row.origin)))
		})
	}
}

func FuzzOriginAllowed(f *testing.F) {
	for _, s := range []string{"https://a.shop.example", "null", "https://shop.example@evil.example", "https://evil.example/.shop.example"} {
		f.Add(s)
	}
	c := Config{AllowedOrigins: []string{"https://*.shop.example"}}
	f.Fuzz(func(t *testing.T, origin string) {
		if origin == "" || !c.originAllowed(from(origin)) {
			return
		}
		u, err := url.Parse(origin)
		assert.NoError(t, err)
		assert.True(t, strings.HasSuffix(strings.ToLower(u.Host), ".shop.example"), origin)
	})
}
