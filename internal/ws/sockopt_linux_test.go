package ws

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wrapping is a listener that puts something of its own around what it accepts, and says
// so.
type wrapping struct{ net.Listener }

type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

func (w wrapping) Accept() (net.Conn, error) {
	nc, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return wrapped{nc}, nil
}

func TestTheOptionsOfASocketAreSetWhateverStandsOnIt(t *testing.T) {
	for name, row := range map[string]struct {
		secure   bool
		portable bool
		around   func(net.Listener) net.Listener
	}{
		"TCP in a loop":                 {},
		"TCP as a stream":               {portable: true},
		"TCP in something, in a loop":   {around: func(l net.Listener) net.Listener { return wrapping{l} }},
		"TCP in something, as a stream": {around: func(l net.Listener) net.Listener { return wrapping{l} }, portable: true},
		"TLS in a loop":                 {secure: true, around: Detachable},
		"TLS as a stream":               {secure: true, portable: true},
		"TLS as a stream, detachable":   {secure: true, portable: true, around: Detachable},
		"TLS on something, in a loop":   {secure: true, around: func(l net.Listener) net.Listener { return Detachable(wrapping{wrapping{l}}) }},
		"TLS on something, as a stream": {secure: true, portable: true, around: func(l net.Listener) net.Listener { return wrapping{l} }},
	} {
		t.Run(name, func(t *testing.T) {
			limits := DefaultLimits()
			limits.Portable = row.portable
			limits.SocketSendBytes = 20 << 10
			c := upgraded(t, limits, row.secure, row.around)
			_, isStream := c.wire.(*stream)
			require.Equal(t, row.portable, isStream)
			got := optionsOf(t, c)
			assert.Equal(t, 1, got(syscall.IPPROTO_TCP, syscall.TCP_NODELAY))
			assert.Equal(t, 2*limits.SocketSendBytes, got(syscall.SOL_SOCKET, syscall.SO_SNDBUF), "Linux doubles it, for what it needs beside")
			assert.Equal(t, int(userTimeout.Milliseconds()), got(syscall.IPPROTO_TCP, tcpUserTimeout))
			assert.Equal(t, 1, got(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE))
			assert.Equal(t, 60, got(syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE), "seconds")
			assert.Equal(t, 15, got(syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL), "seconds")
			assert.Equal(t, 4, got(syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT))
		})
	}
}

// upgraded returns the server's side of a connection.
func upgraded(t *testing.T, limits Limits, secure bool, around func(net.Listener) net.Listener) *Conn {
	t.Helper()
	server, err := NewServer(ServerParams{Limits: limits})
	require.NoError(t, err)
	conns := make(chan *Conn, 1)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := server.Upgrade(w, r, UpgradeParams{})
		if assert.NoError(t, err) {
			c.Start(deaf{make(chan Closed, 1)})
			conns <- c
		}
	}))
	if around != nil {
		h.Listener = around(h.Listener)
	}
	params := DialParams{}
	if secure {
		h.StartTLS()
		params.TLS = h.Client().Transport.(*http.Transport).TLSClientConfig
	} else {
		h.Start()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	dialing, over := context.WithTimeout(t.Context(), 10*time.Second)
	defer over()
	client, err := Dial(dialing, "ws"+strings.TrimPrefix(h.URL, "http")+"/", params)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = client.Drop()
		cancel()
		assert.NoError(t, <-ended)
		h.Close()
	})
	return <-conns
}

// optionsOf returns what reads an option of a connection's socket, wherever that is kept.
func optionsOf(t *testing.T, c *Conn) func(level, option int) int {
	t.Helper()
	var raw syscall.RawConn
	if s, ok := c.wire.(*stream); ok {
		raw = rawOf(t, s.raw)
	}
	return func(level, option int) (value int) {
		var err error
		read := func(fd uintptr) { value, err = syscall.GetsockoptInt(int(fd), level, option) }
		if raw == nil {
			read(uintptr(c.polled.fd))
		} else {
			require.NoError(t, raw.Control(read))
		}
		require.NoError(t, err)
		return value
	}
}

// rawOf finds the socket by itself: that tcpOf does not is what the test is for.
func rawOf(t *testing.T, nc net.Conn) syscall.RawConn {
	t.Helper()
	for {
		if s, ok := nc.(syscall.Conn); ok {
			raw, err := s.SyscallConn()
			require.NoError(t, err)
			return raw
		}
		switch w := nc.(type) {
		case *below:
			nc = w.Conn
		case wrapped:
			nc = w.Conn
		case *tls.Conn:
			nc = w.NetConn()
		default:
			require.FailNow(t, "no socket", "%T", nc)
		}
	}
}
