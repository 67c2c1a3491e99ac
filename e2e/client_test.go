package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// frame is what a client gets by the subprotocol pushgate.v1.
type frame struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Time    time.Time       `json:"time"`
	Attempt int             `json:"attempt"`
	Data    json.RawMessage `json:"data"`
	Base64  []byte          `json:"data_base64"`
	at      time.Time
}

// client is a user's device: it connects once, keeps every frame, and
// acknowledges unless told not to.
type client struct {
	t       *testing.T
	conn    *websocket.Conn
	silent  bool // does not acknowledge
	mu      sync.Mutex
	frames  []frame
	ended   chan struct{}
	closing websocket.StatusCode
}

// connect opens a session of a user at a node.
func connect(t *testing.T, n *node, user string, change ...func(*client)) *client {
	t.Helper()
	c, err := tryConnect(t, n, user, change...)
	require.NoError(t, err)
	return c
}

func silent(c *client) { c.silent = true }

func tryConnect(t *testing.T, n *node, user string, change ...func(*client)) (*client, error) {
	t.Helper()
	return dial(t, "ws://"+n.gateway+"/websocket/all/"+user, change...)
}

func dial(t *testing.T, url string, change ...func(*client)) (*client, error) {
	t.Helper()
	return dialBy(t, nil, url, change...)
}

// dialBy connects through a client of HTTP; nil is the usual one.
func dialBy(t *testing.T, through *http.Client, url string, change ...func(*client)) (*client, error) {
	t.Helper()
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"pushgate.v1"}, HTTPClient: through})
	if res != nil && res.Body != nil {
		_ = res.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	const limit = 1 << 20
	conn.SetReadLimit(limit)
	c := &client{t: t, conn: conn, ended: make(chan struct{})}
	for _, f := range change {
		f(c)
	}
	go c.read()
	t.Cleanup(c.vanish)
	return c, nil
}

func (c *client) read() {
	defer close(c.ended)
	ctx := context.WithoutCancel(c.t.Context())
	for {
		_, data, err := c.conn.Read(ctx)
		if err != nil {
			c.mu.Lock()
			c.closing = websocket.CloseStatus(err)
			c.mu.Unlock()
			return
		}
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			return
		}
		f.at = time.Now()
		c.mu.Lock()
		c.frames = append(c.frames, f)
		c.mu.Unlock()
		if !c.silent {
			ack, _ := json.Marshal(map[string][]string{"ack": {f.ID}})
			if c.conn.Write(ctx, websocket.MessageText, ack) != nil {
				return
			}
		}
	}
}

// vanish drops the connection without a word.
func (c *client) vanish() {
	_ = c.conn.CloseNow()
	<-c.ended
}

// leave says goodbye.
func (c *client) leave() {
	_ = c.conn.Close(websocket.StatusNormalClosure, "")
	<-c.ended
}

func (c *client) got() []frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.frames)
}

// ids returns the message ids in order of arrival, repeats left out.
func (c *client) ids() []string {
	var ids []string
	for _, f := range c.got() {
		if !slices.Contains(ids, f.ID) {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// waitFor waits until the client has got all these ids, in any order.
func (c *client) waitFor(within time.Duration, ids ...string) {
	c.t.Helper()
	ok := poll(within, func() bool { return len(missing(c.ids(), ids)) == 0 })
	require.True(c.t, ok, "missing after %s: %v of %d", within, clipped(missing(c.ids(), ids)), len(ids))
}

func missing(got, want []string) []string {
	have := make(map[string]bool, len(got))
	for _, id := range got {
		have[id] = true
	}
	var m []string
	for _, id := range want {
		if !have[id] {
			m = append(m, id)
		}
	}
	return m
}

func clipped(ids []string) []string {
	const few = 10
	return ids[:min(few, len(ids))]
}

// roamer is a user who reconnects, to any of the nodes, whenever the connection
// ends - as a client library does.
type roamer struct {
	t     *testing.T
	nodes []*node
	user  string
	stop  context.CancelFunc
	done  chan struct{}

	mu     sync.Mutex
	seen   map[string]int
	first  []string  // ids in the order in which they were first seen
	last   time.Time // when the last of them was
	conn   *websocket.Conn
	opened int // connections
}

func roam(t *testing.T, user string, nodes ...*node) *roamer {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &roamer{t: t, nodes: nodes, user: user, stop: stop, done: make(chan struct{}), seen: map[string]int{}}
	go r.run(ctx)
	t.Cleanup(r.end)
	return r
}

func (r *roamer) run(ctx context.Context) {
	defer close(r.done)
	const pause = 100 * time.Millisecond
	for i := 0; ctx.Err() == nil; i++ {
		conn, err := r.open(ctx, r.nodes[i%len(r.nodes)])
		if err == nil {
			r.listen(ctx, conn)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (r *roamer) open(ctx context.Context, n *node) (*websocket.Conn, error) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, "ws://"+n.gateway+"/websocket/all/"+r.user,
		&websocket.DialOptions{Subprotocols: []string{"pushgate.v1"}})
	if res != nil && res.Body != nil {
		_ = res.Body.Close()
	}
	return conn, err
}

func (r *roamer) listen(ctx context.Context, conn *websocket.Conn) {
	defer func() { _ = conn.CloseNow() }()
	r.mu.Lock()
	r.conn = conn
	r.opened++
	r.mu.Unlock()
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return
		}
		var f frame
		if json.Unmarshal(data, &f) != nil {
			return
		}
		r.mu.Lock()
		if r.seen[f.ID]++; r.seen[f.ID] == 1 {
			r.first, r.last = append(r.first, f.ID), time.Now()
		}
		r.mu.Unlock()
		ack, _ := json.Marshal(map[string][]string{"ack": {f.ID}})
		if conn.Write(ctx, websocket.MessageText, ack) != nil {
			return
		}
	}
}

// hop loses the connection; the user comes back at the next node.
func (r *roamer) hop() {
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	if conn != nil {
		_ = conn.CloseNow()
	}
}

func (r *roamer) end() {
	r.stop()
	<-r.done
}

func (r *roamer) missing(want []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var m []string
	for _, id := range want {
		if r.seen[id] == 0 {
			m = append(m, id)
		}
	}
	return m
}

// connections counts those that were opened.
func (r *roamer) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// lastSeen is when the last message came that had not come before.
func (r *roamer) lastSeen() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// firsts returns the ids in the order in which they were first seen.
func (r *roamer) firsts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.first)
}

// repeats counts how often messages came again.
func (r *roamer) repeats() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, times := range r.seen {
		n += times - 1
	}
	return n
}

// refusedWith says with which HTTP status the gateway refuses a connection.
func refusedWith(t *testing.T, url string) int {
	t.Helper()
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, url, nil)
	if err == nil {
		_ = conn.CloseNow()
		return 0
	}
	if res == nil {
		return -1
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode
}
