package console_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"pushgate/internal/console"
)

// object is JSON as the admin API answers it.
type object = map[string]any

// asked is a request the page has made.
type asked struct {
	method, path string
	query        url.Values
	header       http.Header
	body         object
	raw          string
}

// api stands in for the admin API: it answers as the contract has it, and remembers what
// it was asked. Safe for concurrent use.
type api struct {
	server *httptest.Server

	mu      sync.Mutex
	answers map[string]func(asked) (int, any)
	asked   []asked
	frames  chan object // what the socket sends
	acks    chan object // what it gets
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{}
	a.reset()
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(func() {
		a.server.CloseClientConnections()
		a.server.Close()
	})
	return a
}

func (a *api) address() string { return a.server.URL }

// reset forgets what was asked, and answers as at first.
func (a *api) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers, a.asked = canned(), nil
	a.frames, a.acks = make(chan object, 10), make(chan object, 10)
}

// answer has requests answered so, from now on.
func (a *api) answer(request string, status int, body any) {
	a.answerBy(request, func(asked) (int, any) { return status, body })
}

func (a *api) answerBy(request string, by func(asked) (int, any)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[request] = by
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		console.Handler().ServeHTTP(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v1/websocket/") {
		a.socket(w, r)
		return
	}
	raw, _ := io.ReadAll(r.Body)
	q := asked{method: r.Method, path: r.URL.Path, query: r.URL.Query(), header: r.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &q.body)
	a.mu.Lock()
	a.asked = append(a.asked, q)
	by := a.answers[r.Method+" "+r.URL.Path]
	a.mu.Unlock()
	if by == nil {
		by = func(asked) (int, any) {
			return http.StatusNotFound, object{"error": "there is no " + r.URL.Path, "hint": "see /v1/openapi.yaml"}
		}
	}
	status, body := by(q)
	if status == 0 {
		panic(http.ErrAbortHandler) // as a node that has gone away
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// socket sends frames, and passes on what it gets.
func (a *api) socket(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, asked{method: r.Method, path: r.URL.Path, header: r.Header})
	frames, acks := a.frames, a.acks
	a.mu.Unlock()
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"pushgate.v1"}})
	if err != nil {
		return
	}
	ctx := r.Context()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			_, data, err := c.Read(ctx)
			if err != nil {
				return
			}
			var ack object
			if json.Unmarshal(data, &ack) == nil && len(ack["ack"].([]any)) > 0 {
				acks <- ack
			}
		}
	}()
	for {
		select {
		case f := <-frames:
			b, _ := json.Marshal(f)
			_ = c.Write(ctx, websocket.MessageText, b)
		case <-gone:
			_ = c.CloseNow()
			return
		}
	}
}

// waitFor waits for a request that fits, and returns the latest.
func (a *api) waitFor(t *testing.T, request string, fits func(asked) bool) asked {
	t.Helper()
	var found asked
	require.Eventually(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, q := range slices.Backward(a.asked) {
			if q.method+" "+q.path == request && (fits == nil || fits(q)) {
				found = q
				return true
			}
		}
		return false
	}, patience, 20*time.Millisecond, "the page asks for %s", request)
	return found
}

// count counts the requests so far.
func (a *api) count(request string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, q := range a.asked {
		if q.method+" "+q.path == request {
			n++
		}
	}
	return n
}

func dry(yes bool) func(asked) bool { return func(q asked) bool { return q.body["dry_run"] == yes } }

func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339Nano) }

// canned is a platform in a middling state.
func canned() map[string]func(asked) (int, any) {
	fixed := map[string]any{
		"GET /v1/session":           object{"node": "gate-1", "version": "v1.4.0", "role": "operator", "gateway": true, "routing": "broadcast", "order": "relaxed"},
		"GET /v1/overview":          cannedOverview(),
		"GET /v1/nodes":             cannedNodes(),
		"GET /v1/dead-letters":      object{"letters": cannedLetters(), "next": "c2", "complete": true, "scanned": 50},
		"GET /v1/dead-letters/3/17": cannedLetter(),
		"GET /v1/operations":        object{"operations": []object{cannedOperation("op-2", "running"), cannedOperation("op-1", "done")}},
		"GET /v1/operations/op-1":   cannedOperation("op-1", "done"),
		"GET /v1/operations/op-2":   cannedOperation("op-2", "running"),
		"GET /v1/waiting":           object{"waits": cannedWaits(), "complete": true},
		"GET /v1/waiting/summary":   object{"total": 1284, "by_reason": object{"offline": 1200, "ack_timeout": 71, "slow_consumer": 13}, "oldest": ago(5 * time.Hour), "next_due": ago(-4 * time.Second)},
		"GET /v1/explain":           cannedStory(),
		"GET /v1/groups": object{"groups": []object{
			{"name": "pushgate.custody", "state": "Stable", "members": 3, "lag": 12, "gone": false, "why": "the custodians’ own"},
			{"name": "pushgate.gateway.gate-1", "node": "gate-1", "state": "Stable", "members": 1, "lag": 0, "last_seen": ago(time.Second), "gone": false, "why": "its node is alive"},
			{"name": "pushgate.gateway.gate-7", "node": "gate-7", "state": "Empty", "members": 0, "lag": 48211, "last_seen": ago(26 * time.Hour), "gone": true, "why": "its node has been silent for 26 h"},
		}},
	}
	answers := make(map[string]func(asked) (int, any), len(fixed))
	for request, body := range fixed {
		answers[request] = func(asked) (int, any) { return http.StatusOK, body }
	}
	return answers
}

