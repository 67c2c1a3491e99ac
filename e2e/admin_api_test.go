package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/admin/api/apitest"
	"pushgate/internal/freeport"
)

const (
	operatorToken = "operator-secret"
	readerToken   = "reader-secret"
)

// operator asks the admin API of a node, and holds every answer against the document.
type operator struct {
	t        *testing.T
	node     *node
	token    string
	contract *apitest.Contract
}

// said is an answer.
type said struct {
	code int
	text string
	body map[string]any
}

func (o *operator) ask(method, path, body string, headers ...string) said {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+o.node.admin+path, strings.NewReader(body))
	require.NoError(o.t, err)
	req.Header.Set("Authorization", "Bearer "+o.token)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(o.t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(o.t, err)
	a := said{code: res.StatusCode, text: string(raw)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		require.NoError(o.t, json.Unmarshal(raw, &a.body), a.text)
	}
	if strings.HasPrefix(path, "/v1/") && res.StatusCode != http.StatusNotFound {
		o.contract.Answer(o.t, req, res, raw)
	}
	return a
}

func (o *operator) get(path string) said {
	o.t.Helper()
	a := o.ask(http.MethodGet, path, "")
	require.Equal(o.t, http.StatusOK, a.code, "%s: %s", path, a.text)
	return a
}

func (o *operator) post(path, body string, want int) said {
	o.t.Helper()
	a := o.ask(http.MethodPost, path, body)
	require.Equal(o.t, want, a.code, "%s %s: %s", path, body, a.text)
	return a
}

// items are the objects of a list in an answer.
func (a said) items(name string) []map[string]any {
	list, _ := a.body[name].([]any)
	items := make([]map[string]any, len(list))
	for i := range list {
		items[i], _ = list[i].(map[string]any)
	}
	return items
}

// await asks until there are that many items.
func (o *operator) await(path, name string, count int) []map[string]any {
	o.t.Helper()
	var last said
	require.True(o.t, poll(20*time.Second, func() bool {
		last = o.get(path)
		return len(last.items(name)) == count
	}), "not %d: %s", count, last.text)
	return last.items(name)
}

// ends waits until an operation has ended, and returns it.
func (o *operator) ends(started said) map[string]any {
	o.t.Helper()
	var last said
	require.True(o.t, poll(30*time.Second, func() bool {
		last = o.get(fmt.Sprint("/v1/operations/", started.body["id"]))
		return last.body["state"] != "running"
	}), "it still runs: %s", last.text)
	return last.body
}

// adminPlatform runs `pushgate dev` whose admin listener asks for tokens.
func adminPlatform(t *testing.T) (o, reader *operator) {
	t.Helper()
	gateway, admin := freeport.Address(t), freeport.Address(t)
	env := map[string]string{
		"PUSHGATE_NODE_ID": "dev", "PUSHGATE_ADMIN_TOKEN": operatorToken, "PUSHGATE_ADMIN_READ_TOKEN": readerToken, "PUSHGATE_DRAIN_TIMEOUT": "1s",
	}
	p := run(t, "dev", env, "dev", "--data-dir", t.TempDir(), "--kafka-listen", freeport.Address(t), "--gateway-listen", gateway, "--admin-listen", admin)
	n := &node{process: p, id: "dev", gateway: gateway, admin: admin}
	n.ready(20 * time.Second)
	o = &operator{t: t, node: n, token: operatorToken, contract: apitest.New(t)}
	return o, &operator{t: t, node: n, token: readerToken, contract: o.contract}
}

