package ws_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func handshakeRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{
		"Connection": {"keep-alive, upgrade"}, "Upgrade": {"WebSocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	return r
}

func TestRequestsThatAreNoHandshakeAreRefused(t *testing.T) {
	require.NoError(t, ws.CheckRequest(handshakeRequest()))
	server, err := ws.NewServer(ws.ServerParams{Limits: limits()})
	require.NoError(t, err)
	for _, c := range []struct {
		name   string
		change func(r *http.Request)
		status int
	}{
		{"POST", func(r *http.Request) { r.Method = http.MethodPost }, 405},
		{"HTTP/1.0", func(r *http.Request) { r.ProtoMinor = 0 }, 426},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, 426},
		{"no Upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }, 426},
		{"other Upgrade", func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }, 426},
		{"no Connection", func(r *http.Request) { r.Header.Del("Connection") }, 426},
		{"Connection: close", func(r *http.Request) { r.Header.Set("Connection", "close") }, 426},
		{"no version", func(r *http.Request) { r.Header.Del("Sec-Websocket-Version") }, 426},
		{"version 8", func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }, 426},
		{"no key", func(r *http.Request) { r.Header.Del("Sec-Websocket-Key") }, 400},
		{"two keys", func(r *http.Request) { r.Header.Add("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") }, 400},
		{"key of 15 bytes", func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25j") }, 400},
		{"key not base64", func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "?????????????????????==") }, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w := handshakeRequest(), httptest.NewRecorder()
			c.change(r)
			_, _, err := server.Upgrade(w, r, ws.UpgradeParams{})
			var refused *ws.HandshakeError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, c.status, refused.Status)
			assert.Equal(t, c.status, w.Code)
			if strings.Contains(c.name, "version") {
				assert.Equal(t, "13", w.Header().Get("Sec-WebSocket-Version"))
			}
			if c.status == 426 {
				assert.Equal(t, "websocket", w.Header().Get("Upgrade"))
			}
		})
	}
}

func TestSubprotocolIsTheClientsFirstThatTheServerSpeaks(t *testing.T) {
	bearer := func(offered []string) string {
		i := slices.IndexFunc(offered, func(s string) bool { return strings.HasPrefix(s, "bearer.") })
		if i < 0 {
			return ""
		}
		return offered[i]
	}
	r := newRig(t, rigParams{
		limits:  echoLimits(),
		upgrade: ws.UpgradeParams{Subprotocols: []string{"pushgate.v1", "cloudevents.json"}, Otherwise: bearer},
	})
	for _, c := range []struct{ offered, want string }{
		{"", ""},
		{"mqtt", ""},
		{"pushgate.v1", "pushgate.v1"},
		{"cloudevents.json, pushgate.v1", "cloudevents.json"},
		{"bearer.abc, pushgate.v1", "pushgate.v1"},
		{"bearer.abc", "bearer.abc"},
	} {
		p := ws.DialParams{}
		if c.offered != "" {
			p.Subprotocols = strings.Split(c.offered, ", ")
		}
		client, pe := r.dial(t, p)
		assert.Equal(t, c.want, client.Subprotocol(), c.offered)
		assert.Equal(t, c.want, pe.sub, c.offered)
		require.NoError(t, client.Close(1000, ""))
	}
}

func TestOffersAreReadFromEveryHeaderLine(t *testing.T) {
	h := http.Header{"Sec-Websocket-Protocol": {"a, b", "", " c ,, d"}}
	assert.Equal(t, []string{"a", "b", "c", "d"}, ws.OfferedSubprotocols(h))
	assert.Empty(t, ws.OfferedSubprotocols(http.Header{}))
}

func TestBytesThatCameWithTheRequestAreNotLost(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, rigParams{limits: echoLimits(), onMessage: echo, tls: secure})
		// Where they end up depends on how many there are: with net/http, within TLS, or
		// with the kernel.
		for size := 1; size < 20_000; size += 1 + size/3 {
			early, bird := text(stars(size)), text("bird").bytes()
			nc, _ := r.dialRaw(t, string(early.bytes())+string(bird[:5]))
			_, got, err := readFrame(nc)
			require.NoError(t, err, "%d bytes, secure: %t", size, secure)
			assert.Equal(t, early.payload, string(got))
			_, err = nc.Write(bird[5:])
			require.NoError(t, err)
			_, got, err = readFrame(nc)
			require.NoError(t, err)
			assert.Equal(t, "bird", string(got))
			require.NoError(t, nc.Close())
		}
	}
}

func TestDialTellsWhatTheServerAnswered(t *testing.T) {
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "draining", http.StatusServiceUnavailable)
	}))
	defer busy.Close()
	_, err := ws.Dial(t.Context(), strings.Replace(busy.URL, "http", "ws", 1), ws.DialParams{})
	var refused *ws.RefusedError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, ws.RefusedError{Status: 503, Text: "draining", RetryAfter: "7"}, *refused)

	_, err = ws.Dial(t.Context(), "http://example.test/", ws.DialParams{})
	require.ErrorContains(t, err, "scheme must be ws or wss")
}

func TestDialEndsWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = ws.Dial(ctx, "ws://"+silent.Addr().String(), ws.DialParams{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
