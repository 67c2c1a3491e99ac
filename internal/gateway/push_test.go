package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

const secret = "the nodes' secret"

// carrier is a delivery that says what the test wants.
type carrier struct {
	mu       sync.Mutex
	ready    error
	err      error
	answer   push.Receipt
	carried  []push.Carriage
	pushed   []push.Message
	waitPush bool
	status   push.Status
	reason   push.Reason
	here     bool
}

func newCarrier() *carrier { return &carrier{here: true, status: push.Done} }

func (c *carrier) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

func (c *carrier) Carry(_ context.Context, carriage *push.Carriage) (push.Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return push.Receipt{}, c.err
	}
	kept := push.Carriage{Partition: carriage.Partition}
	for i := range carriage.Records {
		kept.Records = append(kept.Records, carriage.Records[i].Clone())
	}
	c.carried = append(c.carried, kept)
	return c.answer, nil
}

func (c *carrier) Push(ctx context.Context, m *push.Message) (push.Status, push.Reason, bool) {
	if c.waitPush {
		<-ctx.Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushed = append(c.pushed, *m)
	return c.status, c.reason, c.here
}

// withCarrier is a gateway that other nodes may push to.
func withCarrier(t *testing.T, change ...func(*rig)) (*rig, *carrier) {
	t.Helper()
	c := newCarrier()
	r := newRig(t, append([]func(*rig){func(r *rig) {
		r.carrier, r.internal.Token = c, secret
	}}, change...)...)
	return r, c
}

func aCarriage() push.Carriage {
	return push.Carriage{Partition: 3, Records: []push.Record{
		{Partition: 3, Offset: 7, Time: time.UnixMilli(1700), Key: []byte("42"), Value: []byte("one")},
		{Partition: 3, Offset: 9, Time: time.UnixMilli(1800), Key: []byte("43"), Value: []byte("two")},
	}}
}

// call is a good call of a custodian.
func (r *rig) call() *http.Request {
	c := aCarriage()
	return r.asNode(r.request(http.MethodPost, "/push", bytes.NewReader(c.AppendBinary(nil))))
}

// single is a good push of a service.
func (r *rig) single(body string) *http.Request {
	return r.asNode(r.request(http.MethodPost, "/push/42", strings.NewReader(body)))
}

func (r *rig) asNode(q *http.Request) *http.Request {
	q.Header.Set("Authorization", "Bearer "+secret)
	return q
}

func TestACallBringsACarriageAndTheAnswerIsAReceipt(t *testing.T) {
	r, c := withCarrier(t)
	c.answer = push.Receipt{Node: "a", Epoch: 5, Called: true, Delivered: []int64{7}, Queued: []int64{9}}
	for range 3 { // buffers are used again
		a := r.do(r.call())
		require.Equal(t, http.StatusOK, a.status, a.body)
		assert.Equal(t, "application/octet-stream", a.header.Get("Content-Type"))
		got, err := push.DecodeReceipt([]byte(a.body))
		require.NoError(t, err)
		assert.Equal(t, c.answer, got)
	}
	for _, got := range c.carried {
		assert.Equal(t, aCarriage(), got)
	}
}

func TestACallThatCannotBeTakenIsRefusedAndSaysWhy(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*http.Request, *carrier)
		status int
		says   string
	}{
		"no carriage":          {func(q *http.Request, _ *carrier) { body(q, "hello") }, 400, "carriage version 104"},
		"nothing":              {func(q *http.Request, _ *carrier) { body(q, "") }, 400, "ends early"},
		"cut off":              {func(q *http.Request, _ *carrier) { c := aCarriage(); body(q, string(c.AppendBinary(nil)[:20])) }, 400, "ends early"},
		"too large":            {func(q *http.Request, _ *carrier) { q.Body, q.ContentLength = http.NoBody, 100<<20 }, 413, "routing.batch_bytes"},
		"another method":       {func(q *http.Request, _ *carrier) { q.Method = http.MethodGet }, 405, "use POST"},
		"no token":             {func(q *http.Request, _ *carrier) { q.Header.Del("Authorization") }, 401, "internal.token"},
		"another token":        {func(q *http.Request, _ *carrier) { q.Header.Set("Authorization", "Bearer x") }, 401, "internal.token"},
		"a token of a user":    {func(q *http.Request, _ *carrier) { q.Header.Set("Authorization", "Basic "+secret) }, 401, "no token"},
		"token in the address": {func(q *http.Request, _ *carrier) { q.Header.Del("Authorization"); q.URL.RawQuery = "token=x" }, 401, "no token"},
		"a browser":            {func(q *http.Request, _ *carrier) { q.Header.Set("Origin", "https://shop.example") }, 403, "browsers"},
		"not prepared":         {func(_ *http.Request, c *carrier) { c.ready = errors.New("waiting for kafka") }, 503, "waiting for kafka"},
		"unknown partition":    {func(_ *http.Request, c *carrier) { c.err = errors.New("partition 3 is not known here") }, 503, "partition 3"},
	} {
		t.Run(name, func(t *testing.T) {
			r, c := withCarrier(t)
			q := r.call()
			row.change(q, c)
			if row.status == 413 {
				assert.Contains(t, r.declare(q), "413 Request Entity Too Large")
			} else {
				a := r.do(q)
				assert.Equal(t, row.status, a.status)
				assert.Contains(t, a.body, row.says)
				assert.Equal(t, "application/json", a.header.Get("Content-Type"))
			}
			assert.Empty(t, c.carried)
		})
	}
}

