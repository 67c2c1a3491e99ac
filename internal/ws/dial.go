package ws

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DialParams say how to connect. The zero value is usable.
type DialParams struct {
	// Header is sent with the handshake.
	Header http.Header
	// Subprotocols are offered in this order.
	Subprotocols []string
	// TLS is used for wss addresses; nil is the default configuration.
	TLS *tls.Config
	// Deflate offers permessage-deflate: the server may send messages compressed. Those
	// of the client are not.
	Deflate bool
	// MaxMessageBytes bounds what the server may send, once it is inflated; zero is 16 MiB.
	MaxMessageBytes int
}

const defaultClientMessage = 16 << 20

// RefusedError is the answer of a server that did not upgrade.
type RefusedError struct {
	Status     int
	Text       string // the start of the body
	RetryAfter string // the header of that name, if any
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the server refused the WebSocket: %d %s: %s", e.Status, http.StatusText(e.Status), e.Text)
}

// refusalText is how much of the body of a refusal is kept.
const refusalText = 1 << 10

// Dial opens a WebSocket to a ws or wss address. ctx bounds the handshake, not
// the connection. The error is a *RefusedError when the server answered
// something else than 101.
func Dial(ctx context.Context, address string, p DialParams) (*ClientConn, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("parsing the address: %w", err)
	}
	nc, err := dialSocket(ctx, u, p.TLS)
	if err != nil {
		return nil, err
	}
	// The handshake below blocks on the socket: the end of ctx unblocks it.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	c, err := clientHandshake(nc, u, p)
	if !stop() && err == nil {
		err = errors.New("the context ended")
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

func dialSocket(ctx context.Context, u *url.URL, config *tls.Config) (net.Conn, error) {
	port := map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	if port == "" {
		return nil, fmt.Errorf("address %q: the scheme must be ws or wss", u.Redacted())
	}
	if p := u.Port(); p != "" {
		port = p
	}
	// A keepalive of the kernel's would be a timer per connection; pings do it.
	d := net.Dialer{KeepAlive: -1}
	nc, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if u.Scheme == "ws" {
		return nc, nil
	}
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = u.Hostname()
	}
	config.NextProtos = []string{"http/1.1"}
	t := tls.Client(nc, config)
	if err = t.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return t, nil
}

func clientHandshake(nc net.Conn, u *url.URL, p DialParams) (*ClientConn, error) {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	key := base64.StdEncoding.EncodeToString(raw[:])
	target := *u
	target.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	target.Fragment = ""
	r := &http.Request{
		Method: http.MethodGet, URL: &target, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: p.Header.Clone(),
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set(headerVersion, version)
	r.Header.Set(headerKey, key)
	if len(p.Subprotocols) > 0 {
		r.Header.Set(headerProtocol, strings.Join(p.Subprotocols, ", "))
	}
	if p.Deflate {
		r.Header.Set(headerExtensions, deflateForgetful)
	}
	if err := r.Write(nc); err != nil {
		return nil, fmt.Errorf("sending the handshake: %w", err)
	}
	br := bufio.NewReaderSize(nc, clientBuffer)
	resp, err := http.ReadResponse(br, r)
	if err != nil {
		return nil, fmt.Errorf("reading the answer to the handshake: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err = checkResponse(resp, key, p); err != nil {
		return nil, err
	}
	limit := p.MaxMessageBytes
	if limit <= 0 {
		limit = defaultClientMessage
	}
	c := &ClientConn{
		nc: nc, subprotocol: resp.Header.Get(headerProtocol),
		parser: Parser{maxFrame: limit, maxMessage: limit, fromServer: true, deflate: resp.Header.Get(headerExtensions) != ""},
	}
	if n := br.Buffered(); n > 0 {
		early, _ := br.Peek(n) // cannot fail: the bytes are there
		c.waiting = slices.Clone(early)
	}
	return c, nil
}

func checkResponse(resp *http.Response, key string, offered DialParams) error {
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, refusalText)) // what came is all there is to tell
		return &RefusedError{
			Status: resp.StatusCode, Text: strings.TrimSpace(string(body)), RetryAfter: resp.Header.Get("Retry-After"),
		}
	}
	chosen, extensions := resp.Header.Get(headerProtocol), resp.Header[headerExtensions]
	switch {
	case !hasToken(resp.Header["Upgrade"], "websocket") || !hasToken(resp.Header["Connection"], "upgrade"):
		return errors.New("the answer to the handshake does not switch to WebSocket")
	case resp.Header.Get(headerAccept) != acceptKey(key):
		return errors.New("the answer to the handshake has the wrong Sec-WebSocket-Accept")
	case len(extensions) > 1 || len(extensions) == 1 && (!offered.Deflate || !forgetful(extensions[0])):
		return errors.New("the server chose an extension that was not offered")
	case chosen != "" && !slices.Contains(offered.Subprotocols, chosen):
		return fmt.Errorf("the server chose subprotocol %q, which was not offered", chosen)
	}
	return nil
}
