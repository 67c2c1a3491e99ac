package listen_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/listen"
)

// patience bounds every wait of a test.
const patience = 10 * time.Second

// behind is an HTTP server on the loopback behind a gate.
type behind struct {
	t       *testing.T
	address string
	metrics *prometheus.Registry
}

func serveBehind(t *testing.T, gate *listen.Gate, handler http.HandlerFunc) *behind {
	t.Helper()
	l, err := listen.Bind(t.Context(), "listener", "key", "127.0.0.1:0")
	require.NoError(t, err)
	b := &behind{t: t, address: l.Addr().String(), metrics: prometheus.NewRegistry()}
	b.metrics.MustRegister(gate.Collectors()...)
	l.Listener = gate.Listener(l.Listener)
	s := &http.Server{Handler: handler, ReadHeaderTimeout: patience, ConnState: gate.ConnState, ConnContext: gate.ConnContext}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx, s) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-served)
	})
	return b
}

func (b *behind) dial() net.Conn {
	b.t.Helper()
	nc, err := net.Dial("tcp", b.address)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = nc.Close() })
	require.NoError(b.t, nc.SetDeadline(time.Now().Add(patience)))
	return nc
}

func (b *behind) ask(nc net.Conn) {
	b.t.Helper()
	_, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(b.t, err)
}

func (b *behind) answered(nc net.Conn) {
	b.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(b.t, err)
	require.NoError(b.t, res.Body.Close())
	assert.Equal(b.t, http.StatusOK, res.StatusCode)
}

func (b *behind) metric(name string) float64 {
	b.t.Helper()
	families, err := b.metrics.Gather()
	require.NoError(b.t, err)
	for _, f := range families {
		if m := f.GetMetric()[0]; f.GetName() == name {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	require.Fail(b.t, "no metric "+name)
	return 0
}

func (b *behind) awaitPending(n int) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.metric("pushgate_handshakes_pending") == float64(n) }, patience, time.Millisecond)
}

// refused connects and is closed, before anything was said or even before it was told that
// it is connected.
func (b *behind) refused() {
	b.t.Helper()
	nc, err := net.Dial("tcp", b.address)
	if err != nil {
		require.ErrorIs(b.t, err, syscall.ECONNRESET)
		return
	}
	defer func() { _ = nc.Close() }()
	require.NoError(b.t, nc.SetDeadline(time.Now().Add(patience)))
	ended(b.t, nc)
}

// ended says that a connection was closed, and not left alone.
func ended(t *testing.T, nc net.Conn) {
	t.Helper()
	_, err := nc.Read(make([]byte, 1))
	require.Error(t, err)
	assert.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestPastTheLimitConnectionsAreClosedUntilOneHasLeftTheGate(t *testing.T) {
	b := serveBehind(t, listen.NewGate(2), func(http.ResponseWriter, *http.Request) {})
	assert.InDelta(t, 2, b.metric("pushgate_handshakes_limit"), 0)
	first, second := b.dial(), b.dial()
	b.awaitPending(2)
	for range 3 {
		b.refused()
	}
	assert.InDelta(t, 3, b.metric("pushgate_handshakes_dropped_total"), 0)
	require.NoError(t, first.Close())
	b.awaitPending(1)
	third := b.dial()
	b.awaitPending(2)
	for _, nc := range []net.Conn{second, third} {
		b.ask(nc)
		b.answered(nc)
	}
	b.awaitPending(0)
	for _, nc := range []net.Conn{second, third} { // outside, as often as they like
		b.ask(nc)
		b.answered(nc)
	}
	assert.InDelta(t, 3, b.metric("pushgate_handshakes_dropped_total"), 0)
}

func TestAConnectionThatIsTakenOverLeavesTheGateOnce(t *testing.T) {
	taken := make(chan net.Conn, 1)
	b := serveBehind(t, listen.NewGate(1), func(w http.ResponseWriter, _ *http.Request) {
		nc, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			taken <- nc
		}
	})
	for range 3 {
		nc := b.dial()
		b.ask(nc)
		held := <-taken
		b.awaitPending(0)
		other := b.dial()
		b.awaitPending(1)
		require.NoError(t, held.Close())
		ended(t, nc)
		require.NoError(t, other.Close())
		b.awaitPending(0)
	}
	assert.Zero(t, b.metric("pushgate_handshakes_dropped_total"))
}

func TestARequestThatWaitsStaysInTheGateUnlessItLeaves(t *testing.T) {
	going, left := make(chan struct{}), make(chan struct{}, 1)
	var goes sync.Once
	t.Cleanup(func() { goes.Do(func() { close(going) }) })
	b := serveBehind(t, listen.NewGate(1), func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/leaves" {
			listen.Leave(r.Context())
			listen.Leave(r.Context())
			left <- struct{}{}
		}
		<-going
	})
	waits := b.dial()
	_, err := io.WriteString(waits, "GET /leaves HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	<-left // nobody was pending before it was accepted, either
	b.awaitPending(0)
	stays := b.dial()
	b.ask(stays)
	b.awaitPending(1)
	b.refused()
	goes.Do(func() { close(going) })
	b.answered(waits)
	b.answered(stays)
	b.awaitPending(0)
	listen.Leave(t.Context()) // of a listener that has no gate
}

func TestTheGateIsEmptyAfterAStorm(t *testing.T) {
	const limit, storm = 8, 400
	b := serveBehind(t, listen.NewGate(limit), func(http.ResponseWriter, *http.Request) {})
	var all sync.WaitGroup
	for i := range storm {
		all.Go(func() {
			nc, err := net.Dial("tcp", b.address)
			if err != nil {
				return
			}
			defer func() { _ = nc.Close() }()
			_ = nc.SetDeadline(time.Now().Add(patience))
			if i%3 > 0 {
				_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				_, _ = nc.Read(make([]byte, 1))
			}
		})
	}
	all.Wait()
	b.awaitPending(0)
	nc := b.dial()
	b.ask(nc)
	b.answered(nc)
}
