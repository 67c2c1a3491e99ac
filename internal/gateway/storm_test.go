package gateway_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// figure is the value of a metric without labels.
func (r *rig) figure(name string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		if m := f.GetMetric()[0]; f.GetName() == name {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	require.Fail(r.t, "no metric "+name)
	return 0
}

func (r *rig) awaitPending(n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.figure("pushgate_handshakes_pending") == float64(n) }, patience, time.Millisecond)
}

// silent connects and says nothing.
func (r *rig) silent() net.Conn {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.server.Addr())
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = nc.Close() })
	return nc
}

func TestHandshakesHaveALimitOfTheirOwnWhichSessionsAndPostsAreNotIn(t *testing.T) {
	ca := newAuthority(t)
	for name, secure := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			posting := make(chan struct{})
			r := newRig(t, func(r *rig) {
				r.config.MaxPendingHandshakes = 2
				r.publish = func(context.Context, push.Record) error { <-posting; return nil }
				if secure {
					r.config.TLS = files(t, ca.node(time.Now().Add(time.Hour)))
				}
			})
			trust := &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12}
			r.client.Transport.(*http.Transport).TLSClientConfig = trust
			connect := func() error {
				c, err := ws.Dial(t.Context(), map[bool]string{false: "ws://", true: "wss://"}[secure]+r.server.Addr()+"/websocket/all/42", ws.DialParams{
					Header: bearer(r.token("42")), Subprotocols: []string{session.PushgateName}, TLS: trust,
				})
				if err == nil {
					t.Cleanup(func() { _ = c.Drop() })
					<-r.bound
				}
				return err
			}
			for range 5 {
				require.NoError(t, connect())
			}
			r.awaitPending(0)
			var posts sync.WaitGroup
			for i := range 3 { // more than there may be handshakes, one after the other
				post := r.message("hello")
				if secure {
					post.URL.Scheme = "https"
				}
				posts.Go(func() { assert.Equal(t, http.StatusAccepted, r.do(post).status) })
				require.Eventually(t, func() bool { return len(r.published()) > i }, patience, time.Millisecond)
				r.awaitPending(0)
			}

			first := r.silent()
			r.awaitPending(1)
			require.NoError(t, connect(), "beside one that is silent")
			r.awaitPending(1)
			r.silent()
			r.awaitPending(2)
			require.Error(t, connect())
			assert.InDelta(t, 1, r.figure("pushgate_handshakes_dropped_total"), 0)
			assert.InDelta(t, 2, r.figure("pushgate_handshakes_limit"), 0)
			assert.Zero(t, r.figure("pushgate_accept_failures_total"))
			require.NoError(t, first.Close())
			r.awaitPending(1)
			require.NoError(t, connect())
			close(posting)
			posts.Wait()
		})
	}
}

func TestWhoIsSilentLosesItsPlaceInTime(t *testing.T) {
	r := newRig(t, func(r *rig) { r.config.MaxPendingHandshakes, r.config.ReadHeaderTimeout = 1, 50*time.Millisecond })
	for range 3 {
		r.silent()
		r.awaitPending(1)
		r.awaitPending(0)
	}
	r.connect("42")
}

func TestHandshakesLeaveDescriptorsForSessions(t *testing.T) {
	r := newRig(t, func(r *rig) { r.descriptors = 2000 })
	assert.InDelta(t, 200, r.figure("pushgate_handshakes_limit"), 0)
	assert.InDelta(t, 1300, r.figure("pushgate_sessions_limit"), 0)
	r = newRig(t, func(r *rig) { r.descriptors = 1 << 20 })
	assert.InDelta(t, 1024, r.figure("pushgate_handshakes_limit"), 0)
	assert.InDelta(t, 100_000, r.figure("pushgate_sessions_limit"), 0)
}
