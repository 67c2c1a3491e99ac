package ws_test

import (
	"context"
	"net"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

// slowToEnd is a handler that takes its time over the last call.
type slowToEnd struct {
	peer

	release chan struct{}
}

func (s *slowToEnd) OnClose(c ws.Closed) {
	<-s.release
	s.peer.OnClose(c)
}

func TestAStoppedServerDropsItsConnectionsAndTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := ws.NewServer(ws.ServerParams{Limits: limits()})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		p := &pipes{server: server}
		near, far := net.Pipe()
		s := &slowToEnd{release: make(chan struct{})}
		go func() {
			conn, _, err := server.Upgrade(hijackable{nil, far}, handshakeRequest(), ws.UpgradeParams{})
			assert.NoError(t, err)
			s.closed = make(chan ws.Closed, 1)
			conn.Start(s)
		}()
		readAnswer(t, near)
		other, pe := p.dial(t, nil)
		synctest.Wait()

		cancel()
		assert.Equal(t, ws.CodeAbnormal, (<-pe.closed).Code)
		_, err = other.Read(make([]byte, 1))
		require.Error(t, err)
		synctest.Wait()
		assert.Empty(t, ended, "one handler has not returned from its last call")
		close(s.release)
		require.NoError(t, <-ended)
		assert.Len(t, s.closed, 1)

		near, far = net.Pipe()
		refused := make(chan error, 1)
		go func() {
			_, _, err := server.Upgrade(hijackable{nil, far}, handshakeRequest(), ws.UpgradeParams{})
			refused <- err
		}()
		readAnswer(t, near)
		require.ErrorContains(t, <-refused, "the server stopped")
		_, err = near.Read(make([]byte, 1))
		require.Error(t, err)
	})
}

func TestWhatIsWrittenIsCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	server, err := ws.NewServer(ws.ServerParams{Limits: limits(), Registerer: registry})
	require.NoError(t, err)
	_, err = ws.NewServer(ws.ServerParams{Limits: limits(), Registerer: registry})
	require.Error(t, err, "two servers cannot share a registry")

	synctest.Test(t, func(t *testing.T) {
		p := runPipes(t, server)
		nc, pe := p.dial(t, nil)
		for range 3 {
			require.NoError(t, pe.send(ws.OpText, []byte("12345678")))
		}
		pe.conn.Close(ws.Goodbye{Code: 1001})
		for range 4 {
			_, _, err := readFrame(nc)
			require.NoError(t, err)
		}
		_, err := nc.Write(closing(1001, "").bytes())
		require.NoError(t, err)
		<-pe.closed
	})
	families, err := registry.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	assert.Equal(t, map[string]float64{"pushgate_socket_frames_total": 3, "pushgate_socket_write_bytes_total": 3*10 + 4}, got)
}

func TestAPeerThatTakesNotEvenTheAnswerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = near.Close() }()
		start := time.Now()
		_, _, err := newPipes(t, limits()).server.Upgrade(hijackable{nil, far}, handshakeRequest(), ws.UpgradeParams{})
		require.ErrorContains(t, err, "answering the handshake")
		assert.LessOrEqual(t, time.Since(start), 10*time.Second)
	})
}

func TestAnUpgradeThatCannotBeDoneIsAnswered(t *testing.T) {
	server, err := ws.NewServer(ws.ServerParams{Limits: limits()})
	require.NoError(t, err)
	var client *ws.HandshakeError

	w := httptest.NewRecorder() // cannot be hijacked
	_, _, err = server.Upgrade(w, handshakeRequest(), ws.UpgradeParams{})
	require.Error(t, err)
	require.NotErrorAs(t, err, &client, "the client is not at fault")
	assert.Equal(t, 500, w.Code)

	w, r := httptest.NewRecorder(), handshakeRequest()
	r.Header.Set("Sec-WebSocket-Protocol", "a")
	_, _, err = server.Upgrade(w, r, ws.UpgradeParams{Otherwise: func([]string) string { return "b" }})
	require.ErrorContains(t, err, `"b" was not offered`)
	require.NotErrorAs(t, err, &client, "the client is not at fault")
	assert.Equal(t, 500, w.Code)
}