func TestOverTheAdminAPIWhatDiedIsFoundReplayedAndDelivered(t *testing.T) {
	o, reader := adminPlatform(t)
	sent := o.post("/v1/users/42/messages?ttl=300ms", `{"order":991}`, http.StatusAccepted)
	o.post("/v1/users/43/messages?ttl=300ms", `{"order":992}`, http.StatusAccepted)
	o.await("/v1/dead-letters?reason=expired", "letters", 2)
	letter := o.await("/v1/dead-letters?user=42&text=991&since=1h", "letters", 1)[0]
	assert.Equal(t, sent.body["id"], letter["id"])
	whole := o.get(fmt.Sprintf("/v1/dead-letters/%v/%v", letter["partition"], letter["offset"]))
	assert.Equal(t, map[string]any{"order": 991.}, whole.body["data"])
	assert.Equal(t, http.StatusNotFound, o.ask(http.MethodGet, "/v1/dead-letters/0/99999", "").code)

	plan := o.post("/v1/dead-letters/replay", `{"filter":{"user":"42"}}`, http.StatusOK)
	assert.EqualValues(t, 0, plan.body["would_replay"], "what has expired is left out: %s", plan.text)
	reader.post("/v1/dead-letters/replay", `{"filter":{"user":"42"},"expired":true}`, http.StatusForbidden)
	done := o.ends(o.post("/v1/dead-letters/replay", `{"filter":{"user":"42"},"expired":true,"ttl":"1h","dry_run":false,"by":"alice"}`, http.StatusAccepted))
	assert.Equal(t, "done", done["state"], done)
	assert.EqualValues(t, 1, done["done"], done)
	assert.Equal(t, "alice (operator)", done["by"])
	assert.Empty(t, o.get("/v1/dead-letters?user=42").items("letters"), "it is handled")
	assert.Len(t, o.get("/v1/dead-letters?user=42&state=replayed").items("letters"), 1)
	connect(t, o.node, "42").waitFor(20*time.Second, sent.body["id"].(string))

	done = o.ends(o.post("/v1/dead-letters/discard", `{"filter":{"user":"43"},"why":"a test","dry_run":false}`, http.StatusAccepted))
	assert.Equal(t, "done", done["state"], done)
	assert.Equal(t, "a test", done["why"])
	assert.Len(t, reader.get("/v1/operations").items("operations"), 2)
	o.post(fmt.Sprint("/v1/operations/", done["id"], "/cancel"), `{}`, http.StatusConflict)

	require.True(t, poll(10*time.Second, func() bool {
		told := reader.get(fmt.Sprint("/v1/explain?id=", sent.body["id"])).items("messages")
		return len(told) == 1 && told[0]["outcome"] == "delivered"
	}), "its story: %s", reader.get(fmt.Sprint("/v1/explain?id=", sent.body["id"])).text)
}

func TestOverTheAdminAPIWhatWaitsIsReleasedAndDiscarded(t *testing.T) {
	o, _ := adminPlatform(t)
	o.post("/v1/users/44/messages", `{"n":1}`, http.StatusAccepted)
	o.post("/v1/users/45/messages", `{"n":2}`, http.StatusAccepted)
	o.await("/v1/waiting?reason=offline", "waits", 2)
	assert.EqualValues(t, 2, o.get("/v1/waiting/summary").body["total"])
	plan := o.post("/v1/waiting/release", `{"filter":{"user":"44"}}`, http.StatusOK)
	assert.EqualValues(t, 1, plan.body["would_release"])
	done := o.ends(o.post("/v1/waiting/release", `{"filter":{"user":"44"},"dry_run":false}`, http.StatusAccepted))
	assert.Equal(t, "done", done["state"], done)
	wait := o.await("/v1/waiting?user=45", "waits", 1)[0]
	named := fmt.Sprintf(`{"waits":[{"partition":%v,"origin":%v,"user":"45"}],"why":"a test","dry_run":false}`, wait["partition"], wait["origin"])
	done = o.ends(o.post("/v1/waiting/discard", named, http.StatusAccepted))
	assert.Equal(t, "done", done["state"], done)
	letter := o.await("/v1/dead-letters?user=45", "letters", 1)[0]
	assert.Equal(t, "discarded", letter["reason"])
	assert.Contains(t, letter["error"], "a test")
}

