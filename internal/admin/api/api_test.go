package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/admin/api"
	"pushgate/internal/deadletter"
	"pushgate/internal/explain"
	"pushgate/internal/groups"
	"pushgate/internal/operations"
	"pushgate/internal/push"
	"pushgate/internal/waiting"
)

// example returns a request for each operation of the document.
func example(route api.Route) (path, body string) {
	path = strings.NewReplacer("{user}", "alice", "{type}", "all", "{partition}", "1", "{offset}", "7", "{id}", "op-1").Replace(route.Path)
	switch {
	case strings.HasSuffix(path, "/explain"):
		path += "?user=alice"
	case strings.HasSuffix(path, "/discard"):
		body = `{"filter":{},"why":"a test","dry_run":false}`
	case strings.HasSuffix(path, "/replay"), strings.HasSuffix(path, "/release"):
		body = `{"filter":{},"dry_run":false}`
	case route.Method == http.MethodPost:
		body = `{}`
	}
	return path, body
}

func TestEveryOperationAnswersAsItIsDocumented(t *testing.T) {
	r := newRig(t)
	for _, route := range api.Routes() {
		r.parts.write(operation("op-1", operations.Running))
		path, body := example(route)
		a := r.ask(route.Method, path, body, nil)
		if strings.Contains(path, "websocket") {
			assert.Equal(t, http.StatusUpgradeRequired, a.code, path)
			continue
		}
		assert.Less(t, a.code, 300, "%s %s: %s", route.Method, path, a.text)
		assert.Equal(t, "no-store", a.header.Get("Cache-Control"), path)
		assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"), path)
	}
}

func TestAReaderLooksAndChangesNothing(t *testing.T) {
	r := newRig(t)
	for _, route := range api.Routes() {
		path, body := example(route)
		a := r.ask(route.Method, path, body, map[string]string{"Authorization": "Bearer reader-secret"})
		if route.Method == http.MethodPost || strings.Contains(path, "websocket") {
			assert.Equal(t, http.StatusForbidden, a.code, path)
			assert.Contains(t, a.text, "admin.read_token may look only")
		} else {
			assert.NotEqual(t, http.StatusForbidden, a.code, path)
		}
		for _, token := range []string{"", "Bearer wrong", "Bearer", "Basic operator-secret"} {
			a = r.ask(route.Method, path, body, map[string]string{"Authorization": token})
			assert.Equal(t, http.StatusUnauthorized, a.code, "%s with %q", path, token)
			assert.NotEmpty(t, a.body["hint"], path)
			assert.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
		}
	}
	assert.Equal(t, "reader", r.ask(http.MethodGet, "/v1/session", "", map[string]string{"Authorization": "bearer reader-secret"}).body["role"])
	assert.Equal(t, "operator", r.get("/v1/session").body["role"])
}

func TestWhileKafkaIsAwayTheAnswerSaysSoAndWhatToDo(t *testing.T) {
	r := newRig(t)
	r.parts.fail(errAway)
	for _, route := range api.Routes() {
		path, body := example(route)
		switch route.Path {
		case "/v1/session", "/v1/overview", "/v1/nodes", "/v1/openapi.yaml", "/v1/users/{user}/messages", "/v1/websocket/{type}/{user}":
			continue // they do not ask it, or answer themselves
		}
		a := r.ask(route.Method, path, body, nil)
		assert.Equal(t, http.StatusServiceUnavailable, a.code, path)
		assert.Contains(t, a.body["error"], "kafka is away", path)
		assert.NotEmpty(t, a.body["hint"], path)
		assert.NotEmpty(t, a.header.Get("Retry-After"), path)
	}
}

func TestWhatANodeDoesNotHaveIsSaidToBeAbsent(t *testing.T) {
	r := newRig(t, func(p *api.Params) { *p = api.Params{Guard: p.Guard, Users: p.Users, Jobs: p.Jobs, Logger: p.Logger} })
	for _, route := range api.Routes() {
		switch route.Path {
		case "/v1/session", "/v1/openapi.yaml", "/v1/users/{user}":
			continue
		}
		path, body := example(route)
		a := r.ask(route.Method, path, body, nil)
		assert.Equal(t, http.StatusNotImplemented, a.code, path)
		assert.NotEmpty(t, a.body["hint"], path)
	}
}

func TestWhatIsNotThereIsRefusedInTheSameForm(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]int{
		"/v1/nothing": 404, "/v1/": 404, "/v1/dead-letters/1": 404, "/v1/dead-letters/1/8": 404, "/v1/operations/none": 404,
		"/v1/dead-letters/replay": 405, "/v1/groups/prune": 405, "/v1/operations/op-1/cancel": 405,
	} {
		a := r.get(path)
		assert.Equal(t, want, a.code, path)
		assert.NotEmpty(t, a.body["error"], path)
		assert.NotEmpty(t, a.body["hint"], path)
		assert.Equal(t, want == 405, a.header.Get("Allow") != "", path)
		assert.Equal(t, http.StatusUnauthorized, r.ask(http.MethodGet, path, "", map[string]string{"Authorization": ""}).code, path)
	}
	assert.Equal(t, http.StatusMethodNotAllowed, r.ask(http.MethodDelete, "/v1/dead-letters", "", nil).code)
}

