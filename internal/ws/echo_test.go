package ws_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func TestEchoOfEverySizeComesBackUnchanged(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, rigParams{limits: echoLimits(), onMessage: echo, tls: secure})
		c, pe := r.dial(t, ws.DialParams{})
		for _, size := range []int{0, 1, 125, 126, 127, 128, 511, 512, 513, 16383, 65535, 65536} {
			sent := []byte(strings.Repeat("*", size))
			require.NoError(t, c.WriteMessage(ws.OpText, sent))
			op, got, err := c.ReadMessage()
			require.NoError(t, err)
			assert.Equal(t, ws.OpText, op)
			assert.Len(t, got, size)
			assert.Equal(t, string(sent), string(got))
		}
		require.NoError(t, c.Close(1000, "bye"))
		assert.Equal(t, ws.Closed{Code: 1000, Reason: "bye", Remote: true}, pe.awaitClosed(t))
	}
}

func TestAnIndependentClientGetsItsEchoAndItsClose(t *testing.T) {
	r := newRig(t, rigParams{limits: echoLimits(), onMessage: echo, upgrade: ws.UpgradeParams{Subprotocols: []string{"b"}}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, r.url(), &websocket.DialOptions{Subprotocols: []string{"a", "b"}})
	require.NoError(t, err)
	if resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	pe := <-r.peers
	assert.Equal(t, "b", c.Subprotocol())
	for _, payload := range []string{"", "hello", strings.Repeat("x", 30000)} {
		require.NoError(t, c.Write(ctx, websocket.MessageText, []byte(payload)))
		kind, got, err := c.Read(ctx)
		require.NoError(t, err)
		assert.Equal(t, websocket.MessageText, kind)
		assert.Equal(t, payload, string(got))
	}
	reading := c.CloseRead(ctx)
	require.NoError(t, c.Ping(ctx))
	pe.conn.Close(ws.Goodbye{Code: 4409, Reason: "replaced"})
	<-reading.Done()
	assert.Equal(t, ws.Closed{Code: 4409, Reason: "replaced"}, pe.awaitClosed(t))
}

func TestAnIndependentClientIsAnsweredItsClose(t *testing.T) {
	r := newRig(t, rigParams{limits: limits()})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, r.url(), nil)
	require.NoError(t, err)
	if resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	require.NoError(t, c.Close(3001, "bye"))
	assert.Equal(t, ws.Closed{Code: 3001, Reason: "bye", Remote: true}, (<-r.peers).awaitClosed(t))
}
