package access_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/admin/access"
)

type headers map[string]string

func request(method, host string, h headers) *http.Request {
	r := httptest.NewRequest(method, "http://"+host+"/v1/session", http.NoBody)
	for name, value := range h {
		r.Header.Set(name, value)
	}
	return r
}

// status is 200 for who is admitted.
func status(g access.Guard, r *http.Request, need access.Role) int {
	if _, refusal := g.Admit(r, need); refusal != nil {
		return refusal.Status
	}
	return http.StatusOK
}

func TestWithoutATokenAPageOfAnotherOriginDoesNothing(t *testing.T) {
	open := access.Guard{Listen: "127.0.0.1:8081"}
	const here = "127.0.0.1:8081"
	for _, row := range []struct {
		name, method, host string
		headers            headers
		want               int
	}{
		{"a command line", "POST", here, nil, 200},
		{"its own page", "POST", here, headers{"Origin": "http://127.0.0.1:8081", "Sec-Fetch-Site": "same-origin"}, 200},
		{"its own page in an old browser", "POST", here, headers{"Origin": "http://127.0.0.1:8081"}, 200},
		{"localhost", "POST", "localhost:8081", headers{"Origin": "http://localhost:8081"}, 200},
		{"IPv6", "GET", "[::1]:8081", nil, 200},
		{"another page posts", "POST", here, headers{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403},
		{"another page posts in an old browser", "POST", here, headers{"Origin": "https://evil.example"}, 403},
		{"a page from a file", "POST", here, headers{"Origin": "null"}, 403},
		{"another port of this machine", "POST", here, headers{"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, 403},
		{"another page loads", "GET", here, headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		{"a link on another page", "GET", here, headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200},
		{"a form on another page", "POST", here, headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403},
		{"a name that leads here (DNS rebinding)", "POST", "evil.example:8081", headers{"Origin": "http://evil.example:8081", "Sec-Fetch-Site": "same-origin"}, 403},
		{"the same, to read", "GET", "evil.example:8081", headers{"Sec-Fetch-Site": "same-origin"}, 403},
		{"a name like localhost", "GET", "localhost.evil.example", nil, 403},
	} {
		assert.Equal(t, row.want, status(open, request(row.method, row.host, row.headers), access.Operator), row.name)
	}
	named := access.Guard{Listen: "admin.internal:8081"}
	assert.Equal(t, 200, status(named, request("GET", "Admin.Internal:8081", nil), access.Operator))
}

func TestATokenSaysWhoMayDoWhat(t *testing.T) {
	g := access.Guard{Token: "operator", ReadToken: "reader", Listen: ":8081"}
	bearer := func(token string) headers { return headers{"Authorization": "Bearer " + token} }
	const host = "gateway-1:8081"
	assert.Equal(t, 200, status(g, request("GET", host, bearer("operator")), access.Operator))
	assert.Equal(t, 200, status(g, request("GET", host, bearer("reader")), access.Reader))
	assert.Equal(t, 403, status(g, request("GET", host, bearer("reader")), access.Operator))
	for _, h := range []headers{nil, bearer("x"), bearer(""), {"Authorization": "operator"}, {"Cookie": "token=operator"}} {
		assert.Equal(t, 401, status(g, request("GET", host, h), access.Reader), h)
	}
	// No read token is not the empty one.
	assert.Equal(t, 401, status(access.Guard{Token: "operator"}, request("GET", host, bearer("")), access.Reader))
	// Even with the token, nothing is changed for a page of another origin.
	stolen := bearer("operator")
	stolen["Origin"] = "https://evil.example"
	assert.Equal(t, 403, status(g, request("POST", host, stolen), access.Operator))
	assert.Equal(t, 200, status(g, request("GET", host, stolen), access.Operator))
}
