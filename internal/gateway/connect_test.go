package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/auth"
	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

func TestASessionThatIsOpenedIsInTheHubAndGetsWhatIsForIt(t *testing.T) {
	r := newRig(t)
	c, err := r.dial("/websocket/order/42", ws.DialParams{Header: bearer(r.token("42")), Subprotocols: session.SubprotocolNames()})
	require.NoError(t, err)
	assert.Equal(t, push.Binding{User: "42", Type: "order"}, <-r.bound)
	reports := make(chan push.Status, 10)
	r.deliver(&push.Message{ID: "a", User: "42", Type: "order", Attempt: 1, Data: []byte("1"), JSON: true}, reporter(reports))
	_, frame, err := c.ReadMessage()
	require.NoError(t, err)
	assert.Contains(t, string(frame), `"id":"a"`)
	require.NoError(t, c.WriteMessage(ws.OpText, []byte(`{"ack":["a"]}`)))
	for s := range reports {
		if s == push.Done {
			break
		}
	}
	assert.Equal(t, 1, r.result("opened"))
	require.NoError(t, c.Close(session.CloseNormal, ""))
	require.Eventually(t, func() bool { n, _ := r.hub.Counts(); return n == 0 }, patience, time.Millisecond, "it leaves the hub")
}

// reporter passes on what is said of a message.
type reporter chan push.Status

func (r reporter) Report(_ *push.Message, s push.Status, _ push.Reason) { r <- s }

func TestEachRefusalOfASessionSaysWhy(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.AllowedOrigins = []string{"https://shop.example"} })
	expired, err := auth.Sign(r.auth.JWT, auth.Grant{User: "42", TTL: -time.Hour})
	require.NoError(t, err)
	for name, row := range map[string]struct {
		change func(*http.Request)
		status int
		says   string
		result string
		header http.Header
	}{
		"no key":           {func(q *http.Request) { q.Header.Del("Sec-Websocket-Key") }, 400, "Sec-WebSocket-Key", "bad_request", nil},
		"a type too long":  {func(q *http.Request) { q.URL.Path = "/websocket/" + strings.Repeat("x", 200) + "/42" }, 400, "business type", "bad_request", nil},
		"a user too long":  {func(q *http.Request) { q.URL.Path = "/websocket/all/" + strings.Repeat("4", 300) }, 400, "user id", "bad_request", nil},
		"a user not text":  {func(q *http.Request) { q.URL.RawPath, q.URL.Path = "/websocket/all/%FF", "/websocket/all/\xff" }, 400, "UTF-8", "bad_request", nil},
		"no token":         {func(q *http.Request) { q.Header.Del("Authorization") }, 401, "a token is needed", "unauthorized", http.Header{"Www-Authenticate": {"Bearer"}}},
		"an expired token": {func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+expired) }, 401, "has expired", "unauthorized", http.Header{"Www-Authenticate": {"Bearer"}}},
		"a token of none":  {func(q *http.Request) { q.Header.Set("Authorization", "Bearer x.y.z") }, 401, "malformed", "unauthorized", nil},
		"another user":     {func(q *http.Request) { q.URL.Path = "/websocket/order/43" }, 403, "another user's", "forbidden", nil},
		"a foreign origin": {func(q *http.Request) { q.Header.Set("Origin", "https://evil.example") }, 403, "origin", "forbidden", nil},
		"a post":           {func(q *http.Request) { q.Method = http.MethodPost }, 405, "GET", "bad_request", http.Header{"Allow": {"GET"}}},
		"no upgrade": {
			func(q *http.Request) { q.Header.Del("Upgrade"); q.Header.Del("Connection") },
			426, "speaks WebSocket", "bad_request",
			http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}},
		},
		"an old version": {
			func(q *http.Request) { q.Header.Set("Sec-Websocket-Version", "8") },
			426, "must be 13", "bad_request",
			http.Header{"Sec-Websocket-Version": {"13"}, "Upgrade": {"websocket"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := r.handshake()
			row.change(q)
			before := r.result(row.result)
			got := r.do(q)
			assert.Equal(t, row.status, got.status)
			assert.Contains(t, got.decode(t)["error"], row.says)
			for key, value := range row.header {
				assert.Equal(t, value, got.header[key], key)
			}
			assert.Equal(t, before+1, r.result(row.result))
		})
	}
	sessions, _ := r.hub.Counts()
	assert.Zero(t, sessions)
}

func TestANodeThatIsNotReadyTakesNoSession(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ready = errors.New("kafka is away") })
	got := r.do(r.handshake())
	assert.Equal(t, http.StatusServiceUnavailable, got.status)
	assertSpread(t, 1, got.header.Get("Retry-After"))
	assert.Equal(t, "not ready: kafka is away", got.decode(t)["error"])
	assert.Equal(t, 1, r.result("not_ready"))
}

