package console_test

import (
	"net/http"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
)

func TestFailuresSayWhatWhyAndWhatToDo(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	t.Run("an answer that is an error keeps what was shown, and is asked again on demand", func(t *testing.T) {
		p := b.open(t, "#/operations", desk)
		p.sees("carol")
		b.api.answer("GET /v1/operations", http.StatusServiceUnavailable, object{"error": "push.operations cannot be read", "hint": "check that the broker is there"})
		p.sees("push.operations cannot be read", "check that the broker is there", "what is shown below is from before", "carol")
		b.api.answer("GET /v1/operations", http.StatusOK, object{"operations": []object{}})
		p.clicks("Try again")
		p.sees("Nobody has done anything yet")
		p.seesNot("push.operations cannot be read")
	})
	t.Run("a node that is gone is told from an error", func(t *testing.T) {
		p := b.open(t, "#/operations", desk)
		p.sees("carol")
		gone := func(asked) (int, any) { return 0, nil }
		b.api.answerBy("GET /v1/operations", gone)
		p.presses("r")
		p.sees("The node does not answer", "admin.listen")
	})
	t.Run("a page opened on a node that is gone says so, and comes back", func(t *testing.T) {
		p := b.open(t, "#/operations", desk)
		p.sees("carol")
		b.api.answerBy("GET /v1/session", func(asked) (int, any) { return 0, nil })
		p.do(reload())
		p.sees("The node does not answer")
		b.api.answer("GET /v1/session", http.StatusOK, object{"node": "gate-1", "version": "v1", "role": "operator", "gateway": true})
		p.clicks("Try again")
		p.sees("carol")
	})
	t.Run("every page has an error state", func(t *testing.T) {
		for page, request := range map[string]string{
			"overview": "GET /v1/overview", "nodes": "GET /v1/nodes", "waiting": "GET /v1/waiting", "dead-letters": "GET /v1/dead-letters",
			"operations": "GET /v1/operations", "explain?user=alice": "GET /v1/explain",
		} {
			p := b.open(t, "#/nothing", desk)
			p.sees("There is no such page")
			b.api.answer(request, http.StatusServiceUnavailable, object{"error": "out of order", "hint": "call somebody"})
			eval[bool](p, "(location.hash = '#/"+page+"', true)")
			p.sees("out of order", "call somebody", "Try again")
		}
	})
}

func TestTheTokenIsAskedForAndKeptForTheTab(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	p := b.open(t, "#/operations", desk)
	p.sees("carol")
	guarded := func(q asked) (int, any) {
		if q.header.Get("Authorization") != "Bearer secret" {
			return http.StatusUnauthorized, object{"error": "a token is needed", "hint": "send admin.token"}
		}
		return http.StatusOK, object{"node": "gate-1", "version": "v1", "role": "operator", "gateway": true}
	}
	b.api.answerBy("GET /v1/session", guarded)
	p.do(reload())
	p.sees("Token of the admin API")
	assert.Equal(t, "password", eval[string](p, "document.activeElement.type"), "the field has the focus")
	p.types("Token of the admin API", "wrong"+kb.Enter)
	p.sees("The node does not accept this token")
	p.types("Token of the admin API", "secret"+kb.Enter)
	p.seesNot("Token of the admin API")
	p.sees("carol")
	b.api.waitFor(t, "GET /v1/operations", func(q asked) bool { return q.header.Get("Authorization") == "Bearer secret" })
	assert.Equal(t, "secret", eval[string](p, "sessionStorage.getItem('pushgate-token')"))
	assert.Equal(t, 0, eval[int](p, "Object.values(localStorage).filter((v) => v.includes('secret')).length + document.cookie.length"))
	p.do(reload())
	p.sees("carol")
	p.clicks("Playground")
	p.clicks("Connect")
	q := b.api.waitFor(t, "GET /v1/websocket/all/alice", nil)
	assert.Equal(t, "pushgate.v1, bearer.secret", q.header.Get("Sec-WebSocket-Protocol"))
	p.clicks("Disconnect")
	p.clicks("Token")
	p.clicks("Forget it")
	p.sees("Token of the admin API")
	assert.Nil(t, eval[*string](p, "sessionStorage.getItem('pushgate-token')"))
}