func cannedOverview() object {
	var series []object
	for i := range 120 {
		wave := float64((i*37)%11) / 11
		dead := 0.0
		if i%40 > 36 {
			dead = 2.5 * wave
		}
		series = append(series, object{
			"t": ago(time.Duration(120-i) * 5 * time.Second), "sessions": 11_800 + i*4 + int(90*wave),
			"delivered_per_s": 900 + 140*wave + float64(i), "requests_per_s": 960 + 190*wave + float64(i), "dead_per_s": dead,
			"waiting": 1400 - i - int(30*wave), "p50": 0.004 + 0.002*wave, "p99": 0.031 + 0.04*wave,
		})
	}
	return object{
		"at": ago(time.Second), "interval_seconds": 5, "nodes": object{"alive": 2, "silent": 1},
		"now": object{
			"sessions": 12_314, "users": 11_020, "delivered_per_s": 1043.2, "requests_per_s": 1101.9, "dead_per_s": 0.4, "waiting": 1284,
			"in_flight": 37, "p50": 0.0046, "p99": 0.048, "oldest_wait": ago(5 * time.Hour),
		},
		"series": series,
	}
}

func cannedNodes() object {
	node := func(name, state string, more object) object {
		n := object{
			"node": name, "life": 1, "at": ago(time.Second), "version": "v1.4.0", "started": ago(76 * time.Hour), "roles": []string{"gateway", "custodian"},
			"gateway": "10.0.0.1:8080", "admin": "10.0.0.1:8081", "routing": "broadcast", "order": "relaxed", "ready": true,
			"checks": object{"kafka": "ok", "assignment": "ok", "restored": "ok"}, "details": object{"canary": "4 ms, 3 s ago"},
			"sessions": 6_157, "users": 5_510, "cpu": 8123.4, "rss": 412 << 20,
			"counters": object{"delivered": 83_112_402, "held": 9_120, "failed": 1_204, "read": 90_210_114, "dropped": 0, "repeats": 210, "dead": object{"exhausted": 12, "expired": 44}},
			"latency":  object{"p50": 0.0046, "p99": 0.048, "count": 5210},
			"reading":  []object{{"partition": 0, "position": 120_001, "end": 120_003, "lag_messages": 2, "lag_seconds": 0.1}, {"partition": 1, "position": 118_400, "end": 118_400}},
			"custody":  []object{{"partition": 0, "in_flight": 12, "waiting": 420, "lag_messages": 0, "oldest_wait": ago(5 * time.Hour)}, {"partition": 1, "in_flight": 3, "waiting": 31}},
			"state":    state, "since": ago(40 * time.Second), "last_report": ago(time.Second),
		}
		maps.Copy(n, more)
		return n
	}
	return object{
		"uncustodied": []int{5},
		"warnings":    []string{"gate-2 has message.default_ttl 12h, the others 24h"},
		"nodes": []object{
			node("gate-1", "alive", nil),
			node("gate-2", "alive", object{"custody": []object{{"partition": 2, "in_flight": 0, "waiting": 9, "lag_messages": 5210, "lag_seconds": 94, "stalled": "the broker refuses the retry topic: not enough replicas"}}}),
			node("gate-3", "silent", nil),
			node("gate-7", "stopped", object{"since": ago(9 * time.Minute)}),
		},
	}
}

