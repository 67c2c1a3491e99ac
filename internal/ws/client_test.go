package ws_test

import (
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func TestAReadOfTheClientSurvivesItsDeadline(t *testing.T) {
	r := newRig(t, rigParams{limits: limits()})
	c, pe := r.dial(t, ws.DialParams{})
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, _, err := c.ReadMessage()
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	require.NoError(t, pe.send(ws.OpText, []byte("a")))
	require.NoError(t, pe.send(ws.OpText, []byte("b")))
	for _, want := range []string{"a", "b"} {
		_, got, err := c.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
}

func TestCloseOfTheClientWaitsForTheAnswerWhileAnotherGoroutineReads(t *testing.T) {
	r := newRig(t, rigParams{limits: limits()})
	c, pe := r.dial(t, ws.DialParams{})
	reading := make(chan error, 1)
	go func() {
		_, _, err := c.ReadMessage()
		reading <- err
	}()
	require.NoError(t, c.Ping([]byte("?")))
	require.Error(t, c.Ping(make([]byte, 126)))
	require.NoError(t, c.Close(1000, "done"))
	var closed *ws.CloseError
	require.ErrorAs(t, <-reading, &closed)
	require.ErrorIs(t, c.WriteMessage(ws.OpText, nil), ws.ErrClosed)
	assert.Equal(t, ws.Closed{Code: 1000, Reason: "done", Remote: true}, pe.awaitClosed(t))
	assert.ErrorIs(t, pe.send(ws.OpText, nil), ws.ErrClosed)
}

// byHand is a server that says yes, with what change made of the answer, and
// then the given bytes. It hands out what the client sends until it closes.
func byHand(t *testing.T, then string, change func(http.Header)) (url string, said <-chan string) {
	t.Helper()
	heard := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		h := http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
			"Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])},
		}
		if change != nil {
			change(h)
		}
		nc, rw, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = nc.Close() }()
		var answer strings.Builder
		answer.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
		assert.NoError(t, h.Write(&answer))
		answer.WriteString("\r\n" + then)
		_, err = nc.Write([]byte(answer.String()))
		assert.NoError(t, err)
		b, _ := io.ReadAll(rw)
		heard <- string(b)
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http"), heard
}

func TestTheClientReadsWhatCameWithTheAnswer(t *testing.T) {
	url, _ := byHand(t, "\x81\x02hi\x82\x01!\x88\x02\x03\xe9", nil)
	c, err := ws.Dial(t.Context(), url, ws.DialParams{})
	require.NoError(t, err)
	defer func() { _ = c.Drop() }()
	for _, want := range []string{"hi", "!"} {
		_, got, err := c.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	_, _, err = c.ReadMessage()
	var closed *ws.CloseError
	require.ErrorAs(t, err, &closed)
	assert.Equal(t, ws.Code(1001), closed.Code)
	assert.Contains(t, closed.Error(), "1001")
}

func TestTheClientTellsTheServerWhatItDidWrong(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		want        ws.Code
	}{
		{"a masked frame", string(text("x").bytes()), 1002},
		{"text that is not UTF-8", "\x81\x01\xff", 1007},
		{"more than the client takes", "\x82\x7e\x04\x00", 1009},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, said := byHand(t, c.bytes, nil)
			client, err := ws.Dial(t.Context(), url, ws.DialParams{MaxMessageBytes: 1000})
			require.NoError(t, err)
			_, _, err = client.ReadMessage()
			var broken *ws.ProtocolError
			require.ErrorAs(t, err, &broken)
			assert.Equal(t, c.want, broken.Code)
			_, _, again := client.ReadMessage()
			require.Equal(t, err, again, "there is no reading on")
			require.NoError(t, client.Drop())
			var told recorder
			p := ws.NewParser(testLimits)
			require.NoError(t, p.Feed([]byte(<-said), &told))
			require.Len(t, told, 1)
			assert.Contains(t, told[0], "close")
		})
	}
}

func TestDialMistrustsAnAnswerThatIsNotForItsRequest(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(http.Header)
		want   string
	}{
		{"no upgrade", func(h http.Header) { h.Set("Upgrade", "h2c") }, "does not switch"},
		{"no connection", func(h http.Header) { h.Del("Connection") }, "does not switch"},
		{"accepts another key", func(h http.Header) { h.Set("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") }, "Sec-WebSocket-Accept"},
		{"an extension", func(h http.Header) { h.Set("Sec-WebSocket-Extensions", "permessage-deflate") }, "extension"},
		{"another subprotocol", func(h http.Header) { h.Set("Sec-WebSocket-Protocol", "mqtt") }, "mqtt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, _ := byHand(t, "", c.change)
			_, err := ws.Dial(t.Context(), url, ws.DialParams{Subprotocols: []string{"pushgate.v1"}})
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestAMessageStaysAsItIsWhileItsConnectionIsClosed(t *testing.T) {
	r := newRig(t, rigParams{limits: echoLimits()})
	c, pe := r.dial(t, ws.DialParams{})
	require.NoError(t, pe.send(ws.OpText, []byte("first")))
	_, first, err := c.ReadMessage()
	require.NoError(t, err)
	require.NoError(t, pe.send(ws.OpText, []byte("other")))
	require.NoError(t, c.Close(1000, ""))
	assert.Equal(t, "first", string(first))
}