// declare sends the head of a request only, and returns the answer.
func (r *rig) declare(q *http.Request) string {
	conn := r.raw()
	_, err := io.WriteString(conn, "POST /push HTTP/1.1\r\nHost: a\r\nAuthorization: "+q.Header.Get("Authorization")+"\r\nContent-Length: 104857600\r\n\r\n")
	require.NoError(r.t, err)
	b := make([]byte, 1024)
	n, err := conn.Read(b)
	require.NoError(r.t, err)
	return string(b[:n])
}

func (r *rig) raw() net.Conn {
	var d net.Dialer
	conn, err := d.DialContext(r.t.Context(), "tcp", r.server.InternalAddr())
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(r.t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

func body(q *http.Request, text string) {
	q.Body, q.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
}

func TestACallThatDoesNotArriveInTimeIsRefused(t *testing.T) {
	r, c := withCarrier(t, func(r *rig) { r.config.ReadHeaderTimeout = 50 * time.Millisecond })
	conn := r.raw()
	_, err := io.WriteString(conn, "POST /push HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+secret+"\r\nContent-Length: 100\r\n\r\nx")
	require.NoError(t, err)
	b, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(b), "408 Request Timeout")
	assert.Empty(t, c.carried)
}

func TestAPushIsAnsweredWithWhatBecameOfIt(t *testing.T) {
	for name, row := range map[string]struct {
		status push.Status
		reason push.Reason
		here   bool
		code   int
		says   map[string]string
	}{
		"delivered":   {push.Done, push.ReasonNone, true, 200, map[string]string{"outcome": "delivered"}},
		"not here":    {0, push.ReasonNone, false, 404, map[string]string{"error": "the user has no session here that takes the message"}},
		"too slow":    {push.Failed, push.SlowConsumer, true, 429, map[string]string{"reason": "slow_consumer"}},
		"write error": {push.Failed, push.WriteError, true, 503, map[string]string{"reason": "write_error"}},
		"not acked":   {push.Failed, push.AckTimeout, true, 503, map[string]string{"reason": "ack_timeout"}},
		"left":        {push.Failed, push.Offline, true, 503, map[string]string{"reason": "offline"}},
		"no word":     {push.Held, push.ReasonNone, true, 503, map[string]string{"reason": "ack_timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, c := withCarrier(t)
			c.status, c.reason, c.here = row.status, row.reason, row.here
			q := r.single(`{"n":1}`)
			for k, v := range map[string]string{"ce-id": "a", "ce-type": "order", "ce-source": "/shop", "Content-Type": "application/json"} {
				q.Header.Set(k, v)
			}
			a := r.do(q)
			assert.Equal(t, row.code, a.status)
			said := a.decode(t)
			for k, v := range row.says {
				assert.Equal(t, v, said[k])
			}
			assert.Equal(t, row.code == 429 || row.code == 503, a.header.Get("Retry-After") != "")
			require.Len(t, c.pushed, 1)
			m := c.pushed[0]
			assert.Equal(t, []string{"42", "a", "order", "/shop", "application/json", `{"n":1}`}, []string{m.User, m.ID, m.Type, m.Source, m.ContentType, string(m.Data)})
			assert.True(t, m.JSON)
			assert.True(t, m.Time.IsZero(), "none was given: the same message has the same")
			assert.True(t, m.Expires.After(time.Now()))
		})
	}
}

func TestAPushThatCannotBeTakenIsRefusedAndSaysWhy(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*http.Request, *carrier)
		status int
		says   string
	}{
		"too large":         {func(q *http.Request, _ *carrier) { body(q, strings.Repeat("x", maxBytes+1)) }, 413, "message.max_bytes"},
		"no JSON":           {func(q *http.Request, _ *carrier) { q.Header.Set("Content-Type", "application/json") }, 400, "not valid JSON"},
		"no such time":      {func(q *http.Request, _ *carrier) { q.Header.Set("ce-time", "noon") }, 400, "RFC 3339"},
		"expired":           {func(q *http.Request, _ *carrier) { q.Header.Set("ce-expirytime", "2001-01-01T00:00:00Z") }, 400, "expired"},
		"control character": {func(q *http.Request, _ *carrier) { q.URL.Path = "/push/a\x01" }, 400, "control characters"},
		"another method":    {func(q *http.Request, _ *carrier) { q.Method = http.MethodPut }, 405, "use POST"},
		"no token":          {func(q *http.Request, _ *carrier) { q.Header.Del("Authorization") }, 401, "no token"},
		"another token":     {func(q *http.Request, _ *carrier) { q.Header.Set("Authorization", "Bearer "+secret+"x") }, 401, "internal.token"},
		"a browser":         {func(q *http.Request, _ *carrier) { q.Header.Set("Origin", "http://"+q.URL.Host) }, 403, "browsers"},
		"not prepared":      {func(_ *http.Request, c *carrier) { c.ready = errors.New("waiting for kafka") }, 503, "waiting for kafka"},
	} {
		t.Run(name, func(t *testing.T) {
			r, c := withCarrier(t)
			q := r.single("hello")
			row.change(q, c)
			a := r.do(q)
			assert.Equal(t, row.status, a.status, a.body)
			assert.Contains(t, a.body, row.says)
			assert.Empty(t, c.pushed)
		})
	}
}

