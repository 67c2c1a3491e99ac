package listen_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/listen"
)

// given is a listener that accepts what it is given.
type given struct {
	conns chan net.Conn
	once  sync.Once
}

func (g *given) Accept() (net.Conn, error) {
	nc, ok := <-g.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}

func (g *given) Close() error {
	g.once.Do(func() { close(g.conns) })
	return nil
}

func (*given) Addr() net.Addr { return &net.TCPAddr{} }

// shakers returns both ends of connections that take turns.
func shakers(t *testing.T, turns *listen.Turns, count int) (near, far []net.Conn) {
	t.Helper()
	l := &given{conns: make(chan net.Conn, 1)}
	for range count {
		a, b := net.Pipe()
		l.conns <- b
		b, err := turns.Listener(l).Accept()
		require.NoError(t, err)
		near, far = append(near, a), append(far, b)
	}
	return near, far
}

// reading reads once, and says so.
func reading(nc net.Conn) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := nc.Read(make([]byte, 10))
		done <- err
	}()
	return done
}

func isDone(done <-chan error) bool {
	synctest.Wait()
	return len(done) > 0
}

func say(t *testing.T, nc net.Conn) {
	t.Helper()
	_, err := io.WriteString(nc, "x")
	require.NoError(t, err)
}

func TestATurnIsHadFromWhenBytesComeUntilMoreAreWantedOrSomethingIsWritten(t *testing.T) {
	for name, gives := range map[string]func(near, far net.Conn){
		"reads":    func(_, far net.Conn) { reading(far) },
		"writes":   func(near, far net.Conn) { reading(near); _, _ = io.WriteString(far, "y") },
		"ends":     func(_, far net.Conn) { _ = far.Close() },
		"finishes": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				turns := listen.NewTurns(1)
				near, far := shakers(t, turns, 3)
				slow := reading(far[2]) // waits for the network all the time, and holds up nobody
				first, second := reading(far[0]), reading(far[1])
				say(t, near[0])
				assert.True(t, isDone(first))
				say(t, near[1])
				assert.False(t, isDone(second), "the turn is the first one's")
				if gives == nil {
					turns.ConnState(far[0], http.StateNew)
					assert.False(t, isDone(second))
					turns.ConnState(far[0], http.StateActive)
				} else {
					gives(near[0], far[0])
				}
				assert.True(t, isDone(second))
				require.NoError(t, <-second)
				assert.False(t, isDone(slow))
				for _, nc := range append(near, far...) {
					_ = nc.Close()
				}
			})
		})
	}
}

func TestWhoWaitsForATurnWaitsNoLongerThanItsDeadlineOrItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := shakers(t, listen.NewTurns(0), 4)
		holds := reading(far[0])
		say(t, near[0])
		require.NoError(t, <-holds)

		began := time.Now()
		require.NoError(t, far[1].SetReadDeadline(began.Add(5*time.Second)))
		require.NoError(t, far[2].SetDeadline(began.Add(7*time.Second)))
		late, later, ended := reading(far[1]), reading(far[2]), reading(far[3])
		for _, nc := range near[1:] {
			say(t, nc)
		}
		require.ErrorIs(t, <-late, os.ErrDeadlineExceeded)
		assert.Equal(t, 5*time.Second, time.Since(began))
		require.ErrorIs(t, <-later, os.ErrDeadlineExceeded)
		assert.Equal(t, 7*time.Second, time.Since(began))
		assert.False(t, isDone(ended))
		require.NoError(t, far[3].Close())
		require.ErrorIs(t, <-ended, net.ErrClosed)
		for _, nc := range append(near, far...) {
			_ = nc.Close()
		}
	})
}

func TestAConnectionThatIsThroughNeedsNoTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := listen.NewTurns(1)
		near, far := shakers(t, turns, 2)
		holds := reading(far[0])
		say(t, near[0])
		require.NoError(t, <-holds)
		turns.ConnState(far[1], http.StateActive)
		for range 3 {
			through := reading(far[1])
			say(t, near[1])
			require.NoError(t, <-through)
		}
		turns.ConnState(near[0], http.StateClosed) // one of a listener without turns
		for _, nc := range append(near, far...) {
			_ = nc.Close()
		}
	})
}

// noted counts how many certificates are being looked up at a time, which is within a
// handshake's computing.
type noted struct {
	mu        sync.Mutex
	now, most int
}

func (n *noted) look(pause time.Duration) {
	n.mu.Lock()
	n.now++
	n.most = max(n.most, n.now)
	n.mu.Unlock()
	<-time.After(pause)
	n.mu.Lock()
	n.now--
	n.mu.Unlock()
}

func TestNoMoreHandshakesComputeAtATimeThanThereAreTurns(t *testing.T) {
	const count, all = 2, 12
	turns := listen.NewTurns(count)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Listener = turns.Listener(s.Listener)
	var n noted
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		n.look(10 * time.Millisecond)
		return nil, nil //nolint:nilnil // the usual one
	}}
	s.Config.ConnState = turns.ConnState
	s.StartTLS()
	defer s.Close()
	trust := s.Client().Transport.(*http.Transport).TLSClientConfig
	var askers sync.WaitGroup
	for range all {
		askers.Go(func() {
			nc, err := tls.Dial("tcp", s.Listener.Addr().String(), trust)
			if assert.NoError(t, err) {
				_ = nc.Close()
			}
		})
	}
	// One that says nothing, and one that stops in the middle, do not have a turn.
	for _, half := range []string{"", "\x16\x03\x01\x02"} {
		nc, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = nc.Close() })
		_, err = io.WriteString(nc, half)
		require.NoError(t, err)
	}
	askers.Wait()
	assert.Equal(t, count, n.most)
}

func TestTheEndOfAListenerWithTurnsIsThatOfItsListener(t *testing.T) {
	l := &given{conns: make(chan net.Conn)}
	require.NoError(t, l.Close())
	_, err := listen.NewTurns(1).Listener(l).Accept()
	assert.ErrorIs(t, err, net.ErrClosed)
}
