package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"pushgate/internal/push"
)

// load is a producer that goes on while things die, and users who reconnect.
type load struct {
	t      *testing.T
	d      *deployment
	users  map[string]*roamer
	stop   context.CancelFunc
	ended  chan struct{}
	mu     sync.Mutex
	sent   map[string][]string // ids by user
	failed int
}

// startLoad lets n users roam between the nodes and sends to them without a
// pause, until complete.
func startLoad(t *testing.T, d *deployment, n int, nodes ...*node) *load {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &load{t: t, d: d, users: map[string]*roamer{}, stop: stop, ended: make(chan struct{}), sent: map[string][]string{}}
	for i := range n {
		user := fmt.Sprint("user-", i)
		// Each begins at another node.
		turned := append(append([]*node{}, nodes[i%len(nodes):]...), nodes[:i%len(nodes)]...)
		l.users[user] = roam(t, user, turned...)
	}
	go l.produce(ctx, n)
	t.Cleanup(func() { stop(); <-l.ended })
	return l
}

func (l *load) produce(ctx context.Context, users int) {
	defer close(l.ended)
	const pause = 2 * time.Millisecond
	for i := 0; ctx.Err() == nil; i++ {
		user := fmt.Sprint("user-", i%users)
		m := message{id: fmt.Sprintf("%s-%d", user, i), user: user}
		// Only what the broker took counts: the promise begins there.
		l.d.producer.Produce(context.WithoutCancel(ctx), l.d.record(m), func(_ *kgo.Record, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if err != nil {
				l.failed++
				return
			}
			l.sent[user] = append(l.sent[user], m.id)
		})
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	_ = l.d.producer.Flush(context.WithoutCancel(ctx))
}

// connected waits until all users are.
func (l *load) connected() {
	l.t.Helper()
	require.True(l.t, poll(20*time.Second, func() bool {
		for _, r := range l.users {
			if r.connections() == 0 {
				return false
			}
		}
		return true
	}), "users connect")
}

// join adds a user to whom the load sends nothing.
func (l *load) join(user string, nodes ...*node) {
	l.t.Helper()
	r := roam(l.t, user, nodes...)
	l.users[user] = r
	require.True(l.t, poll(10*time.Second, func() bool { return r.connections() > 0 }), "%s connects", user)
}

// soFar returns what the broker has taken until now.
func (l *load) soFar() map[string][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.sent) // ids are only ever added
}

// missing counts messages that have not reached their users.
func (l *load) missing(sent map[string][]string) (n int) {
	for user, ids := range sent {
		n += len(l.users[user].missing(ids))
	}
	return n
}

// during lets the load run for a while, upsets things, and lets it run on.
func (l *load) during(d time.Duration, upset func()) {
	wait(d)
	upset()
	wait(d)
}

// wait is for things that take real time.
func wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// complete ends the producer and waits until every message has reached its user.
func (l *load) complete(within time.Duration) {
	l.t.Helper()
	l.stop()
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	began := time.Now()
	total, repeats, lost := 0, 0, 0
	for _, ids := range l.sent {
		total += len(ids)
	}
	poll(within, func() bool {
		for user, ids := range l.sent {
			if len(l.users[user].missing(ids)) > 0 {
				return false
			}
		}
		return true
	})
	for user, ids := range l.sent {
		m := l.users[user].missing(ids)
		lost += len(m)
		repeats += l.users[user].repeats()
		assert.Empty(l.t, clipped(m), "lost of %s", user)
	}
	l.t.Logf("%d messages accepted, %d lost, %d repeats; the last arrived %s after the producer ended",
		total, lost, repeats, time.Since(began).Round(10*time.Millisecond))
	require.Positive(l.t, total)
	l.d.audit(total)
}

// audit has the program itself add up what became of the messages.
func (d *deployment) audit(messages int) {
	d.t.Helper()
	var ledger struct {
		Messages, Delivered int
		UnderWay            int `json:"under_way"`
	}
	ok := poll(20*time.Second, func() bool {
		said := finished(d.t, 0, d.env(), "audit", "--output", "json")
		require.NoError(d.t, json.Unmarshal([]byte(said), &ledger), said)
		return ledger.UnderWay == 0
	})
	assert.True(d.t, ok, "still under way: %+v", ledger)
	assert.GreaterOrEqual(d.t, ledger.Delivered, messages, "by the ledger")
	d.t.Logf("the ledger: %+v", ledger)
}

// trySend produces and does not care whether the test has ended meanwhile.
func (d *deployment) trySend(messages ...message) {
	for _, m := range messages {
		d.producer.Produce(context.WithoutCancel(d.t.Context()), d.record(m), nil)
	}
}

// sendTo produces records to one partition.
func (d *deployment) sendTo(partition int32, records ...*kgo.Record) {
	d.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(d.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(d.t, err)
	defer client.Close()
	for _, r := range records {
		r.Topic, r.Partition = d.topic("requests"), partition
	}
	require.NoError(d.t, client.ProduceSync(d.t.Context(), records...).FirstErr())
}

func homeOf(user string) int32 { return push.Home(user, partitions) }

// sameHome returns another user of the same partition.
func sameHome(user string) string {
	for i := 0; ; i++ {
		if other := fmt.Sprint("neighbour-", i); homeOf(other) == homeOf(user) {
			return other
		}
	}
}

// stall opens a session that never reads from its socket.
func stall(t *testing.T, n *node, user string) (hangUp func()) {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", n.gateway)
	require.NoError(t, err)
	tcp, ok := conn.(*net.TCPConn)
	require.True(t, ok)
	require.NoError(t, tcp.SetReadBuffer(4096))
	_, err = fmt.Fprintf(conn, "GET /websocket/all/%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", user, n.gateway)
	require.NoError(t, err)
	const patience = 5 * time.Second
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	line := make([]byte, len("HTTP/1.1 101"))
	_, err = io.ReadFull(conn, line)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 101", string(line))
	return func() { _ = conn.Close() }
}

// post produces a message over HTTP and returns its id.
func post(ctx context.Context, t *testing.T, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	var answer struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
	require.NotEmpty(t, answer.ID)
	return answer.ID
}

func contains(s, part string) bool { return strings.Contains(s, part) }
