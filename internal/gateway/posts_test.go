package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func TestPostsAreCountedByTheirResult(t *testing.T) {
	r := newRig(t)
	r.publish = func(_ context.Context, rec push.Record) error {
		if string(rec.Value) == `"down"` {
			return errors.New("no broker")
		}
		return nil
	}
	post := func(body string, change func(*http.Request)) {
		q := r.message(body)
		change(q)
		r.do(q)
	}
	as := func(scopes ...string) func(*http.Request) {
		return func(q *http.Request) { q.Header = bearer(r.token("shop", scopes...)) }
	}
	post(`"up"`, func(*http.Request) {})
	post(`"up"`, func(*http.Request) {})
	post(`"down"`, func(*http.Request) {})
	post(`"up"`, func(q *http.Request) { q.Header.Set("ce-type", strings.Repeat("t", 200)) })
	post(strings.Repeat("x", maxBytes+1), func(*http.Request) {})
	post(`"up"`, as())
	post(`"up"`, func(q *http.Request) { q.Header = http.Header{} })
	require.NoError(t, testutil.GatherAndCompare(r.registry, strings.NewReader(`
# HELP pushgate_posts_total Messages posted over HTTP, by result.
# TYPE pushgate_posts_total counter
pushgate_posts_total{result="accepted"} 2
pushgate_posts_total{result="bad_request"} 1
pushgate_posts_total{result="forbidden"} 1
pushgate_posts_total{result="too_large"} 1
pushgate_posts_total{result="unauthorized"} 1
pushgate_posts_total{result="unavailable"} 1
`), "pushgate_posts_total"))
	count, err := testutil.GatherAndCount(r.registry, "pushgate_sessions_limit")
	require.NoError(t, err)
	assert.Equal(t, 1, count)
}
