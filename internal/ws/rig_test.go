package ws_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

// peer is the server's side of one test connection.
type peer struct {
	conn *ws.Conn
	sub  string
	// onMessage may be nil.
	onMessage func(p *peer, op ws.Op, payload []byte)

	heard     int // messages; to be read when it is closed
	mu        sync.Mutex
	completed []error
	closed    chan ws.Closed
}

func (p *peer) OnMessage(op ws.Op, payload []byte) {
	p.heard++
	if p.onMessage != nil {
		p.onMessage(p, op, payload)
	}
}

func (p *peer) OnClose(c ws.Closed) { p.closed <- c }

func (p *peer) Completed(_ *ws.Write, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.completed = append(p.completed, err)
}

func (p *peer) completions() []error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]error(nil), p.completed...)
}

func (p *peer) send(op ws.Op, payload []byte) error {
	return p.conn.Send(&ws.Write{Frame: ws.AppendFrame(nil, op, payload), Done: p})
}

func echo(p *peer, op ws.Op, payload []byte) { _ = p.send(op, payload) }

// awaitClosed waits for the end of the server's side.
func (p *peer) awaitClosed(t *testing.T) ws.Closed {
	t.Helper()
	select {
	case c := <-p.closed:
		return c
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the connection did not end")
		return ws.Closed{}
	}
}

// rig is a server on the loopback whose connections are handed to the test.
type rig struct {
	http   *httptest.Server
	peers  chan *peer
	byName sync.Map // of *peer: those whose request has a name
}

type rigParams struct {
	limits    ws.Limits
	upgrade   ws.UpgradeParams
	onMessage func(*peer, ws.Op, []byte)
	tls       bool
	// accept, when not nil, stands between the listener and the server.
	accept func(net.Conn) net.Conn
}

func echoLimits() ws.Limits {
	l := limits()
	l.FlushOnClose = true
	l.CloseTimeout = 500 * time.Millisecond
	return l
}

func newRig(t testing.TB, p rigParams) *rig {
	t.Helper()
	server, err := ws.NewServer(ws.ServerParams{Limits: p.limits})
	require.NoError(t, err)
	r := &rig{peers: make(chan *peer, 64)}
	r.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, sub, err := server.Upgrade(w, req, p.upgrade)
		if err != nil {
			return
		}
		pe := &peer{conn: conn, sub: sub, onMessage: p.onMessage, closed: make(chan ws.Closed, 1)}
		if name := req.Header.Get("X-Name"); name != "" {
			r.byName.Store(name, pe)
		} else {
			r.peers <- pe
		}
		conn.Start(pe)
	}))
	if p.tls && !p.limits.Portable {
		r.http.Listener = ws.Detachable(r.http.Listener)
	}
	if p.accept != nil {
		r.http.Listener = listener{Listener: r.http.Listener, accept: p.accept}
	}
	if p.tls {
		r.http.StartTLS()
	} else {
		r.http.Start()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
		r.http.Close()
	})
	return r
}

type listener struct {
	net.Listener

	accept func(net.Conn) net.Conn
}

func (l listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.accept(nc), nil
}

func (r *rig) url() string { return "ws" + strings.TrimPrefix(r.http.URL, "http") + "/" }

// tls is how a client reaches the rig by TLS; nil if that is not what the rig speaks.
func (r *rig) tls() *tls.Config {
	if r.http.TLS == nil {
		return nil
	}
	return r.http.Client().Transport.(*http.Transport).TLSClientConfig
}

// dial connects with this package's own client, over TLS if that is what the rig
// speaks.
func (r *rig) dial(t *testing.T, p ws.DialParams) (*ws.ClientConn, *peer) {
	t.Helper()
	p.TLS = r.tls()
	c, err := ws.Dial(t.Context(), r.url(), p)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Drop() })
	return c, <-r.peers
}

// dialRaw opens a connection whose bytes are the test's own, over TLS if that is what the
// rig speaks; early is sent together with the request.
func (r *rig) dialRaw(t testing.TB, early string) (net.Conn, *peer) {
	t.Helper()
	nc, err := net.Dial("tcp", r.http.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(10*time.Second)))
	if config := r.tls(); config != nil {
		config = config.Clone()
		config.ServerName = "127.0.0.1"
		nc = tls.Client(nc, config)
	}
	_, err = nc.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + early))
	require.NoError(t, err)
	readAnswer(t, nc)
	return nc, <-r.peers
}

// readAnswer reads the answer to a handshake and not a byte more.
func readAnswer(t testing.TB, nc net.Conn) {
	t.Helper()
	var head []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(head), "\r\n\r\n") {
		_, err := nc.Read(one)
		require.NoError(t, err)
		head = append(head, one...)
	}
	require.Contains(t, string(head), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the example of RFC 6455, section 1.3")
}

// readFrame reads one frame of the server's.
func readFrame(r io.Reader) (ws.Op, []byte, error) {
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	if head[0]&0x70 != 0 || head[0]&0x80 == 0 || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("header % x is not one of a server", head[:2])
	}
	length, extra := uint64(head[1]), 0
	switch length {
	case 126:
		extra = 2
	case 127:
		extra = 8
	}
	if extra > 0 {
		if _, err := io.ReadFull(r, head[10-extra:]); err != nil {
			return 0, nil, err
		}
		clear(head[2 : 10-extra])
		length = binary.BigEndian.Uint64(head[2:])
	}
	payload := make([]byte, length)
	_, err := io.ReadFull(r, payload)
	return ws.Op(head[0] & 0xF), payload, err
}