func TestASessionThatComesWhileTheNodeDrainsIsSentElsewhere(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.hub.Drain(t.Context(), 0, session.CloseGoElsewhere))
	for range 3 {
		c, err := r.dial("/websocket/all/42", ws.DialParams{Header: bearer(r.token("42"))})
		require.NoError(t, err)
		_, _, err = c.ReadMessage()
		var closed *ws.CloseError
		require.ErrorAs(t, err, &closed)
		assert.Equal(t, session.CloseGoElsewhere, closed.Code)
	}
	assert.Empty(t, r.bound)
}

// assertSpread looks at a Retry-After of at least so many seconds.
func assertSpread(t *testing.T, least int, header string) {
	t.Helper()
	seconds, err := strconv.Atoi(header)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, seconds, least)
	assert.LessOrEqual(t, seconds, 3*least)
}

func TestThoseRefusedTogetherAreNotToldToComeBackTogether(t *testing.T) {
	r := newRig(t, func(r *rig) { r.ready = errors.New("kafka is away") })
	times := map[string]bool{}
	for range 100 {
		times[r.do(r.handshake()).header.Get("Retry-After")] = true
	}
	assert.Len(t, times, 3, "1, 2 or 3 seconds: %v", times)
}

func TestNoMoreSessionsThanTheLimitAreOpen(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.MaxConnections = 2 })
	first := r.connect("1")
	r.connect("2")
	_, err := r.dial("/websocket/all/3", ws.DialParams{Header: bearer(r.token("3"))})
	var refused *ws.RefusedError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, http.StatusTooManyRequests, refused.Status)
	assertSpread(t, 5, refused.RetryAfter)
	assert.Contains(t, refused.Text, "another node")
	assert.Equal(t, 1, r.result("over_limit"))

	require.NoError(t, first.Close(session.CloseNormal, ""))
	require.Eventually(t, func() bool {
		_, err := r.dial("/websocket/all/3", ws.DialParams{Header: bearer(r.token("3"))})
		return err == nil
	}, patience, 5*time.Millisecond, "a place that became free is given away again")
}

func TestTheLimitHoldsWhenManyAskAtTheSameMoment(t *testing.T) {
	const limit, askers = 5, 60
	r := newRig(t, func(r *rig) { r.config.MaxConnections = limit })
	var all sync.WaitGroup
	for i := range askers {
		user := fmt.Sprint("u", i)
		token := r.token(user)
		all.Go(func() {
			_, err := r.dial("/websocket/all/"+user, ws.DialParams{Header: bearer(token)})
			var refused *ws.RefusedError
			if err != nil && assert.ErrorAs(t, err, &refused) {
				assert.Equal(t, http.StatusTooManyRequests, refused.Status)
			}
		})
	}
	all.Wait()
	sessions, _ := r.hub.Counts()
	assert.LessOrEqual(t, sessions, limit)
	assert.Eventually(t, func() bool { return r.result("opened")+r.result("over_limit") == askers }, patience, time.Millisecond,
		"counted a moment after the answer")
	assert.LessOrEqual(t, r.result("opened"), limit)
}

func TestARefusedRequestDoesNotUseUpAPlace(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.MaxConnections, r.config.MaxHandshakesPerSecond = 2, 1 })
	without := func() *http.Request {
		q := r.handshake()
		q.Header.Del("Authorization")
		return q
	}
	for range 5 {
		assert.Equal(t, http.StatusUnauthorized, r.do(without()).status)
	}
	r.connect("1")
	for range 5 { // over the rate, which is told before a token is looked at
		assert.Equal(t, http.StatusTooManyRequests, r.do(r.handshake()).status)
		assert.Equal(t, http.StatusTooManyRequests, r.do(without()).status)
	}
	require.Eventually(t, func() bool {
		_, err := r.dial("/websocket/all/2", ws.DialParams{Header: bearer(r.token("2"))})
		return err == nil
	}, patience, 50*time.Millisecond)
}

func TestSessionsOpenedTooFastAreToldToComeBack(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.MaxHandshakesPerSecond = 1 })
	r.connect("1")
	got := r.do(r.handshake())
	assert.Equal(t, http.StatusTooManyRequests, got.status)
	assertSpread(t, 1, got.header.Get("Retry-After"))
	assert.Equal(t, 1, r.result("over_limit"))
}

func TestTheTokenIsTakenFromWhereverAClientCanPutIt(t *testing.T) {
	r := newRig(t)
	token := r.token("42")
	for name, row := range map[string]struct {
		path string
		p    ws.DialParams
	}{
		"header":      {"/websocket/all/42", ws.DialParams{Header: bearer(token)}},
		"query":       {"/websocket/all/42?token=" + url.QueryEscape(token), ws.DialParams{}},
		"subprotocol": {"/websocket/all/42", ws.DialParams{Subprotocols: []string{session.PushgateName, "bearer." + token}}},
	} {
		_, err := r.dial(row.path, row.p)
		require.NoError(t, err, name)
		assert.Equal(t, "42", (<-r.bound).User, name)
	}
}

