// Package client connects as a user and takes the messages that are pushed: what
// an application's client library does, in Go. The command line, the benchmark
// and the demonstration use it.
package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// Message is one push.
type Message struct {
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	Time    time.Time `json:"time"`
	Attempt int       `json:"attempt"`
	// TraceParent is the producer's trace context (W3C), empty where it sent none.
	TraceParent string          `json:"traceparent,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	// Base64 holds a payload whose content type is not JSON.
	Base64 []byte `json:"data_base64,omitempty"`
}

// State is how the connection is doing.
type State uint8

// The states.
const (
	Connecting State = iota
	Open
	Closed
)

// Params of a Client.
type Params struct {
	// URL of a gateway: http(s) or ws(s); a path is kept in front.
	URL string
	// Others are gateways to turn to, one after the other, each time a connection could
	// not be opened or has ended.
	Others []string
	User   string
	// Type is the business type to take; empty: all.
	Type  string
	Token string
	// TLS is used for wss addresses; nil is the default configuration.
	TLS *tls.Config
	// Silent: do not acknowledge.
	Silent bool
	// Plain: name no subprotocol. A message is then its payload alone, and there
	// is nothing to acknowledge. For RunRaw.
	Plain bool
	// Compress offers permessage-deflate: the gateway may compress what it sends.
	Compress bool
	// OnState is told of changes; err says why a connection was closed. Nil is
	// allowed.
	OnState func(s State, err error)
	// MaxBackoff bounds the pause between two attempts to connect; 0: 30s. Where a gateway
	// has said that it wants to be left alone for some time, that is added before it is
	// asked again.
	MaxBackoff time.Duration
}

// Client is a user's device.
type Client struct {
	p    Params
	urls []string
	at   int // of urls, modulo their number: where to connect next. Run's own
	// before is when the gateway of each address may be asked again. Run's own.
	before []time.Time
	seen   recent
	// opened is when the connection was; zero while there is none. Run's own.
	opened time.Time
}

// New checks the addresses.
func New(p Params) (*Client, error) {
	if p.Type == "" {
		p.Type = "all"
	}
	if p.MaxBackoff <= 0 {
		p.MaxBackoff = 30 * time.Second
	}
	if p.OnState == nil {
		p.OnState = func(State, error) {}
	}
	c := &Client{p: p}
	for _, address := range append([]string{p.URL}, p.Others...) {
		u, err := socketURL(address, p.Type, p.User)
		if err != nil {
			return nil, err
		}
		c.urls = append(c.urls, u)
	}
	c.before = make([]time.Time, len(c.urls))
	return c, nil
}

// socketURL is where a gateway takes WebSockets of a user.
func socketURL(address, kind, user string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("the address %q: %w", address, err)
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = "ws"
	case "https", "wss":
		u.Scheme = "wss"
	default:
		return "", fmt.Errorf("the address %q must begin with ws://, wss://, http:// or https://", address)
	}
	if u.Host == "" {
		return "", fmt.Errorf("the address %q names no host", address)
	}
	query := ""
	if u.RawQuery != "" {
		query = "?" + u.RawQuery
	}
	u.RawQuery, u.Fragment = "", ""
	base := strings.TrimSuffix(u.String(), "/")
	return base + "/websocket/" + url.PathEscape(kind) + "/" + url.PathEscape(user) + query, nil
}

// firstBackoff bounds the pause before the second attempt to connect. Pauses are
// spread evenly below their bound, which doubles.
const firstBackoff = 500 * time.Millisecond

// steady is how long a connection must have lived for the backoff to begin anew.
// The time it took to open does not count: a gateway that does not answer would
// be asked again at once.
const steady = 5 * time.Second

// ErrStop is returned by a handler that has seen enough: the message is
// acknowledged, the gateway is told goodbye, and Run returns nil.
var ErrStop = errors.New("enough")

// Run stays connected until ctx ends (then nil) or the gateway says that trying
// again is no use. Each message is handed to handle once - repeats are only
// acknowledged again - and acknowledged when handle returns nil. An error of
// handle ends Run with it, except for ErrStop.
func (c *Client) Run(ctx context.Context, handle func(context.Context, Message) error) error {
	return c.stay(ctx, func(conn *ws.ClientConn, payload []byte) error { return c.take(ctx, conn, payload, handle) })
}

// stay connects, again and again, and hands each payload to take.
func (c *Client) stay(ctx context.Context, take func(*ws.ClientConn, []byte) error) error {
	limit := min(firstBackoff, c.p.MaxBackoff)
	for {
		c.p.OnState(Connecting, nil)
		c.opened = time.Time{}
		err := c.once(ctx, take)
		if over(ctx, err) {
			return nil
		}
		c.p.OnState(Closed, err)
		if !Passing(err) {
			return err
		}
		if !c.opened.IsZero() && time.Since(c.opened) > steady {
			limit = min(firstBackoff, c.p.MaxBackoff)
		}
		timer := time.NewTimer(c.pause(err, limit))
		limit = min(2*limit, c.p.MaxBackoff)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// pause is how long to wait after an attempt has failed: a time below limit, after the
// gateway that is next wants to be asked again.
func (c *Client) pause(failed error, limit time.Duration) time.Duration {
	now := time.Now()
	c.before[(c.at-1)%len(c.urls)] = now.Add(rest(failed, now))
	next := c.before[c.at%len(c.urls)]
	return max(next.Sub(now), 0) + rand.N(limit) //nolint:gosec // spreads load, guards nothing
}

// over says whether a connection ended because it was wanted.
func over(ctx context.Context, err error) bool { return ctx.Err() != nil || errors.Is(err, ErrStop) }

// Passing says whether connecting again may help. What the caller's own code
// returned is looked at first: it may wrap an error of a connection of its own.
func Passing(err error) bool {
	if _, ok := errors.AsType[*handlerError](err); ok {
		return false
	}
	if refused, ok := errors.AsType[*ws.RefusedError](err); ok {
		return refused.Status == http.StatusTooManyRequests || refused.Status >= http.StatusInternalServerError
	}
	if closed, ok := errors.AsType[*ws.CloseError](err); ok {
		return session.ShouldReconnect(closed.Code)
	}
	return true
}

// handlerError carries an error of the caller's own.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }
func (e *handlerError) Unwrap() error { return e.err }

// once is the life of one connection.
func (c *Client) once(ctx context.Context, take func(*ws.ClientConn, []byte) error) error {
	const handshake = 10 * time.Second
	dialing, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	header := http.Header{}
	if c.p.Token != "" {
		header.Set("Authorization", "Bearer "+c.p.Token)
	}
	address := c.urls[c.at%len(c.urls)]
	c.at++
	conn, err := ws.Dial(dialing, address, ws.DialParams{
		Header: header, Subprotocols: c.subprotocols(), TLS: c.p.TLS, Deflate: c.p.Compress,
	})
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", address, err)
	}
	// Reading blocks on the socket: the end of ctx says goodbye, which ends it.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close(session.CloseNormal, "") })
	defer func() {
		stop()
		_ = conn.Drop()
	}()
	c.opened = time.Now()
	c.p.OnState(Open, nil)
	for {
		_, payload, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("connection to %s: %w", address, err)
		}
		err = take(conn, payload)
		if errors.Is(err, ErrStop) {
			// Dropping the connection could take the acknowledgement with it.
			_ = conn.Close(session.CloseNormal, "")
		}
		if err != nil {
			return err
		}
	}
}

func (c *Client) subprotocols() []string {
	if c.p.Plain {
		return nil
	}
	return []string{session.PushgateName}
}

func (c *Client) take(ctx context.Context, conn *ws.ClientConn, payload []byte, handle func(context.Context, Message) error) error {
	var m Message
	if err := json.Unmarshal(payload, &m); err != nil {
		return fmt.Errorf("the gateway sent what is no message: %w", err)
	}
	var handled error
	if !c.seen.has(m.ID) {
		if err := handle(ctx, m); errors.Is(err, ErrStop) {
			handled = ErrStop
		} else if err != nil {
			return &handlerError{err}
		}
		c.seen.add(m.ID)
	}
	if c.p.Silent {
		return handled
	}
	ack, err := json.Marshal(acknowledgement{Ack: []string{m.ID}})
	if err != nil {
		return fmt.Errorf("acknowledging: %w", err)
	}
	if err := conn.WriteMessage(ws.OpText, ack); err != nil {
		return fmt.Errorf("acknowledging: %w", err)
	}
	return handled
}

type acknowledgement struct {
	Ack []string `json:"ack"`
}

// recent remembers the ids that were handled last.
type recent struct {
	ids   map[string]struct{}
	order []string
	next  int
}

// remembered is how many ids are remembered: a repeat comes within seconds.
const remembered = 4096

func (r *recent) has(id string) bool {
	_, ok := r.ids[id]
	return ok
}

func (r *recent) add(id string) {
	if r.ids == nil {
		r.ids = make(map[string]struct{})
	}
	if len(r.order) < remembered {
		r.order = append(r.order, id)
	} else {
		delete(r.ids, r.order[r.next])
		r.order[r.next] = id
		r.next = (r.next + 1) % remembered
	}
	r.ids[id] = struct{}{}
}
