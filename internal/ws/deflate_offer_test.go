package ws_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func TestTheFirstOfferThatCanBeMetIsTaken(t *testing.T) {
	r := newRig(t, rigParams{limits: deflateLimits(), onMessage: deflatedEcho})
	for _, c := range []struct {
		offers []string
		answer string // what follows the two parameters that always stand there; - declined
		window ws.Window
	}{
		{nil, "-", 0},
		{[]string{""}, "-", 0},
		{[]string{"x-webkit-deflate-frame"}, "-", 0},
		{[]string{"Permessage-Deflate"}, "-", 0},
		{[]string{plainOffer}, "", 15},
		{[]string{" permessage-deflate ; server_no_context_takeover"}, "", 15},
		{[]string{forgetful}, "", 15},
		{[]string{"permessage-deflate;client_no_context_takeover;server_no_context_takeover;client_max_window_bits"}, "", 15},
		// What browsers offer.
		{[]string{"permessage-deflate; client_max_window_bits"}, "", 15},
		{[]string{"permessage-deflate; client_max_window_bits=8"}, "", 15},
		{[]string{"permessage-deflate; client_max_window_bits=15"}, "", 15},
		{[]string{`permessage-deflate; client_max_window_bits="10"`}, "", 15},
		{[]string{"permessage-deflate; server_max_window_bits=15"}, "; server_max_window_bits=15", 15},
		{[]string{"permessage-deflate; server_max_window_bits=8"}, "; server_max_window_bits=8", 8},
		{[]string{"permessage-deflate; server_max_window_bits = 12 ; client_max_window_bits=12"}, "; server_max_window_bits=12", 12},
		{[]string{`permessage-deflate; server_max_window_bits="9"`}, "; server_max_window_bits=9", 9},
		// Declined: invalid values.
		{[]string{"permessage-deflate; server_max_window_bits"}, "-", 0},
		{[]string{"permessage-deflate; server_max_window_bits="}, "-", 0},
		{[]string{"permessage-deflate; server_max_window_bits=7"}, "-", 0},
		{[]string{"permessage-deflate; server_max_window_bits=16"}, "-", 0},
		{[]string{"permessage-deflate; server_max_window_bits=08"}, "-", 0},
		{[]string{"permessage-deflate; server_max_window_bits=+9"}, "-", 0},
		{[]string{"permessage-deflate; client_max_window_bits="}, "-", 0},
		{[]string{`permessage-deflate; client_max_window_bits=""`}, "-", 0},
		{[]string{`permessage-deflate; client_max_window_bits="10`}, "-", 0},
		{[]string{"permessage-deflate; client_max_window_bits=1:"}, "-", 0},
		{[]string{"permessage-deflate; client_max_window_bits=100"}, "-", 0},
		{[]string{"permessage-deflate; server_no_context_takeover=1"}, "-", 0},
		{[]string{"permessage-deflate; client_no_context_takeover="}, "-", 0},
		// Declined: unknown, none, or twice.
		{[]string{"permessage-deflate; level=9"}, "-", 0},
		{[]string{"permessage-deflate; SERVER_NO_CONTEXT_TAKEOVER"}, "-", 0},
		{[]string{"permessage-deflate;"}, "-", 0},
		{[]string{"permessage-deflate junk"}, "-", 0},
		{[]string{"permessage-deflate; client_max_window_bits; client_max_window_bits"}, "-", 0},
		{[]string{"permessage-deflate; client_max_window_bits; client_max_window_bits=10"}, "-", 0},
		{[]string{"permessage-deflate; server_max_window_bits=10; server_max_window_bits=10"}, "-", 0},
		{[]string{"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}, "-", 0},
		{[]string{"permessage-deflate; client_no_context_takeover; client_no_context_takeover"}, "-", 0},
		// Several: the first that can be met.
		{[]string{"permessage-deflate; server_max_window_bits=10, permessage-deflate"}, "; server_max_window_bits=10", 10},
		{[]string{"permessage-deflate; server_max_window_bits=7, permessage-deflate; client_max_window_bits"}, "", 15},
		{[]string{"foo; bar=1, permessage-deflate; baz, permessage-deflate; server_max_window_bits=11,permessage-deflate"}, "; server_max_window_bits=11", 11},
		{[]string{"foo", "permessage-deflate; level=9", "permessage-deflate; server_max_window_bits=14", "permessage-deflate"}, "; server_max_window_bits=14", 14},
		{[]string{"permessage-deflate; level=9, permessage-deflate; level=8"}, "-", 0},
	} {
		client := r.dialOffering(t, c.offers...)
		var want []string
		if c.answer != "-" {
			want = []string{forgetful + c.answer}
		}
		assert.Equal(t, want, client.extensions, "%q", c.offers)
		assert.Equal(t, c.window, client.peer.conn.Window(), "%q", c.offers)
		// Declined or not, the connection goes on.
		client.send(t, text("hello"), closing(1000, ""))
		_, got, _, err := client.receive()
		require.NoError(t, err)
		assert.Equal(t, "hello", string(got))
	}
}

func TestNothingIsCompressedUnlessTheServerIsToldTo(t *testing.T) {
	limits := deflateLimits()
	limits.Deflate = false
	r := newRig(t, rigParams{limits: limits, onMessage: deflatedEcho})
	c := r.dialOffering(t, plainOffer)
	assert.Empty(t, c.extensions)
	assert.Zero(t, c.peer.conn.Window())
	c.send(t, compressedFrame(t, ws.OpText, "hello"))
	assert.Equal(t, ws.CodeProtocolError, c.closedWith(t))
}

func TestACompressedMessageOfAClientThatOfferedNothingIsRefused(t *testing.T) {
	r := newRig(t, rigParams{limits: deflateLimits(), onMessage: deflatedEcho})
	c := r.dialOffering(t)
	c.send(t, compressedFrame(t, ws.OpText, "hello"))
	assert.Equal(t, ws.CodeProtocolError, c.closedWith(t))
}

func TestTheClientOffersCompressionAndKeepsNoWindow(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, rigParams{limits: deflateLimits(), onMessage: deflatedEcho, tls: secure})
		c, pe := r.dial(t, ws.DialParams{Deflate: true})
		assert.Equal(t, ws.Window(15), pe.conn.Window())
		long := strings.Repeat("All work and no play makes Jack a dull boy. ", 2000)
		require.NoError(t, c.WriteMessage(ws.OpText, []byte(long)))
		require.NoError(t, c.WriteMessage(ws.OpText, []byte("short")))
		op, first, err := c.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, ws.OpText, op)
		assert.Equal(t, long, string(first))
		_, second, err := c.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, "short", string(second))
		require.NoError(t, c.Close(1000, ""))
		c, pe = r.dial(t, ws.DialParams{})
		assert.Zero(t, pe.conn.Window())
		require.NoError(t, c.Close(1000, ""))
	}
}