func TestAReaderMayLookAndIsToldWhyNotMore(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	for page, buttons := range map[string][]string{
		"dead-letters": {"Replay all that match…", "Discard all that match…"},
		"waiting":      {"Release all that match…", "Discard all that match…"},
		"nodes":        {"Prune 1 group…"},
		"playground":   {"Connect", "Send"},
	} {
		p := b.open(t, "#/nothing", desk)
		p.sees("no such page")
		b.api.answer("GET /v1/session", http.StatusOK, object{"node": "gate-1", "version": "v1", "role": "reader", "gateway": true})
		p.presses("r")
		eval[bool](p, "(location.hash = '#/"+page+"', true)")
		p.sees("You may look, but not change anything", "read only")
		for _, name := range buttons {
			assert.True(t, p.disabled(name), name)
			p.clicks(name)
			assert.Contains(t, eval[string](p, found+"("+quoted(name)+").title"), "admin.token")
		}
		assert.Equal(t, 0, eval[int](p, "document.querySelectorAll('dialog[open]').length"))
		assert.Zero(t, countDry(b.api, "POST /v1/dead-letters/replay", true))
	}
}

func TestEverythingIsReachedWithTheKeyboard(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	p := b.open(t, "#/overview", desk)
	p.sees("1,043")
	p.presses(kb.Tab)
	assert.Equal(t, "Skip to the content", eval[string](p, "document.activeElement.textContent"))
	p.presses(kb.Enter)
	assert.Equal(t, "main", eval[string](p, "document.activeElement.id"))
	assert.Contains(t, eval[string](p, "location.hash"), "overview")

	for _, to := range []struct{ keys, page string }{
		{"gn", "nodes"}, {"gw", "waiting"}, {"gd", "dead-letters"}, {"ga", "operations"}, {"ge", "explain"}, {"gp", "playground"}, {"go", "overview"},
	} {
		p.presses(to.keys)
		p.hash("#/" + to.page)
		p.until("document.activeElement.tagName === 'H1'", "the heading has the focus")
	}
	p.presses("gd")
	p.sees("alice")
	p.strikes("/")
	assert.Equal(t, "Text in the payload", eval[string](p, "document.activeElement.labels[0].textContent"))
	p.presses("gn?")
	assert.Equal(t, "gn?", eval[string](p, "document.activeElement.value"), "keys typed into a field are text")
	eval[bool](p, "(document.activeElement.blur(), true)")

	p.presses("?")
	p.sees("Keyboard shortcuts", "Light or dark", "Next row")
	p.presses("gn")
	p.hash("#/dead-letters") // a dialog is open: shortcuts rest
	for range 6 {
		p.presses(kb.Tab)
		assert.True(t, eval[bool](p, "!document.activeElement.closest('main')"), "the focus stays in the dialog")
	}
	p.presses(kb.Escape)
	p.until("document.querySelectorAll('dialog[open]').length === 0", "the dialog is closed")

	p.presses("jj")
	p.until("document.activeElement.textContent === document.querySelectorAll('[data-row]')[1].textContent && document.activeElement.matches('[data-row]')", "the second row has the focus")
	assert.NotEqual(t, "none", eval[string](p, "getComputedStyle(document.activeElement).outlineStyle"), "and it is seen")
	p.presses(kb.Enter)
	p.hash("open=1-902")
	p.until("document.activeElement.closest('dialog[open]')", "the letter has the focus")
	p.presses(kb.Escape)
	p.until("!location.hash.includes('open=')", "the letter is closed")
	p.until("document.activeElement.matches('[data-row]')", "the focus is back where it was")
}

func TestLightAndDarkAreTheSystemsUntilChosen(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	const background = "getComputedStyle(document.body).backgroundColor"
	const light, dark = "rgb(246, 247, 249)", "rgb(16, 18, 22)"
	p := b.open(t, "#/overview", deskNight)
	p.sees("1,043")
	assert.Equal(t, dark, eval[string](p, background))
	p.presses("t")
	assert.Equal(t, light, eval[string](p, background))
	p.do(reload())
	p.sees("1,043")
	assert.Equal(t, light, eval[string](p, background), "it is remembered")
	p.clicks("Light or dark")
	assert.Equal(t, dark, eval[string](p, background))

	q := b.open(t, "#/overview", desk)
	q.sees("1,043")
	assert.Equal(t, light, eval[string](q, background))
}

func TestAPhoneHasAMenu(t *testing.T) {
	b, ok := startBrowser(t)
	if !ok {
		return
	}
	p := b.open(t, "#/overview", phone)
	p.sees("1,043")
	assert.False(t, eval[bool](p, "document.querySelector('nav').checkVisibility()"))
	p.clicks("Menu")
	p.clicks("Dead letters")
	p.hash("#/dead-letters")
	p.sees("alice")
	assert.False(t, eval[bool](p, "document.querySelector('nav').checkVisibility()"))
	assert.Equal(t, "Reason", eval[string](p, "document.querySelector('td:nth-child(5)').dataset.label"), "cells name their column")
}
