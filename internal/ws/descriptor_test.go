package ws_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

// Descriptors are numbers that are used again at once. What was to be sent to one
// connection must not reach the next one with its number, whoever ends it and how, and
// however long others go on to send.
func TestNothingReachesAnotherConnectionThatHasGotTheDescriptor(t *testing.T) {
	const clients, senders, lasts = 40, 4, 3 * time.Second
	limits := limits()
	limits.WriteTimeout, limits.CloseTimeout = 200*time.Millisecond, 100*time.Millisecond
	r := newRig(t, rigParams{limits: limits})
	var (
		current   [clients]atomic.Pointer[named]
		delivered atomic.Int64
		over      = make(chan struct{})
		all       sync.WaitGroup
	)
	for range senders {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				to := current[rand.IntN(clients)].Load()
				if to == nil {
					continue
				}
				for range rand.IntN(20) { // also when it has ended meanwhile
					if to.send(rand.IntN(3000)) != nil {
						break
					}
				}
			}
		})
	}
	for i := range clients {
		all.Go(func() {
			for life := 0; ; life++ {
				select {
				case <-over:
					return
				default:
				}
				if !oneLife(t, r, &current[i], fmt.Sprintf("<%d of %d>", life, i), &delivered) {
					return
				}
			}
		})
	}
	<-time.After(lasts)
	close(over)
	all.Wait()
	assert.Greater(t, delivered.Load(), int64(1000))
}

// named is a connection whose messages all bear its name.
type named struct {
	pe   *peer
	name string
}

func (n *named) send(size int) error {
	payload := append([]byte(n.name), bytes.Repeat([]byte("x"), size)...)
	return n.pe.send(ws.OpBinary, payload)
}

// oneLife connects, reads some messages, and ends the connection in some way. It is
// false where it found the message of another.
func oneLife(t *testing.T, r *rig, current *atomic.Pointer[named], name string, delivered *atomic.Int64) bool {
	nc, pe := r.dialNamed(t, name)
	if pe == nil {
		return false
	}
	defer func() { _ = nc.Close() }()
	n := &named{pe: pe, name: name}
	current.Store(n)
	from := bufio.NewReader(nc)
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
	for range rand.IntN(50) {
		op, payload, err := readFrame(from)
		if err != nil || op == ws.OpClose {
			return true
		}
		if op == ws.OpBinary && !assert.True(t, bytes.HasPrefix(payload, []byte(name)), "%s got %.20q", name, payload) {
			return false
		}
		delivered.Add(1)
	}
	switch rand.IntN(4) {
	case 0:
		_ = nc.(*net.TCPConn).SetLinger(0)
	case 1:
		_, _ = nc.Write(closing(1000, "").bytes())
		_, _ = io.Copy(io.Discard, from)
	case 2:
		pe.conn.Close(ws.Goodbye{Code: 1001, Drop: rand.IntN(2) == 0})
	}
	return true
}

// dialNamed is dialRaw for many at once: the server's side is found by its name.
func (r *rig) dialNamed(t *testing.T, name string) (net.Conn, *peer) {
	t.Helper()
	nc, err := net.Dial("tcp", r.http.Listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, nc.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = nc.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Name: " + name +
		"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	require.NoError(t, err)
	readAnswer(t, nc)
	found, ok := r.byName.LoadAndDelete(name)
	for since := time.Now(); !ok && time.Since(since) < 10*time.Second; found, ok = r.byName.LoadAndDelete(name) {
		<-time.After(time.Millisecond)
	}
	if !assert.True(t, ok, "the server knows the connection") {
		return nc, nil
	}
	return nc, found.(*peer)
}
