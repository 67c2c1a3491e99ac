package ws_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func TestALostConnectionIsReportedAs1006(t *testing.T) {
	reset := func(nc net.Conn) { _ = nc.(*net.TCPConn).SetLinger(0) }
	for _, c := range []struct {
		name  string
		last  []byte // what still came
		leave func(net.Conn)
	}{
		{"between frames", text("a").bytes(), func(net.Conn) {}},
		{"in the middle of a header", text("a").bytes()[:3], func(net.Conn) {}},
		{"in the middle of a payload", text("abc").bytes()[:8], func(net.Conn) {}},
		{"in the middle of a message", text("a").andMore().bytes(), func(net.Conn) {}},
		{"with a reset", nil, reset},
		{"with half a close frame", closing(1000, "x").bytes()[:7], func(net.Conn) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var heard []string
			r := newRig(t, rigParams{limits: limits(), onMessage: func(_ *peer, _ ws.Op, p []byte) { heard = append(heard, string(p)) }})
			nc, pe := r.dialRaw(t, "")
			_, err := nc.Write(c.last)
			require.NoError(t, err)
			c.leave(nc)
			require.NoError(t, nc.Close())
			closed := pe.awaitClosed(t)
			assert.Equal(t, ws.CodeAbnormal, closed.Code)
			assert.False(t, closed.Remote)
			require.Error(t, closed.Err)
			require.ErrorIs(t, pe.send(ws.OpText, nil), ws.ErrClosed)
			pe.conn.Close(ws.Goodbye{Code: 1001}) // too late, and harmless
			if c.name == "between frames" {
				assert.Equal(t, []string{"a"}, heard)
			} else {
				assert.Empty(t, heard, "half a message is none")
			}
		})
	}
}

func TestAClientThatLeavesInTheMiddleOfALargeWriteEndsIt(t *testing.T) {
	for _, secure := range []bool{false, true} {
		limits := limits()
		limits.WriteTimeout = time.Minute // is not what ends it
		r := newRig(t, rigParams{limits: limits, tls: secure})
		c, pe := r.dial(t, ws.DialParams{MaxMessageBytes: 1 << 30})
		require.NoError(t, pe.send(ws.OpText, []byte("first")))
		require.NoError(t, pe.send(ws.OpText, []byte("second")))
		for range 2 {
			_, _, err := c.ReadMessage()
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool { return len(pe.completions()) == 2 }, 5*time.Second, time.Millisecond)
		require.NoError(t, pe.send(ws.OpBinary, bytes.Repeat([]byte("x"), 32<<20)))
		require.NoError(t, c.Drop())
		closed := pe.awaitClosed(t)
		assert.Equal(t, ws.CodeAbnormal, closed.Code)
		completed := pe.completions()
		require.Len(t, completed, 3)
		assert.Equal(t, []error{nil, nil}, completed[:2])
		assert.Error(t, completed[2])
	}
}

func TestAClientThatLeavesInsteadOfAnsweringTheCloseEndsIt(t *testing.T) {
	limits := limits()
	limits.CloseTimeout = time.Minute // is not what ends it
	r := newRig(t, rigParams{limits: limits})
	nc, pe := r.dialRaw(t, "")
	pe.conn.Close(ws.Goodbye{Code: 1001})
	_, err := io.ReadFull(nc, make([]byte, 4))
	require.NoError(t, err)
	require.NoError(t, nc.Close())
	assert.Equal(t, ws.Closed{Code: 1001}, pe.awaitClosed(t))
}