func TestAPushEndsWhenItsCallerLeaves(t *testing.T) {
	r, c := withCarrier(t)
	c.waitPush = true
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := r.client.Do(r.single("hello").WithContext(ctx))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.pushed) == 1
	}, patience, time.Millisecond)
}

func TestANodeThatTakesNoMoreSessionsStillTakesMessages(t *testing.T) {
	r, c := withCarrier(t, func(r *rig) { r.ready = errors.New("draining") })
	c.answer = push.Receipt{Node: "a"}
	assert.Equal(t, http.StatusServiceUnavailable, r.do(r.handshake()).status)
	assert.Equal(t, http.StatusOK, r.do(r.single("hello")).status)
	assert.Equal(t, http.StatusOK, r.do(r.call()).status)
}

func TestWhereClientsShowTokensNobodyMayPushWithoutOne(t *testing.T) {
	r, c := withCarrier(t, func(r *rig) { r.internal.Token = "" })
	a := r.do(r.single("hello"))
	assert.Equal(t, http.StatusForbidden, a.status, "a proxy on this machine may have brought it and not say so")
	assert.Contains(t, a.body, "set internal.token")
	assert.Empty(t, c.pushed)
}

func TestWithoutATokenOnlyThisMachineMayPush(t *testing.T) {
	r, c := withCarrier(t, func(r *rig) { r.internal.Token, r.internal.TrustLoopback = "", true })
	assert.Equal(t, http.StatusOK, r.do(r.single("hello")).status)
	q := r.single("hello")
	q.Header.Set("X-Forwarded-For", "192.0.2.1")
	a := r.do(q)
	assert.Equal(t, http.StatusForbidden, a.status)
	assert.Contains(t, a.body, "set internal.token", "a proxy on this machine stands for others")
	assert.Len(t, c.pushed, 1)

	address := outward(t)
	if address == "" {
		t.Log("this machine has no address but loopback: being reached on another one is not tried")
		return
	}
	r, c = withCarrier(t, func(r *rig) { r.internal.Token, r.internal.TrustLoopback, r.config.Listen = "", true, "0.0.0.0:0" })
	q = r.single("hello")
	_, port, err := net.SplitHostPort(r.server.Addr())
	require.NoError(t, err)
	q.URL.Host = net.JoinHostPort(address, port)
	assert.Equal(t, http.StatusForbidden, r.do(q).status)
	assert.Empty(t, c.pushed)
}

// outward is an address of this machine that is not loopback; empty: it has none.
func outward(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return ""
}

func TestWithoutACarrierThereIsNoSuchAddress(t *testing.T) {
	r := newRig(t)
	a := r.do(r.single("hello"))
	assert.Equal(t, http.StatusNotFound, a.status)
	assert.NotContains(t, a.body, "/push/")
	r, _ = withCarrier(t)
	a = r.do(r.request(http.MethodGet, "/nowhere", http.NoBody))
	assert.Contains(t, a.body, "/push/{userId}")
}

func TestWithAnInternalListenerPushIsServedThereOnly(t *testing.T) {
	r, c := withCarrier(t, func(r *rig) { r.internal.Listen = "127.0.0.1:0" })
	c.answer = push.Receipt{Node: "a"}
	assert.Equal(t, http.StatusNotFound, r.do(r.single("hello")).status)
	assert.Equal(t, http.StatusNotFound, r.do(r.call()).status)
	there := func(q *http.Request) answer {
		q.URL.Host = r.server.InternalAddr()
		return r.do(q)
	}
	assert.NotEqual(t, r.server.Addr(), r.server.InternalAddr())
	assert.Equal(t, http.StatusOK, there(r.single("hello")).status)
	assert.Equal(t, http.StatusOK, there(r.call()).status)
	assert.Equal(t, http.StatusNotFound, there(r.message("hello")).status)
	assert.Equal(t, http.StatusNotFound, there(r.handshake()).status)
	q := r.single("hello")
	q.Header.Del("Authorization")
	assert.Equal(t, http.StatusUnauthorized, there(q).status)
}