func TestASearchSaysWhatItIsAskedFor(t *testing.T) {
	r := newRig(t)
	a := r.get("/v1/dead-letters?user=alice&type=order&reason=exhausted&id=m-1&text=991&since=2030-01-01T00:00:00Z&until=2030-01-02T00:00:00Z&state=all&order=oldest&limit=7&cursor=x&again=true&everywhere=true")
	require.Equal(t, http.StatusOK, a.code, a.text)
	again := true
	assert.Equal(t, deadletter.Query{
		Filter: deadletter.Filter{
			User: "alice", Type: "order", ID: "m-1", Reason: push.Exhausted, Text: "991", State: deadletter.All, Again: &again, Everywhere: true,
			Since: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC),
		},
		Order: deadletter.OldestFirst, Limit: 7, Cursor: "x",
	}, r.parts.last())
	assert.JSONEq(t, `{"letters":[{"partition":1,"offset":7,"id":"m-1","user":"alice","type":"order","reason":"exhausted","error":"no attempts left",
		"died_at":"2030-01-02T12:00:00Z","attempt":0,"failures":0,"replays":0,"again":false,"state":"open","size":9,"preview":"{\"n\":991}"}],
		"next":"more","complete":true,"scanned":3,"malformed":0,"home_only":false}`, a.text)

	require.Equal(t, http.StatusOK, r.get("/v1/dead-letters?since=2h").code)
	q, ok := r.parts.last().(deadletter.Query)
	require.True(t, ok)
	assert.WithinDuration(t, time.Now().Add(-2*time.Hour), q.Filter.Since, time.Minute)
	assert.Equal(t, deadletter.Open, q.Filter.State)
	assert.Equal(t, 50, q.Limit)

	require.Equal(t, http.StatusOK, r.get("/v1/waiting?user=bob&type=order&reason=offline&id=m-2&older_than=10m").code)
	assert.Equal(t, waiting.Filter{User: "bob", Type: "order", ID: "m-2", Reason: push.Offline, OlderThan: 10 * time.Minute}, r.parts.last())
	require.Equal(t, http.StatusOK, r.get("/v1/explain?user=bob&id=m-2&limit=3").code)
	assert.Equal(t, explain.Ask{User: "bob", ID: "m-2", Limit: 3}, r.parts.last())
	require.Equal(t, http.StatusOK, r.get("/v1/groups?gone_for=2h").code)
	assert.Equal(t, 2*time.Hour, r.parts.last())
	require.Equal(t, http.StatusOK, r.get("/v1/overview?minutes=3").code)
	assert.Equal(t, 3, r.parts.last())
}

