package ws_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

// pipes is a server whose connections are pipes in memory, for tests of time in a
// synctest bubble. A pipe holds nothing: what the client does not read, the
// server has not written.
type pipes struct{ server *ws.Server }

func newPipes(t *testing.T, limits ws.Limits) *pipes {
	t.Helper()
	server, err := ws.NewServer(ws.ServerParams{Limits: limits})
	require.NoError(t, err)
	return runPipes(t, server)
}

func runPipes(t *testing.T, server *ws.Server) *pipes {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return &pipes{server: server}
}

// dial returns the client's end; pe, which may be nil, is the server's handler.
func (p *pipes) dial(t *testing.T, pe *peer) (net.Conn, *peer) {
	t.Helper()
	near, far := net.Pipe()
	return near, p.take(t, near, &socket{Conn: far}, pe)
}

// take upgrades far, the server's end of near.
func (p *pipes) take(t *testing.T, near, far net.Conn, pe *peer) *peer {
	t.Helper()
	t.Cleanup(func() { _ = near.Close() })
	upgraded := make(chan *ws.Conn, 1)
	go func() {
		conn, _, err := p.server.Upgrade(hijackable{httptest.NewRecorder(), far}, handshakeRequest(), ws.UpgradeParams{})
		assert.NoError(t, err)
		upgraded <- conn
	}()
	readAnswer(t, near)
	if pe == nil {
		pe = &peer{}
	}
	pe.conn, pe.closed = <-upgraded, make(chan ws.Closed, 1)
	pe.conn.Start(pe)
	return pe
}

// socket makes the end of a pipe speak like a socket: what fails because this end
// was closed is net.ErrClosed.
type socket struct {
	net.Conn

	closed atomic.Bool
}

func (s *socket) Close() error {
	s.closed.Store(true)
	return s.Conn.Close()
}

func (s *socket) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	if err != nil && s.closed.Load() {
		err = net.ErrClosed
	}
	return n, err
}

// hijackable hands out a connection as net/http does.
type hijackable struct {
	http.ResponseWriter

	nc net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.nc, bufio.NewReadWriter(bufio.NewReader(h.nc), bufio.NewWriter(h.nc)), nil
}