func TestTheClientTakesNoAnswerThatItDidNotOffer(t *testing.T) {
	for answer, offered := range map[string]bool{
		plainOffer: true, // the server would keep a window
		forgetful:  false,
		forgetful + "; server_max_window_bits=99": true,
		"permessage-bzip2":                        true,
		forgetful + ", permessage-bzip2":          true,
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		server := &httptest.Server{Listener: l, Config: &http.Server{Handler: accepting(answer)}}
		server.Start()
		_, err = ws.Dial(t.Context(), "ws://"+l.Addr().String(), ws.DialParams{Deflate: offered})
		require.ErrorContains(t, err, "extension that was not offered", answer)
		server.Close()
	}
}

// accepting accepts a handshake with these extensions.
func accepting(extensions string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		server, err := ws.NewServer(ws.ServerParams{Limits: limits()})
		if err != nil {
			return
		}
		near, far := net.Pipe()
		go func() {
			conn, _, err := server.Upgrade(hijackable{nil, far}, r, ws.UpgradeParams{})
			if err == nil {
				conn.Start(&peer{closed: make(chan ws.Closed, 1)})
			}
		}()
		nc, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		head := make([]byte, 1024)
		n, _ := near.Read(head)
		_ = near.Close()
		_, _ = io.WriteString(nc, strings.TrimSuffix(string(head[:n]), "\r\n")+"Sec-WebSocket-Extensions: "+extensions+"\r\n\r\n")
		_ = nc.Close()
	}
}
