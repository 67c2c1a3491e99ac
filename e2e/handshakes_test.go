package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dribbling writes a few bytes at a time, as a client does whose network is bad.
type dribbling struct{ net.Conn }

func (d dribbling) Write(p []byte) (int, error) {
	const piece, pause = 16, 20 * time.Millisecond
	for sent := 0; sent < len(p); {
		n, err := d.Conn.Write(p[sent:min(sent+piece, len(p))])
		if sent += n; err != nil {
			return sent, err
		}
		<-time.After(pause)
	}
	return len(p), nil
}

// halfOpen holds connections that do not go on after having said so much.
func halfOpen(t *testing.T, n *node, count int, said string) (end func()) {
	t.Helper()
	var conns []net.Conn
	end = func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	t.Cleanup(end)
	for range count {
		c, err := net.Dial("tcp", n.gateway)
		if err != nil {
			continue // the gate is full
		}
		conns = append(conns, c)
		_, _ = io.WriteString(c, said)
	}
	return end
}

func TestClientsThatDoNotFinishTheirHandshakeHoldUpNobody(t *testing.T) {
	const limit, idle, soon = 200, 140, 2 * time.Second
	files, trusts := certificate(t)
	d := deploy(t, embeddedBroker(t))
	d.encrypted(files)
	d.extra["PUSHGATE_GATEWAY_MAX_PENDING_HANDSHAKES"] = fmt.Sprint(limit)
	n := d.node("n")
	phone, err := dialBy(t, trusts, "wss://"+n.gateway+"/websocket/all/phone")
	require.NoError(t, err)
	pending := func() float64 { return n.metric("pushgate_handshakes_pending") }

	// Below the limit, everybody gets in at once, beside those who do not go on, in
	// whichever step; and who is slow gets in, too.
	const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" // and 500 bytes that do not come
	silent, half := halfOpen(t, n, idle/2, ""), halfOpen(t, n, idle/2, hello)
	slow := make(chan error, 1)
	go func() {
		raw, err := net.Dial("tcp", n.gateway)
		if err != nil {
			slow <- err
			return
		}
		defer func() { _ = raw.Close() }()
		config := trusts.Transport.(*http.Transport).TLSClientConfig.Clone()
		config.ServerName = "127.0.0.1"
		c := tls.Client(dribbling{raw}, config)
		slow <- c.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = fmt.Fprintf(c, "GET /nothing HTTP/1.1\r\nHost: x\r\nX-Padding: %0500d\r\n\r\n", 0)
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		slow <- err
	}()
	require.NoError(t, <-slow)
	require.True(t, poll(soon, func() bool { return pending() == idle+1 }), "%v in their handshake", pending())
	for i := range 10 {
		began := time.Now()
		c, err := dialBy(t, trusts, fmt.Sprintf("wss://%s/websocket/all/neighbour-%d", n.gateway, i))
		require.NoError(t, err)
		assert.Less(t, time.Since(began), soon, "to connect")
		ids := []string{fmt.Sprint("phone-", i), fmt.Sprint("neighbour-", i)}
		d.send(message{id: ids[0], user: "phone"}, message{id: ids[1], user: fmt.Sprint("neighbour-", i)})
		phone.waitFor(soon, ids[0])
		c.waitFor(soon, ids[1])
	}
	require.NoError(t, <-slow)
	assert.Zero(t, n.metric("pushgate_handshakes_dropped_total"))

	// Past it nobody gets in, and who is in does not notice.
	flood := halfOpen(t, n, 2*limit, "")
	require.True(t, poll(soon, func() bool { return n.metric("pushgate_handshakes_dropped_total") > 0 }))
	assert.LessOrEqual(t, pending(), float64(limit))
	_, err = dialBy(t, trusts, "wss://"+n.gateway+"/websocket/all/late")
	require.Error(t, err)
	d.send(message{id: "during", user: "phone"})
	phone.waitFor(soon, "during")

	for _, end := range []func(){silent, half, flood} {
		end()
	}
	require.True(t, poll(soon, func() bool { return pending() == 0 }), "%v are left", pending())
	_, err = dialBy(t, trusts, "wss://"+n.gateway+"/websocket/all/late")
	require.NoError(t, err)
	d.audit(21)
}
