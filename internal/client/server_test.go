package client_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// patience bounds every wait of a test.
const patience = 10 * time.Second

// server is a gateway reduced to its sockets: what a connection is told is the
// test's.
type server struct {
	*httptest.Server

	peers chan *peer
	// refusals are answered first, one a connection.
	refusals chan int
	// retryAfter is when to come back after one, in seconds; empty: it does not say.
	retryAfter string
}

// peer is the server's side of one connection.
type peer struct {
	t    *testing.T
	conn *ws.Conn
	// Of the request that opened it.
	request  *http.Request
	protocol string
	socket   net.Conn

	received chan string
	closed   chan ws.Closed
}

func (p *peer) OnMessage(_ ws.Op, payload []byte) { p.received <- string(payload) }
func (p *peer) OnClose(c ws.Closed)               { p.closed <- c }

// Completed implements ws.Completer: whether a write arrives shows at the client.
func (p *peer) Completed(*ws.Write, error) {}

// send sends text messages, in one write: the answer to the first may be the
// end of the connection.
func (p *peer) send(payloads ...string) {
	p.t.Helper()
	var frames []byte
	for _, payload := range payloads {
		frames = ws.AppendFrame(frames, ws.OpText, []byte(payload))
	}
	require.NoError(p.t, p.conn.Send(&ws.Write{Frame: frames, Done: p}))
}

// push sends messages as the subprotocol has them.
func (p *peer) push(ids ...string) {
	p.t.Helper()
	var payloads []string
	for _, id := range ids {
		payloads = append(payloads, message(id))
	}
	p.send(payloads...)
}

func message(id string) string {
	return fmt.Sprintf(`{"id":%q,"type":"order","time":"2030-01-02T15:04:05Z","attempt":1,"data":{"n":1}}`, id)
}

func (p *peer) close(code ws.Code) {
	p.conn.Close(ws.Goodbye{Code: code, Reason: session.CodeText(code)})
}

// drop ends the connection without a goodbye.
func (p *peer) drop() {
	p.t.Helper()
	require.NoError(p.t, p.socket.Close())
}

func wait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "never came: "+what)
		panic("unreachable")
	}
}

func (p *peer) expectAck(id string) {
	p.t.Helper()
	assert.JSONEq(p.t, fmt.Sprintf(`{"ack":[%q]}`, id), wait(p.t, p.received, "an acknowledgement"))
}

func (p *peer) expectClosed() ws.Closed {
	p.t.Helper()
	return wait(p.t, p.closed, "the end of the connection")
}

// keeper keeps the socket of a connection that is taken over.
type keeper struct {
	http.ResponseWriter

	socket net.Conn
}

func (k *keeper) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(k.ResponseWriter).Hijack()
	k.socket = nc
	return nc, rw, err
}

func newServer(t *testing.T) *server {
	t.Helper()
	limits := ws.DefaultLimits()
	limits.Portable = true // for drop, which closes the socket
	limits.Deflate = true  // for those who offer it
	sockets, err := ws.NewServer(ws.ServerParams{Limits: limits})
	require.NoError(t, err)
	s := &server{peers: make(chan *peer, 100), refusals: make(chan int, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case status := <-s.refusals:
			w.Header().Set("Retry-After", s.retryAfter)
			http.Error(w, "not now", status)
			return
		default:
		}
		k := &keeper{ResponseWriter: w}
		conn, protocol, err := sockets.Upgrade(k, r, ws.UpgradeParams{Subprotocols: session.SubprotocolNames()})
		if err != nil {
			return
		}
		p := &peer{
			t: t, conn: conn, request: r, protocol: protocol, socket: k.socket,
			received: make(chan string, 100), closed: make(chan ws.Closed, 1),
		}
		s.peers <- p
		conn.Start(p)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sockets.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
		s.Close()
	})
	return s
}

func (s *server) accept(t *testing.T) *peer {
	t.Helper()
	return wait(t, s.peers, "a connection")
}
