package ws

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// handshakeTimeout bounds the writing of the 101 answer, a few hundred bytes.
const handshakeTimeout = 5 * time.Second

// UpgradeParams say how to answer a handshake.
type UpgradeParams struct {
	// Subprotocols the server speaks. The first one the client offers that is
	// among them is chosen.
	Subprotocols []string
	// Otherwise, when not nil, is asked when none matches, and may name one of
	// the offered: a browser drops a connection that answers none of its offers.
	// An empty name chooses none.
	Otherwise func(offered []string) string
}

// Upgrade answers a handshake and takes the connection over from net/http. The
// caller must call Start on the connection. On error the request has been
// answered where that was possible; the error is a *HandshakeError when the
// client is at fault. The context of r ends with the handler, not with the
// connection.
//
// What a listener has put around a socket and says so by a method NetConn is left behind:
// from here on the connection is on the socket itself.
func (s *Server) Upgrade(w http.ResponseWriter, r *http.Request, p UpgradeParams) (*Conn, string, error) {
	if err := CheckRequest(r); err != nil {
		if refused, ok := errors.AsType[*HandshakeError](err); ok {
			refused.Refuse(w)
		}
		return nil, "", err
	}
	chosen, err := p.choose(OfferedSubprotocols(r.Header))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil, "", err
	}
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection cannot be upgraded", http.StatusInternalServerError)
		return nil, "", fmt.Errorf("taking the connection over: %w", err)
	}
	// Bytes the client sent right behind its request are the start of the
	// stream. They are copied: the buffer of net/http is not to live on.
	var early []byte
	if n := rw.Reader.Buffered(); n > 0 {
		waiting, _ := rw.Peek(n) // cannot fail: the bytes are there
		early = slices.Clone(waiting)
	}
	agreed := agreement{subprotocol: chosen}
	var window Window
	if s.limits.Deflate {
		if offer, ok := acceptDeflate(r.Header); ok {
			agreed.extensions, window = offer.answer(), offer.window()
		}
	}
	if err = answer(nc, r.Header.Get(headerKey), agreed); err != nil {
		return nil, "", errors.Join(err, nc.Close())
	}
	s.tune(nc)
	c := &Conn{server: s, window: window}
	c.heard.Store(true) // its request, a moment ago
	if len(early) > 0 {
		c.rarely().early = early
	}
	if !s.admit(c, nc) {
		return nil, "", errors.Join(errStopped, nc.Close())
	}
	return c, chosen, nil
}

func (p UpgradeParams) choose(offered []string) (string, error) {
	for _, name := range offered {
		if slices.Contains(p.Subprotocols, name) {
			return name, nil
		}
	}
	if p.Otherwise == nil || len(offered) == 0 {
		return "", nil
	}
	name := p.Otherwise(offered)
	if name != "" && !slices.Contains(offered, name) {
		return "", fmt.Errorf("subprotocol %q was not offered", name)
	}
	return name, nil
}

// agreement is what the answer to a handshake says was chosen of the client's offers;
// empty where nothing was.
type agreement struct{ subprotocol, extensions string }

func answer(nc net.Conn, key string, agreed agreement) error {
	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	b.WriteString(acceptKey(key))
	if agreed.subprotocol != "" {
		b.WriteString("\r\nSec-WebSocket-Protocol: ")
		b.WriteString(agreed.subprotocol)
	}
	if agreed.extensions != "" {
		b.WriteString("\r\nSec-WebSocket-Extensions: ")
		b.WriteString(agreed.extensions)
	}
	b.WriteString("\r\n\r\n")
	// The deadlines net/http may have set end here too.
	err := nc.SetDeadline(time.Now().Add(handshakeTimeout))
	if err == nil {
		_, err = nc.Write([]byte(b.String()))
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		return fmt.Errorf("answering the handshake: %w", err)
	}
	return nil
}

// tune sets the socket's options. It is best effort: none is needed for
// correctness, and a transport that is not TCP has none.
func (s *Server) tune(nc net.Conn) {
	tcp := tcpOf(nc)
	if tcp == nil {
		return
	}
	_ = tcp.SetNoDelay(true)
	if n := s.limits.SocketSendBytes; n > 0 {
		_ = tcp.SetWriteBuffer(n)
	}
	// Pings find a dead peer first; this is for a server that sends none.
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4})
	setUserTimeout(tcp, userTimeout)
}

// tcpOf returns the TCP connection that nc stands on, nil where there is none: below
// TLS, and below whatever a listener has put around what it accepts, if that has a method
// NetConn, as a tls.Conn does.
func tcpOf(nc net.Conn) *net.TCPConn {
	for {
		if tcp, ok := nc.(*net.TCPConn); ok {
			return tcp
		}
		around, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = around.NetConn()
	}
}

// userTimeout bounds how long the kernel sends the same bytes again without an
// answer before it gives the peer up. It is longer than the write timeout, which
// has its own reason to report.
const userTimeout = 30 * time.Second