func cannedLetters() []object {
	return []object{
		{"partition": 3, "offset": 17, "id": "0199a1b2-7c1d-7000-8000-0000000000a1", "user": "alice", "type": "order", "reason": "exhausted", "error": "8 attempts, the last: not acknowledged within 10s", "died_at": ago(4 * time.Minute), "attempt": 8, "failures": 8, "replays": 1, "again": true, "state": "open", "size": 212, "preview": `{"order":"A-4711","state":"shipped","total":129.9}`},
		{"partition": 1, "offset": 902, "id": "0199a1b2-7c1d-7000-8000-0000000000a2", "user": "bob@example.org", "type": "chat", "reason": "expired", "error": "expired 3s before it could be offered again", "died_at": ago(11 * time.Minute), "attempt": 2, "failures": 1, "replays": 0, "again": false, "state": "open", "size": 61, "preview": `{"from":"carol","text":"Are you there?"}`},
		{"partition": 0, "offset": 5, "id": "", "user": "dave", "type": "order", "reason": "invalid", "error": "ce_type is empty: set it to the business type", "died_at": ago(50 * time.Minute), "attempt": 0, "failures": 0, "replays": 0, "again": false, "state": "open", "size": 9, "preview": "not json"},
	}
}

func cannedLetter() object {
	l := cannedLetters()[0]
	l["headers"] = []object{{"key": "ce_type", "value": "order"}, {"key": "content-type", "value": "application/json"}, {"key": "pushgate-id", "value": "0199a1b2-7c1d-7000-8000-0000000000a1"}, {"key": "traceparent", "value": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}
	l["data"] = object{"order": "A-4711", "state": "shipped", "total": 129.9, "lines": []object{{"sku": "X1", "n": 2}}}
	l["origin"] = object{"topic": "push.requests", "partition": 3, "offset": 991}
	l["first_seen"], l["expires"], l["node"] = ago(30*time.Minute), ago(-23*time.Hour), "gate-1"
	return l
}

func cannedOperation(id, state string) object {
	o := object{
		"id": id, "kind": "replay", "by": "carol (operator)", "filter": object{"reason": "exhausted", "type": "order"}, "state": state,
		"began": ago(3 * time.Minute), "updated": ago(time.Second), "matched": 1200, "done": 480, "skipped": 20, "failed": 0,
	}
	if state == "done" {
		o["ended"], o["done"], o["kind"], o["why"] = ago(2*time.Minute), 1180, "discard", "the shop was a test"
	}
	return o
}

func cannedWaits() []object {
	return []object{
		{"user": "alice", "id": "0199a1b2-7c1d-7000-8000-0000000000b1", "type": "order", "reason": "offline", "partition": 3, "origin": 1201, "attempt": 1, "failures": 0, "first_seen": ago(5 * time.Hour), "since": ago(5 * time.Hour), "due": ago(-time.Hour), "expires": ago(-19 * time.Hour), "size": 120, "data": object{"order": "A-4800"}},
		{"user": "erin", "id": "0199a1b2-7c1d-7000-8000-0000000000b2", "type": "chat", "reason": "ack_timeout", "partition": 0, "origin": 88, "attempt": 4, "failures": 3, "first_seen": ago(3 * time.Minute), "since": ago(20 * time.Second), "due": ago(-12 * time.Second), "expires": ago(-23 * time.Hour), "size": 40, "text": "hello"},
	}
}

func cannedStory() object {
	return object{
		"user": "alice", "gaps": []string{"push.outcomes is kept for 24 h only: what was recorded before is not known"},
		"messages": []object{{
			"id": "0199a1b2-7c1d-7000-8000-0000000000a1", "type": "order", "outcome": "dead_letter", "events": []object{
				{"time": ago(31 * time.Minute), "kind": "produced", "where": "push.requests/3 @ 991", "text": "with a time to live of 24h"},
				{"time": ago(31*time.Minute - 4*time.Millisecond), "kind": "written", "where": object{"node": "gate-1"}, "text": "to 1 connection of alice"},
				{"time": ago(31*time.Minute - 10*time.Second), "kind": "failed", "where": object{"topic": "push.receipts", "partition": 3, "offset": 40_112, "node": "gate-1"}, "text": "not acknowledged within 10s"},
				{"time": ago(30 * time.Minute), "kind": "waits", "where": object{"topic": "push.retry", "partition": 3, "offset": 1201}, "text": "until the next attempt, 2 of 8"},
				{"kind": "gap", "text": "six attempts between here and there are no longer kept"},
				{"time": ago(4 * time.Minute), "kind": "dead_letter", "where": object{"topic": "push.dead_letter", "partition": 3, "offset": 17}, "text": "attempts used up"},
			},
		}},
	}
}