func TestWhatCannotBeAskedIsRefusedWithAHint(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{
		"/v1/dead-letters?reason=boredom", "/v1/dead-letters?reason=offline", "/v1/dead-letters?since=soon", "/v1/dead-letters?state=lost",
		"/v1/dead-letters?order=random", "/v1/dead-letters?limit=0", "/v1/dead-letters?limit=501", "/v1/dead-letters?limit=x",
		"/v1/dead-letters?usr=alice", "/v1/dead-letters?user=a&user=b", "/v1/dead-letters?again=perhaps", "/v1/dead-letters?since=1h&until=2h",
		"/v1/dead-letters/x/1", "/v1/dead-letters/1/-1", "/v1/dead-letters/99999999999/1",
		"/v1/waiting?reason=exhausted", "/v1/waiting?older_than=x", "/v1/waiting?user=" + strings.Repeat("x", 257), "/v1/waiting/summary?limit=3",
		"/v1/explain", "/v1/explain?limit=3", "/v1/explain?user=a&limit=1001", "/v1/overview?minutes=16", "/v1/groups?gone_for=-1h",
		"/v1/operations?limit=0", "/v1/users/" + strings.Repeat("x", 257),
	} {
		a := r.get(path)
		assert.Equal(t, http.StatusBadRequest, a.code, "%s: %s", path, a.text)
		assert.NotEmpty(t, a.body["hint"], path)
	}
	for _, row := range []struct{ path, body string }{
		{"/v1/dead-letters/replay", ``},
		{"/v1/dead-letters/replay", `{`},
		{"/v1/dead-letters/replay", `[]`},
		{"/v1/dead-letters/replay", `{"filter":{}} {}`},
		{"/v1/dead-letters/replay", `{}`},
		{"/v1/dead-letters/replay", `{"letters":[]}`},
		{"/v1/dead-letters/replay", `{"filter":{},"dryrun":true}`},
		{"/v1/dead-letters/replay", `{"filter":{"usr":"a"}}`},
		{"/v1/dead-letters/replay", `{"filter":{},"letters":[{"partition":0,"offset":1}]}`},
		{"/v1/dead-letters/replay", `{"letters":[{"partition":-1,"offset":1}]}`},
		{"/v1/dead-letters/replay", `{"filter":{},"rate":0}`},
		{"/v1/dead-letters/replay", `{"filter":{},"rate":1e9}`},
		{"/v1/dead-letters/replay", `{"filter":{},"ttl":"-1s"}`},
		{"/v1/dead-letters/replay", `{"filter":{},"why":"so"}`},
		{"/v1/dead-letters/replay", `{"filter":{},"by":"a\nb"}`},
		{"/v1/dead-letters/discard", `{"filter":{},"dry_run":false}`},
		{"/v1/dead-letters/discard", `{"filter":{},"dry_run":false,"why":" "}`},
		{"/v1/dead-letters/discard", `{"filter":{},"rate":5}`},
		{"/v1/waiting/release", `{"waits":[{"partition":0,"origin":1}]}`},
		{"/v1/waiting/release", `{"filter":{},"why":"so"}`},
		{"/v1/waiting/release", `{"filter":{"reason":"exhausted"}}`},
		{"/v1/waiting/discard", `{"filter":{},"dry_run":false}`},
		{"/v1/groups/prune", `{"gone_for":"0s"}`},
		{"/v1/operations/op-1/cancel", `{"b":"x"}`},
	} {
		a := r.post(row.path, row.body)
		assert.Equal(t, http.StatusBadRequest, a.code, "%s %s: %s", row.path, row.body, a.text)
		assert.NotEmpty(t, a.body["hint"], row.body)
	}
	assert.Nil(t, r.parts.last(), "nobody was asked")
	assert.Equal(t, http.StatusRequestEntityTooLarge, r.post("/v1/dead-letters/replay", `{"by":"`+strings.Repeat("x", 2<<20)).code)
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		a := r.ask(http.MethodPost, "/v1/dead-letters/replay", `{"filter":{}}`, map[string]string{"Content-Type": kind})
		assert.Equal(t, http.StatusUnsupportedMediaType, a.code, kind)
	}
}

func TestWhatThePartsRefuseIsNoOutage(t *testing.T) {
	r := newRig(t)
	for err, want := range map[error]int{
		&deadletter.FilterError{Text: "x"}: 400, &deadletter.CursorError{Text: "x"}: 400, &waiting.BadRequestError{Text: "x"}: 400,
		&explain.BadRequestError{Text: "x"}: 400, &groups.NoGroupError{Node: "b"}: 404,
		fmt.Errorf("looking: %w", deadletter.ErrNotFound):          404,
		&operations.BusyError{Other: operation("op-2", "running")}: 409,
		fmt.Errorf("reading: %w", context.DeadlineExceeded):        503,
	} {
		r.parts.fail(err)
		assert.Equal(t, want, r.get("/v1/dead-letters").code, err)
		assert.Equal(t, want, r.post("/v1/dead-letters/replay", `{"filter":{},"dry_run":false}`).code, err)
	}
}

func TestNothingIsDoneUnlessItIsSaidNotToBeADryRun(t *testing.T) {
	r := newRig(t)
	a := r.post("/v1/dead-letters/replay", `{"filter":{"user":"alice"},"by":"alice"}`)
	require.Equal(t, http.StatusOK, a.code, a.text)
	assert.EqualValues(t, 3, a.body["matched"])
	assert.EqualValues(t, 1, a.body["would_replay"])
	assert.Equal(t, map[string]any{"expired": 2., "again": 0., "handled": 0.}, a.body["skipped"])
	assert.Len(t, a.body["sample"], 1)
	assert.EqualValues(t, 1, r.post("/v1/dead-letters/discard", `{"filter":{}}`).body["would_discard"])
	a = r.post("/v1/waiting/release", `{"filter":{"user":"bob"}}`)
	assert.EqualValues(t, 1, a.body["would_release"])
	assert.Len(t, a.body["sample"], 1)
	assert.EqualValues(t, 1, r.post("/v1/waiting/discard", `{"waits":[{"partition":1,"origin":4,"user":"bob"}],"why":"so"}`).body["would_discard"])
	order, ok := r.parts.last().(waitOrder)
	require.True(t, ok)
	assert.True(t, order.order.DryRun)
	assert.Equal(t, []waiting.Ref{{Partition: 1, Origin: 4, User: "bob"}}, order.order.Waits)
	require.Equal(t, http.StatusOK, r.post("/v1/groups/prune", `{"by":"alice"}`).code)
	assert.Equal(t, groups.Pruning{GoneFor: time.Hour, DryRun: true, By: "alice (operator)"}, r.parts.last())
	r.parts.mu.Lock()
	defer r.parts.mu.Unlock()
	assert.Empty(t, r.parts.record, "no operation ran")
}

