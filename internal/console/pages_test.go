package console_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheConsoleShowsWhatGoesOn(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	t.Run("the overview has figures, charts and what needs attention", func(t *testing.T) {
		began := time.Now()
		p := b.open(t, "", desk)
		p.sees("1,043", "4.6 ms", "48 ms", "12,314", "1,284", "2 · 1 silent")
		p.sees("Partition 2 in custody of gate-2: the broker refuses the retry topic", "gate-3 says nothing", "1 partition in nobody’s custody: 5", "gate-2 has message.default_ttl 12h", "The latest 3 of the last hour:")
		p.until("document.querySelectorAll('.plot canvas').length === 5", "five charts are drawn")
		p.until(`document.querySelector('.plot').getAttribute('aria-label').startsWith('Messages a second. delivered: now ')`, "a chart is told in words")
		p.clicks("The charts in numbers")
		p.sees("Produce to acknowledge: p99")
		before := b.api.count("GET /v1/overview")
		const every = 30 * time.Second
		assert.LessOrEqual(t, b.api.count("GET /v1/dead-letters"), 2+int(time.Since(began)/every), "the letters are not asked for at every turn")
		require.Eventually(t, func() bool { return b.api.count("GET /v1/overview") > before+1 }, patience, patience/300, "it stays up to date")
		p.chooses("Charts over", "5")
		p.hash("minutes=5")
		b.api.waitFor(t, "GET /v1/overview", func(q asked) bool { return q.query.Get("minutes") == "5" })
		p.clicks("1 Attempts used up")
		p.hash("#/dead-letters?reason=exhausted&since=1h")
	})
	t.Run("a hidden page asks for nothing", func(t *testing.T) {
		p := b.open(t, "", desk)
		p.sees("1,043")
		eval[bool](p, "(Object.defineProperty(document, 'hidden', {get: () => true, configurable: true}), document.dispatchEvent(new Event('visibilitychange')), true)")
		// Counted where they begin: what was under way may go on.
		asked := eval[int](p, `new Promise((r) => {
			let asked = 0;
			const fetch = window.fetch;
			window.fetch = (...q) => (asked++, fetch(...q));
			setTimeout(() => r(asked), 5000);
		})`)
		assert.Zero(t, asked)
		before := b.api.count("GET /v1/overview")
		eval[bool](p, "(Object.defineProperty(document, 'hidden', {get: () => false, configurable: true}), document.dispatchEvent(new Event('visibilitychange')), true)")
		require.Eventually(t, func() bool { return b.api.count("GET /v1/overview") > before }, patience, patience/300)
	})
	t.Run("an overview without trouble says so", func(t *testing.T) {
		p := b.open(t, "#/operations", desk)
		b.api.answer("GET /v1/nodes", http.StatusOK, object{"nodes": []object{}, "uncustodied": nil, "warnings": nil})
		b.api.answer("GET /v1/dead-letters", http.StatusOK, object{"letters": []object{}, "next": "", "complete": true, "scanned": 0})
		p.clicks("Overview")
		p.sees("All well")
	})
	t.Run("nodes have details", func(t *testing.T) {
		p := b.open(t, "#/nodes", desk)
		p.sees("gate-1", "gate-2", "gate-3", "silent", "stopped", "1 stalled", "5,210", "pushgate.gateway.gate-7", "its node has been silent for 26 h")
		p.clicks("gate-2")
		p.hash("#/nodes/gate-2")
		p.sees("83,112,402", "412 MiB", "Stalled: the broker refuses the retry topic", "restored", "4 ms, 3 s ago")
		p.clicks("← All nodes")
		p.sees("Consumer groups")
	})
	t.Run("groups that are gone are pruned after a dry run", func(t *testing.T) {
		p := b.open(t, "#/nodes", desk)
		gone := []object{{"name": "pushgate.gateway.gate-7", "why": "its node has been silent for 26 h"}}
		b.api.answerBy("POST /v1/groups/prune", func(q asked) (int, any) {
			return http.StatusOK, object{"dry_run": q.body["dry_run"], "deleted": gone, "kept": []object{{"name": "a"}}, "failed": []object{}}
		})
		p.clicks("Prune 1 group…")
		p.types("Your name", "carol")
		p.clicks("Dry run")
		p.sees("1 group would be deleted, 1 kept")
		q := b.api.waitFor(t, "POST /v1/groups/prune", dry(true))
		assert.Equal(t, "1h", q.body["gone_for"])
		p.clicks("Delete 1 group")
		p.sees("1 group deleted")
		assert.Equal(t, "carol", b.api.waitFor(t, "POST /v1/groups/prune", dry(false)).body["by"])
	})
	t.Run("operations tell who did what", func(t *testing.T) {
		p := b.open(t, "#/operations", desk)
		p.sees("carol (operator)", "reason=exhausted", "type=order", "1,180 of 1,200", "“the shop was a test”", "running")
		p.clicks(eval[string](p, "document.querySelector('td a').textContent.trim()"))
		p.sees("500 of 1,200")
		b.api.answer("POST /v1/operations/op-2/cancel", http.StatusAccepted, object{})
		b.api.answer("GET /v1/operations/op-2", http.StatusOK, cannedOperation("op-2", "cancelled"))
		p.clicks("Stop it")
		b.api.waitFor(t, "POST /v1/operations/op-2/cancel", nil)
		p.sees("cancelled")
	})
	t.Run("a story is told with times, places and gaps", func(t *testing.T) {
		p := b.open(t, "#/explain", desk)
		p.sees("Whose messages?")
		p.chooses("From", "24h")
		p.types("User", "alice")
		p.presses(kb.Enter)
		p.until("location.hash.startsWith('#/explain?')", "the address names the user")
		p.sees("produced", "push.requests/3 @ 991", "push.retry [3] @ 1201", "gate-1", "+10.0 s", "six attempts between", "push.outcomes is kept for 24 h only", "dead letter")
		q := b.api.waitFor(t, "GET /v1/explain", nil)
		assert.Equal(t, "alice", q.query.Get("user"))
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT`, q.query.Get("since"))
		b.api.answer("GET /v1/explain", http.StatusOK, object{"user": "alice", "messages": nil, "gaps": nil})
		p.types("User", "nobody"+kb.Enter)
		p.sees("Nothing was found")
	})
}

func TestWaitingMessagesAreFoundReleasedAndDiscarded(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	t.Run("by reason, by filter, with details", func(t *testing.T) {
		p := b.open(t, "#/waiting", desk)
		p.sees("1,284", "1,200", "Offline", "when the user returns", "erin", "Not acknowledged")
		p.clicks("Not acknowledged71")
		p.hash("reason=ack_timeout")
		b.api.waitFor(t, "GET /v1/waiting", func(q asked) bool { return q.query.Get("reason") == "ack_timeout" })
		p.chooses("Waits for at least", "10m")
		p.types("User", "erin"+kb.Enter)
		b.api.waitFor(t, "GET /v1/waiting", func(q asked) bool {
			return q.query.Get("user") == "erin" && q.query.Get("older_than") == "10m" && q.query.Get("reason") == "ack_timeout"
		})
		p.clicks("alice")
		p.sees("Waiting message", `"order": "A-4800"`)
		p.presses(kb.Escape)
		p.seesNot("A-4800")
	})
	t.Run("all that match are released, after a dry run", func(t *testing.T) {
		p := b.open(t, "#/waiting?reason=offline", desk)
		b.api.answerBy("POST /v1/waiting/release", func(q asked) (int, any) {
			if yes, _ := q.body["dry_run"].(bool); yes {
				return http.StatusOK, object{"matched": 1200, "would_release": 1200, "sample": cannedWaits()}
			}
			return http.StatusAccepted, cannedOperation("op-2", "running")
		})
		p.clicks("Release all that match…")
		p.sees("1,200 would be released")
		assert.True(t, p.disabled("Release 1,200 messages"), "nobody knows yet who does it")
		p.types("Your name", "carol")
		p.clicks("Release 1,200 messages")
		q := b.api.waitFor(t, "POST /v1/waiting/release", dry(false))
		assert.Equal(t, object{"reason": "offline"}, q.body["filter"])
		assert.Equal(t, "carol", q.body["by"])
		assert.Nil(t, q.body["why"])
		p.sees("500 of 1,200")
		b.api.answer("GET /v1/operations/op-2", http.StatusOK, cannedOperation("op-2", "done"))
		p.sees("1,200 of 1,200")
		p.presses(kb.Escape)
	})
	t.Run("selected ones are discarded, with a reason", func(t *testing.T) {
		p := b.open(t, "#/waiting", desk)
		b.api.answerBy("POST /v1/waiting/discard", func(q asked) (int, any) {
			if yes, _ := q.body["dry_run"].(bool); yes {
				return http.StatusOK, object{"matched": 1, "would_discard": 1}
			}
			return http.StatusAccepted, cannedOperation("op-1", "done")
		})
		p.clicks("Select the message 0199a1b2-7c1d-7000-8000-0000000000b2 for erin")
		p.clicks("Discard selected…")
		p.sees("Discard 1 selected message", "1 would be discarded")
		p.types("Your name", "carol")
		assert.True(t, p.disabled("Discard 1 message"), "without a reason")
		p.types("Reason", "a test")
		p.clicks("Discard 1 message")
		q := b.api.waitFor(t, "POST /v1/waiting/discard", dry(false))
		assert.Equal(t, []any{object{"partition": 0.0, "origin": 88.0, "user": "erin"}}, q.body["waits"])
		assert.Equal(t, "a test", q.body["why"])
		p.sees("done")
	})
	t.Run("nothing waits", func(t *testing.T) {
		p := b.open(t, "#/overview", desk)
		b.api.answer("GET /v1/waiting", http.StatusOK, object{"waits": nil, "complete": true})
		b.api.answer("GET /v1/waiting/summary", http.StatusOK, object{"total": 0, "by_reason": nil})
		p.sees("1,043")
		p.presses("gw")
		p.sees("Nothing waits")
	})
}

func TestDeadLettersAreFoundReplayedAndDiscarded(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	t.Run("by every filter, which the address keeps", func(t *testing.T) {
		p := b.open(t, "#/dead-letters", desk)
		p.sees("alice", "bob@example.org", "Attempts used up", "died again", "Are you there?")
		assert.Equal(t, "open", b.api.waitFor(t, "GET /v1/dead-letters", nil).query.Get("state"))
		p.chooses("Reason", "exhausted")
		p.hash("reason=exhausted")
		p.chooses("Died", "24h")
		p.hash("since=24h")
		p.chooses("State", "all")
		p.hash("state=all")
		p.chooses("Order", "oldest")
		p.hash("order=oldest")
		p.types("Type", "order")
		p.types("Message id", "0199")
		p.types("User", "alice")
		p.types("Text in the payload", "A-4711 & more"+kb.Enter)
		q := b.api.waitFor(t, "GET /v1/dead-letters", func(q asked) bool { return q.query.Get("text") == "A-4711 & more" })
		for name, value := range map[string]string{"reason": "exhausted", "state": "all", "order": "oldest", "type": "order", "id": "0199", "user": "alice"} {
			assert.Equal(t, value, q.query.Get(name), name)
		}
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT`, q.query.Get("since"))
		shared := b.open(t, eval[string](p, "location.hash"), desk)
		shared.sees("alice")
		assert.Equal(t, "A-4711 & more", eval[string](shared, labelled+"('Text in the payload').value"))
	})
	t.Run("page by page, and on when the search is not through", func(t *testing.T) {
		p := b.open(t, "#/overview", desk)
		b.api.answerBy("GET /v1/dead-letters", func(q asked) (int, any) {
			switch q.query.Get("cursor") {
			case "":
				return http.StatusOK, object{"letters": cannedLetters()[:1], "next": "c1", "complete": false, "scanned": 120_000}
			case "c1":
				return http.StatusOK, object{"letters": []object{}, "next": "c2", "complete": false, "scanned": 80_000}
			}
			return http.StatusOK, object{"letters": cannedLetters()[1:], "next": "", "complete": true, "scanned": 1000}
		})
		p.sees("1,043")
		p.presses("gd")
		p.sees("searched 120,000 records so far, and there are more")
		p.clicks("Go on searching")
		p.sees("searched 200,000 records so far")
		p.clicks("Go on searching")
		p.sees("3 letters, and that is all")
	})
	t.Run("one is shown with its headers and payload", func(t *testing.T) {
		p := b.open(t, "#/dead-letters", desk)
		p.sees("alice")
		p.presses("j" + kb.Enter)
		p.hash("open=3-17")
		p.sees("push.requests, partition 3, offset 991", "00-4bf92f3577b34da6a3ce929d0e0e4736", `"sku": "X1"`, "By node")
		p.clicks("Explain")
		p.hash("#/explain?user=alice&id=0199a1b2-7c1d-7000-8000-0000000000a1")
	})
	t.Run("all that match are replayed: dry run, confirmation, progress, stop", func(t *testing.T) {
		p := b.open(t, "#/dead-letters?reason=exhausted", desk)
		b.api.answerBy("POST /v1/dead-letters/replay", func(q asked) (int, any) {
			if yes, _ := q.body["dry_run"].(bool); yes {
				again := 16
				if yes, _ := q.body["again"].(bool); yes {
					again = 0
				}
				return http.StatusOK, object{"matched": 1240, "would_replay": 1196 - again, "skipped": object{"expired": 44, "again": again}, "sample": cannedLetters()}
			}
			return http.StatusAccepted, cannedOperation("op-2", "running")
		})
		p.clicks("Replay all that match…")
		p.sees("1,240 matched, 1,180 would be replayed", "44 left out: expired", "16 left out: died again")
		p.clicks("Those that died again")
		p.sees("1,196 would be replayed")
		p.types("Your name", "carol")
		p.types("At most, a second", "50")
		p.types("Time to live", "2h")
		assert.Equal(t, 0, countDry(b.api, "POST /v1/dead-letters/replay", false), "nothing is done before it is confirmed")
		p.clicks("Replay 1,196 letters")
		q := b.api.waitFor(t, "POST /v1/dead-letters/replay", dry(false))
		assert.Equal(t, object{"reason": "exhausted", "state": "open"}, q.body["filter"])
		assert.InDelta(t, 50, q.body["rate"], 0)
		assert.Equal(t, "2h", q.body["ttl"])
		assert.Equal(t, true, q.body["again"])
		assert.Equal(t, false, q.body["expired"])
		assert.Equal(t, "application/json", q.header.Get("Content-Type"))
		p.sees("500 of 1,200")
		b.api.answer("POST /v1/operations/op-2/cancel", http.StatusAccepted, object{})
		p.clicks("Stop it")
		b.api.waitFor(t, "POST /v1/operations/op-2/cancel", nil)
		b.api.answer("GET /v1/operations/op-2", http.StatusOK, cannedOperation("op-2", "cancelled"))
		p.sees("cancelled")
	})
	t.Run("selected ones are discarded with a reason", func(t *testing.T) {
		p := b.open(t, "#/dead-letters", desk)
		b.api.answerBy("POST /v1/dead-letters/discard", func(q asked) (int, any) {
			if yes, _ := q.body["dry_run"].(bool); yes {
				return http.StatusOK, object{"matched": 1, "would_discard": 1, "skipped": object{}}
			}
			return http.StatusAccepted, cannedOperation("op-1", "done")
		})
		p.sees("dave")
		p.presses("jjjx")
		p.sees("1 selected")
		p.clicks("Discard selected…")
		p.types("Your name", "carol")
		p.types("Reason", "no such shop")
		p.clicks("Discard 1 letter")
		q := b.api.waitFor(t, "POST /v1/dead-letters/discard", dry(false))
		assert.Equal(t, []any{object{"partition": 0.0, "offset": 5.0}}, q.body["letters"])
		assert.Equal(t, "no such shop", q.body["why"])
		assert.NotContains(t, q.body, "rate")
		assert.NotEmpty(t, b.api.waitFor(t, "POST /v1/dead-letters/discard", dry(true)).body["why"])
		p.sees("done")
	})
	t.Run("a refusal is shown with what to do", func(t *testing.T) {
		p := b.open(t, "#/dead-letters", desk)
		b.api.answerBy("POST /v1/dead-letters/replay", func(q asked) (int, any) {
			if yes, _ := q.body["dry_run"].(bool); yes {
				return http.StatusOK, object{"matched": 3, "would_replay": 3}
			}
			return http.StatusConflict, object{"error": "operation op-9 works on the same letters", "hint": "wait until it has ended, or cancel it"}
		})
		p.clicks("Replay all that match…")
		p.types("Your name", "carol")
		p.clicks("Replay 3 letters")
		p.sees("operation op-9 works on the same letters", "wait until it has ended, or cancel it", "409")
	})
}

