package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsSentComesBackCompressedOrNot(t *testing.T) {
	for _, args := range [][]string{nil, {"-deflate=false"}, {"-portable"}} {
		ctx, stop := context.WithCancel(t.Context())
		read, write := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, append([]string{"-listen", "127.0.0.1:0"}, args...), write) }()
		line, err := bufio.NewReader(read).ReadString('\n')
		require.NoError(t, err)
		address := strings.TrimPrefix(strings.TrimSpace(line), "listening on ")

		c, resp, err := websocket.Dial(ctx, "ws://"+address, &websocket.DialOptions{CompressionMode: websocket.CompressionNoContextTakeover})
		require.NoError(t, err)
		if resp.Body != nil {
			_ = resp.Body.Close()
		}
		assert.Equal(t, len(args) == 0 || args[0] != "-deflate=false", resp.Header.Get("Sec-WebSocket-Extensions") != "")
		sent := strings.Repeat("again and ", 1000)
		require.NoError(t, c.Write(ctx, websocket.MessageText, []byte(sent)))
		_, got, err := c.Read(ctx)
		require.NoError(t, err)
		assert.Equal(t, sent, string(got))
		require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
		stop()
		require.NoError(t, <-ended)
	}
}

func TestWhatCannotWorkIsAnError(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), []string{"-listen", "nowhere"}, io.Discard), "nowhere")
	require.Error(t, run(t.Context(), []string{"-many"}, io.Discard))
}