func TestTheAdminListenerShowsTheDeploymentAndLetsNobodyElseAct(t *testing.T) {
	o, reader := adminPlatform(t)
	assert.Equal(t, "operator", o.get("/v1/session").body["role"])
	assert.Equal(t, "reader", reader.get("/v1/session").body["role"])
	o.await("/v1/nodes", "nodes", 1)
	require.True(t, poll(20*time.Second, func() bool {
		alive, _ := o.get("/v1/overview?minutes=1").body["nodes"].(map[string]any)
		return alive["alive"] == 1.
	}))
	assert.NotEmpty(t, o.get("/v1/groups").items("groups"))
	o.post("/v1/groups/prune", `{}`, http.StatusOK)
	assert.Contains(t, o.get("/v1/openapi.yaml").text, "openapi: 3.1")
	assert.Equal(t, http.StatusNotFound, o.ask(http.MethodGet, "/v1/nothing", "").code)
	page := o.ask(http.MethodGet, "/", "", "Authorization", "")
	assert.Equal(t, http.StatusOK, page.code)
	assert.Contains(t, page.text, "<html")

	nobody := &operator{t: t, node: o.node, token: "wrong", contract: o.contract}
	assert.Equal(t, http.StatusUnauthorized, nobody.ask(http.MethodGet, "/v1/nodes", "").code)
	assert.Equal(t, http.StatusForbidden, o.ask(http.MethodPost, "/v1/users/46/messages", "{}", "Origin", "https://evil.example").code)
	assert.Equal(t, http.StatusUnsupportedMediaType, o.ask(http.MethodPost, "/v1/dead-letters/replay", "{}", "Content-Type", "text/plain").code)

	// The playground: the console opens a session of any user.
	open := func(token, origin string) (*websocket.Conn, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, "ws://"+o.node.admin+"/v1/websocket/all/46", &websocket.DialOptions{
			Subprotocols: []string{"pushgate.v1", "bearer." + token}, HTTPHeader: http.Header{"Origin": {origin}},
		})
		return conn, err
	}
	_, err := open(readerToken, "http://"+o.node.admin)
	require.ErrorContains(t, err, "403")
	_, err = open(operatorToken, "https://evil.example")
	require.ErrorContains(t, err, "403")
	conn, err := open(operatorToken, "http://"+o.node.admin)
	require.NoError(t, err)
	defer func() { _ = conn.CloseNow() }()
	assert.Equal(t, "pushgate.v1", conn.Subprotocol())
	sent := o.post("/v1/users/46/messages", `{"n":3}`, http.StatusAccepted)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, data, err := conn.Read(ctx)
	require.NoError(t, err)
	assert.Contains(t, string(data), fmt.Sprintf(`"id":%q`, sent.body["id"]))
	assert.Len(t, o.get("/v1/users/46").items("sessions"), 1)

	o.node.signal(syscall.SIGTERM)
	assert.Zero(t, o.node.exit(20*time.Second))
}

func TestANodeThatLeavesInterruptsAReplayAndTheSameOrderResumesIt(t *testing.T) {
	dir, kafka, gateway, admin := t.TempDir(), freeport.Address(t), freeport.Address(t), freeport.Address(t)
	contract := apitest.New(t)
	start := func() *operator {
		return &operator{t: t, node: developmentPlatform(t, dir, kafka, gateway, admin), contract: contract}
	}
	o := start()
	const letters = 40
	for range letters {
		o.post("/v1/users/47/messages?ttl=100ms", `{}`, http.StatusAccepted)
	}
	o.await("/v1/dead-letters?user=47", "letters", letters)
	const order = `{"filter":{"user":"47"},"expired":true,"ttl":"1h","rate":%d,"dry_run":false}`
	started := o.post("/v1/dead-letters/replay", fmt.Sprintf(order, 5), http.StatusAccepted)
	require.True(t, poll(20*time.Second, func() bool {
		done, _ := o.get(fmt.Sprint("/v1/operations/", started.body["id"])).body["done"].(float64)
		return done > 0
	}))
	o.node.signal(syscall.SIGTERM)
	assert.Zero(t, o.node.exit(40*time.Second))

	o = start()
	was := o.ends(started)
	assert.Equal(t, "interrupted", was["state"], was)
	left := o.post("/v1/dead-letters/replay", `{"filter":{"user":"47"},"expired":true}`, http.StatusOK)
	would, _ := left.body["would_replay"].(float64)
	assert.Positive(t, would)
	assert.Less(t, would, float64(letters))
	done := o.ends(o.post("/v1/dead-letters/replay", fmt.Sprintf(order, 1000), http.StatusAccepted))
	assert.Equal(t, "done", done["state"], done)
	assert.InDelta(t, would, done["done"], 0, "%v", done)
	assert.Empty(t, o.get("/v1/dead-letters?user=47").items("letters"))
}