func TestAnOrderReachesWhoDoesIt(t *testing.T) {
	r := newRig(t)
	a := r.post("/v1/dead-letters/replay", `{"letters":[{"partition":1,"offset":7}],"rate":5,"ttl":"1h","expired":true,"again":true,"force":true,"dry_run":false,"by":"alice"}`)
	require.Equal(t, http.StatusAccepted, a.code, a.text)
	assert.Equal(t, deadletter.ReplayParams{
		Choice:  deadletter.Choice{Letters: []deadletter.Place{{Partition: 1, Offset: 7}}},
		Expired: true, Again: true, Rate: 5, TTL: time.Hour, By: "alice (operator)", Force: true,
	}, r.parts.last())
	a = r.post("/v1/dead-letters/discard", `{"filter":{"reason":"invalid"},"why":"a mistake","dry_run":false}`)
	require.Equal(t, http.StatusAccepted, a.code, a.text)
	assert.Equal(t, deadletter.DiscardParams{
		Choice: deadletter.Choice{Filter: deadletter.Filter{Reason: push.Invalid}}, Why: "a mistake", By: "127.0.0.1 (operator)",
	}, r.parts.last())
	require.Equal(t, http.StatusAccepted, r.post("/v1/waiting/discard", `{"filter":{"user":"bob"},"why":"so","dry_run":false}`).code)
	order, ok := r.parts.last().(waitOrder)
	require.True(t, ok)
	assert.Equal(t, waitOrder{operations.DiscardWaiting, waiting.Filter{User: "bob"}, waiting.Order{By: "127.0.0.1 (operator)", Why: "so"}}, order)
}

func TestAMessageIsSentAsItIsPosted(t *testing.T) {
	r := newRig(t)
	a := r.ask(http.MethodPost, "/v1/users/alice/messages", "<plain>", map[string]string{"Content-Type": "text/plain"})
	require.Equal(t, http.StatusAccepted, a.code, a.text)
	assert.Equal(t, "alice: <plain>", r.parts.last())
}

func TestABrowserShowsTheTokenOfASocketAsSubprotocol(t *testing.T) {
	r := newRig(t)
	for protocols, want := range map[string]int{
		"pushgate.v1, bearer.operator-secret": http.StatusUpgradeRequired, "bearer.reader-secret": 403, "bearer.wrong": 401, "pushgate.v1": 401,
	} {
		a := r.ask(http.MethodGet, "/v1/websocket/order/alice", "", map[string]string{"Authorization": "", "Sec-WebSocket-Protocol": protocols})
		assert.Equal(t, want, a.code, protocols)
	}
	assert.Equal(t, "order/alice", r.parts.last())
	own := map[string]string{"Origin": r.url, "Sec-Fetch-Site": "cross-site"} // a browser may call ws: another site
	assert.Equal(t, http.StatusUpgradeRequired, r.ask(http.MethodGet, "/v1/websocket/order/alice", "", own).code)
	other := map[string]string{"Origin": "https://shop.example"}
	assert.Equal(t, http.StatusForbidden, r.ask(http.MethodGet, "/v1/websocket/order/alice", "", other).code)
	// Elsewhere it is no token.
	a := r.ask(http.MethodGet, "/v1/session", "", map[string]string{"Authorization": "", "Sec-WebSocket-Protocol": "bearer.operator-secret"})
	assert.Equal(t, http.StatusUnauthorized, a.code)
}

func TestSearchesBeyondAFewAreToldToComeAgain(t *testing.T) {
	r := newRig(t)
	const most = 4
	gate, entered := make(chan struct{}), make(chan struct{}, most)
	r.parts.mu.Lock()
	r.parts.gate, r.parts.entered = gate, entered
	r.parts.mu.Unlock()
	codes := make(chan int, most)
	for range most {
		go func() { codes <- r.get("/v1/dead-letters").code }()
	}
	for range most {
		<-entered
	}
	assert.Equal(t, http.StatusTooManyRequests, r.get("/v1/waiting/summary").code)
	a := r.post("/v1/dead-letters/replay", `{"filter":{}}`)
	assert.Equal(t, http.StatusTooManyRequests, a.code, "a dry run is a search, too")
	assert.Equal(t, "1", a.header.Get("Retry-After"))
	assert.Equal(t, http.StatusOK, r.get("/v1/session").code)
	close(gate)
	for range most {
		assert.Equal(t, http.StatusOK, <-codes)
	}
	require.Eventually(t, func() bool { return r.get("/v1/waiting/summary").code == http.StatusOK }, patience, time.Millisecond)
}