func countDry(a *api, request string, yes bool) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, q := range a.asked {
		if q.method+" "+q.path == request && q.body["dry_run"] == yes {
			n++
		}
	}
	return n
}

func TestThePlaygroundIsAUser(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	t.Run("who connects, sends, receives, acknowledges and sees the outcome", func(t *testing.T) {
		p := b.open(t, "#/playground", desk)
		b.api.answer("POST /v1/users/zoe/messages", http.StatusAccepted, object{"id": "m-1"})
		b.api.answer("GET /v1/explain", http.StatusOK, object{"user": "zoe", "messages": []object{{"id": "m-1", "type": "greeting", "outcome": "under_way"}}})
		p.types("User", "zoe")
		p.clicks("Connect")
		p.sees("connected")
		q := b.api.waitFor(t, "GET /v1/websocket/all/zoe", nil)
		assert.Equal(t, "pushgate.v1", q.header.Get("Sec-WebSocket-Protocol"))
		p.hash("user=zoe")
		p.types("Payload", `{"hello": 1}`)
		p.clicks("Send")
		sent := b.api.waitFor(t, "POST /v1/users/zoe/messages", nil)
		assert.JSONEq(t, `{"hello": 1}`, sent.raw)
		assert.Equal(t, "greeting", sent.header.Get("ce-type"))
		assert.Equal(t, "application/json", sent.header.Get("Content-Type"))
		p.sees("m-1", "under way")
		b.api.frames <- object{"id": "m-1", "type": "greeting", "time": ago(0), "attempt": 1, "data": object{"hello": 1}}
		assert.Equal(t, object{"ack": []any{"m-1"}}, <-b.api.acks)
		p.sees(`"hello": 1`, "acknowledged")
		b.api.answer("GET /v1/explain", http.StatusOK, object{"user": "zoe", "messages": []object{{"id": "m-1", "outcome": "delivered"}}})
		p.sees("delivered")
	})
	t.Run("by hand, in any order, and what is offered again is shown again", func(t *testing.T) {
		p := b.open(t, "#/playground?user=zoe", desk)
		p.clicks("Acknowledge what arrives at once")
		p.clicks("Connect")
		p.sees("connected")
		for _, id := range []string{"m-1", "m-2"} {
			b.api.frames <- object{"id": id, "type": "greeting", "time": ago(0), "attempt": 1, "data_base64": "AAEC"}
		}
		p.clicks("Acknowledge m-2")
		assert.Equal(t, object{"ack": []any{"m-2"}}, <-b.api.acks)
		b.api.frames <- object{"id": "m-1", "type": "greeting", "time": ago(0), "attempt": 2, "data_base64": "AAEC"}
		p.sees("attempt 2", "AAEC")
		p.clicks("Acknowledge all")
		assert.Equal(t, object{"ack": []any{"m-1"}}, <-b.api.acks)
		p.until("!document.body.innerText.includes('Acknowledge all')", "nothing is left to acknowledge")
		p.clicks("Disconnect")
		p.sees("not connected")
	})
	t.Run("a node without a gateway says so", func(t *testing.T) {
		p := b.open(t, "#/operations", desk)
		b.api.answer("GET /v1/session", http.StatusOK, object{"node": "gate-1", "version": "v1", "role": "operator", "gateway": false})
		p.sees("carol")
		p.presses("rgp")
		p.sees("This node has no gateway")
	})
}
