package gateway_test

import (
	"crypto/tls"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func TestWhatBoundsHandshakesLeavesConnectionsToTheLoops(t *testing.T) {
	ca := newAuthority(t)
	for name, secure := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				if secure {
					r.config.TLS = files(t, ca.node(time.Now().Add(time.Hour)))
				}
			})
			connect := func() {
				c, err := ws.Dial(t.Context(), map[bool]string{false: "ws://", true: "wss://"}[secure]+r.server.Addr()+"/websocket/all/42", ws.DialParams{
					Header: bearer(r.token("42")), TLS: &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS12},
				})
				require.NoError(t, err)
				t.Cleanup(func() { _ = c.Drop() })
				<-r.bound
			}
			connect() // starts the loops
			before := runtime.NumGoroutine()
			const sessions = 50
			for range sessions {
				connect()
			}
			assert.Eventually(t, func() bool { return runtime.NumGoroutine() < before+sessions/2 }, patience, time.Millisecond,
				"a connection has no goroutine of its own")
		})
	}
}