func TestTheSubprotocolThatIsChosen(t *testing.T) {
	r := newRig(t)
	carrier := "bearer." + r.token("42")
	for name, row := range map[string]struct {
		offered []string
		chosen  string
		form    session.Subprotocol
	}{
		"none offered":                   {nil, "", session.Plain},
		"ours":                           {[]string{"pushgate.v1"}, "pushgate.v1", session.Pushgate},
		"cloud events":                   {[]string{"cloudevents.json"}, "cloudevents.json", session.CloudEvents},
		"the client's order counts":      {[]string{"cloudevents.json", "pushgate.v1"}, "cloudevents.json", session.CloudEvents},
		"unknown ones are passed over":   {[]string{"chat", "pushgate.v1"}, "pushgate.v1", session.Pushgate},
		"unknown ones are not answered":  {[]string{"chat"}, "", session.Plain},
		"a token is no form":             {[]string{carrier, "pushgate.v1"}, "pushgate.v1", session.Pushgate},
		"a token alone must be answered": {[]string{carrier}, carrier, session.Plain},
		"a token among unknown ones":     {[]string{"chat", carrier}, "", session.Plain},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := r.dial("/websocket/all/42", ws.DialParams{Header: bearer(r.token("42")), Subprotocols: row.offered})
			require.NoError(t, err)
			assert.Equal(t, row.chosen, c.Subprotocol())
			<-r.bound
			list := r.hub.Sessions("42")
			require.NotEmpty(t, list)
			assert.Equal(t, row.form, list[len(list)-1].Subprotocol())
		})
	}
}

func TestAUserMayHaveAnyNameAnAddressCanHold(t *testing.T) {
	r := newRig(t)
	for _, user := range []string{"a/b", "ü ?#%", "..x", "all"} {
		_, err := r.dial("/websocket/all/"+url.PathEscape(user), ws.DialParams{Header: bearer(r.token(user))})
		require.NoError(t, err, user)
		assert.Equal(t, user, (<-r.bound).User)
	}
}

func TestASessionEndsWithItsToken(t *testing.T) {
	r := newRig(t, func(r *rig) { r.auth.JWT.Leeway = 0 })
	token, err := auth.Sign(r.auth.JWT, auth.Grant{User: "42", TTL: time.Second})
	require.NoError(t, err)
	c, err := r.dial("/websocket/all/42", ws.DialParams{Header: bearer(token)})
	require.NoError(t, err)
	_, _, err = c.ReadMessage()
	var closed *ws.CloseError
	require.ErrorAs(t, err, &closed)
	assert.Equal(t, session.CloseTokenExpired, closed.Code)
}

func TestWithoutAuthenticationAnybodyIsWhoTheySay(t *testing.T) {
	r := newRig(t, func(r *rig) { r.auth = auth.DefaultConfig() })
	_, err := r.dial("/websocket/all/42", ws.DialParams{})
	require.NoError(t, err)
	assert.Equal(t, "42", (<-r.bound).User)
	q := r.request(http.MethodPost, "/v1/users/42/messages", strings.NewReader("x"))
	assert.Equal(t, http.StatusAccepted, r.do(q).status)
}

func TestTheEndOfTheListenerIsNotTheEndOfTheSessions(t *testing.T) {
	r := newRig(t)
	c := r.connect("42")
	r.stop()
	require.NoError(t, <-r.ended)
	_, err := r.dial("/websocket/all/42", ws.DialParams{Header: bearer(r.token("42"))})
	require.Error(t, err, "nobody listens any more")
	r.deliver(&push.Message{ID: "a", User: "42", Type: "t", Attempt: 1, Data: []byte("1"), JSON: true}, make(reporter, 10))
	_, frame, err := c.ReadMessage()
	require.NoError(t, err)
	assert.Contains(t, string(frame), `"id":"a"`)
	drained, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	left := make(chan error, 1)
	go func() { left <- r.hub.Drain(drained, 0, session.CloseGoElsewhere) }()
	_, _, err = c.ReadMessage()
	var closed *ws.CloseError
	require.ErrorAs(t, err, &closed)
	require.NoError(t, c.Drop())
	require.NoError(t, <-left)
}

func TestThereAreNoMoreSessionsThanTheProcessMayOpenFiles(t *testing.T) {
	r := newRig(t, func(r *rig) { r.descriptors = 557 }) // 500 for others, 55 for handshakes
	r.connect("1")
	r.connect("2")
	_, err := r.dial("/websocket/all/3", ws.DialParams{Header: bearer(r.token("3"))})
	var refused *ws.RefusedError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, http.StatusTooManyRequests, refused.Status)
}
