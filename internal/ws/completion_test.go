package ws_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

// ledger numbers writes in the order they were accepted and notes how they were
// completed.
type ledger struct {
	sending  sync.Mutex
	accepted int

	// Not locked: the race detector shows that completions do not overlap, and that
	// none comes after OnClose.
	completed []error
	wrong     []string
}

type numbered struct {
	ws.Write

	n int
	l *ledger
}

func (l *ledger) send(c *ws.Conn, size int) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	payload := make([]byte, 8+size)
	binary.BigEndian.PutUint64(payload, uint64(l.accepted))
	w := &numbered{l: l, n: l.accepted}
	w.Frame, w.Done = ws.AppendFrame(nil, ws.OpBinary, payload), w
	err := c.Send(&w.Write)
	if err == nil {
		l.accepted++
	}
	return err
}

func (w *numbered) Completed(got *ws.Write, err error) {
	l := w.l
	switch {
	case got != &w.Write:
		l.wrong = append(l.wrong, fmt.Sprintf("%d is told of another write", w.n))
	case w.n != len(l.completed):
		l.wrong = append(l.wrong, fmt.Sprintf("%d comes as number %d", w.n, len(l.completed)))
	case err == nil && w.n > 0 && l.completed[w.n-1] != nil:
		l.wrong = append(l.wrong, fmt.Sprintf("%d was written after a failure", w.n))
	}
	l.completed = append(l.completed, err)
}

// sendUntilClosed sends as much as the connection takes.
func (l *ledger) sendUntilClosed(c *ws.Conn, random *rand.Rand, maxSize int) {
	for {
		err := l.send(c, random.IntN(maxSize))
		if errors.Is(err, ws.ErrSlow) {
			<-time.After(100 * time.Microsecond)
		} else if err != nil {
			return
		}
	}
}

// busyClient reads what a ledger sent.
type busyClient struct {
	nc       net.Conn
	r        *bufio.Reader
	received int
}

// read takes up to count frames; it is false when no more will come.
func (c *busyClient) read(t *testing.T, count int) bool {
	for range count {
		op, payload, err := readFrame(c.r)
		if err != nil {
			return false
		}
		if op == ws.OpClose {
			_, _ = c.nc.Write(frame{op: ws.OpClose, payload: string(payload)}.bytes())
			_, _ = io.Copy(io.Discard, c.r)
			_ = c.nc.Close()
			return false
		}
		assert.Equal(t, c.received, int(binary.BigEndian.Uint64(payload)), "frames come in order and without a gap")
		c.received++
	}
	return true
}

const readOn = 1 << 30

// farewells are ways in which a busy connection ends.
func farewells() []func(*testing.T, *busyClient, *ws.Conn) {
	return []func(*testing.T, *busyClient, *ws.Conn){
		func(_ *testing.T, c *busyClient, _ *ws.Conn) { _ = c.nc.Close() },
		func(_ *testing.T, c *busyClient, _ *ws.Conn) { // the socket is reset
			_ = c.nc.(*net.TCPConn).SetLinger(0)
			_ = c.nc.Close()
		},
		func(t *testing.T, c *busyClient, _ *ws.Conn) {
			_, _ = c.nc.Write(closing(1000, "").bytes())
			c.read(t, readOn)
		},
		func(t *testing.T, c *busyClient, _ *ws.Conn) {
			_, _ = c.nc.Write(frame{op: 5}.bytes())
			c.read(t, readOn)
		},
		func(t *testing.T, c *busyClient, s *ws.Conn) {
			s.Close(ws.Goodbye{Code: 1001})
			c.read(t, readOn)
		},
		func(t *testing.T, c *busyClient, s *ws.Conn) {
			s.Close(ws.Goodbye{Code: 1013, Drop: true})
			c.read(t, readOn)
		},
		func(*testing.T, *busyClient, *ws.Conn) {}, // reads no more
	}
}

func TestEveryAcceptedWriteIsCompletedOnceAndInOrder(t *testing.T) {
	limits := limits()
	limits.MaxBufferedBytes = 32 << 10
	limits.WriteTimeout = 200 * time.Millisecond
	limits.CloseTimeout = 100 * time.Millisecond
	for seed, maxSize := range []int{1, 300, 3000, 40_000} {
		limits.FlushOnClose = seed%2 == 0
		r := newRig(t, rigParams{limits: limits})
		for way, farewell := range farewells() {
			for round := range 2 {
				name := fmt.Sprintf("frames up to %d bytes, farewell %d, round %d", maxSize, way, round)
				random := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed*100+way*10+round), n)) }
				nc, pe := r.dialRaw(t, "")
				c := &busyClient{nc: nc, r: bufio.NewReader(nc)}
				var l ledger
				var busy sync.WaitGroup
				for sender := range uint64(3) {
					busy.Go(func() { l.sendUntilClosed(pe.conn, random(sender), maxSize) })
				}
				busy.Go(func() {
					if c.read(t, random(9).IntN(500)) {
						farewell(t, c, pe.conn)
					}
				})
				pe.awaitClosed(t)
				completed, wrong := len(l.completed), l.wrong
				busy.Wait()
				require.Equal(t, l.accepted, completed, name)
				require.Empty(t, wrong, name)
				require.LessOrEqual(t, c.received, l.accepted, name)
			}
		}
	}
}

func TestAnOrderlyCloseLosesNothing(t *testing.T) {
	r := newRig(t, rigParams{limits: limits()})
	for round := range 20 {
		nc, pe := r.dialRaw(t, "")
		c := &busyClient{nc: nc, r: bufio.NewReader(nc)}
		var l ledger
		var busy sync.WaitGroup
		busy.Go(func() { c.read(t, readOn) })
		for sender := range uint64(3) {
			busy.Go(func() { l.sendUntilClosed(pe.conn, rand.New(rand.NewPCG(uint64(round), sender)), 1000) })
		}
		<-time.After(time.Duration(round) * time.Millisecond / 2)
		pe.conn.Close(ws.Goodbye{Code: 1001})
		assert.Equal(t, ws.Closed{Code: 1001}, pe.awaitClosed(t))
		busy.Wait()
		require.Len(t, l.completed, l.accepted)
		for _, err := range l.completed {
			require.NoError(t, err)
		}
		require.Empty(t, l.wrong)
		require.Equal(t, l.accepted, c.received)
	}
}

// relay sends its write again whenever it is completed.
type relay struct {
	ws.Write

	conn *ws.Conn
	left int
	over chan error
}

func (r *relay) Completed(w *ws.Write, err error) {
	if r.left--; err == nil && r.left > 0 {
		err = r.conn.Send(w)
	}
	if err != nil || r.left == 0 {
		r.over <- err
	}
}

func TestACompletedWriteMayBeSentAgainAtOnce(t *testing.T) {
	r := newRig(t, rigParams{limits: limits()})
	nc, pe := r.dialRaw(t, "")
	const times = 100
	again := &relay{conn: pe.conn, left: times, over: make(chan error, 1)}
	again.Frame, again.Done = ws.AppendFrame(nil, ws.OpText, []byte("x")), again
	require.NoError(t, pe.conn.Send(&again.Write))
	got := make([]byte, times*3)
	_, err := io.ReadFull(nc, got)
	require.NoError(t, err)
	require.NoError(t, <-again.over)
}

// swallower takes what is written at once, and says nothing.
type swallower struct{ net.Conn }

func (swallower) Write(b []byte) (int, error) { return len(b), nil }

// counter counts completions.
type counter struct{ n atomic.Int64 }

func (c *counter) Completed(*ws.Write, error) { c.n.Add(1) }

// A connection that runs out of writes stops its goroutine; a write that comes in
// the middle of that is to be seen by the old one, or to start another.
func TestNoWriteIsOverlookedWhenTheLastOneHasJustBeenWritten(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = near.Close() }()
	conn := upgradedAtOnce(t, far)
	var done counter
	w := ws.Write{Frame: ws.AppendFrame(nil, ws.OpText, []byte("x")), Done: &done}
	for round := range int64(8_000) {
		require.NoError(t, conn.Send(&w))
		start := time.Now()
		for done.n.Load() == round { // another core is to write, not this one
			if took := time.Since(start); took > 100*time.Microsecond {
				runtime.Gosched()
				require.Less(t, took, 10*time.Second, "write %d was overlooked", round)
			}
		}
		now := time.Now()
		for until := now.Add(time.Duration(round % 1000)); now.Before(until); { // to meet it at any point
			now = time.Now()
		}
	}
}

// upgradedAtOnce is a started connection whose writes go nowhere.
func upgradedAtOnce(t *testing.T, nc net.Conn) *ws.Conn {
	t.Helper()
	p := newPipes(t, limits())
	conn, _, err := p.server.Upgrade(hijackable{nil, swallower{nc}}, handshakeRequest(), ws.UpgradeParams{})
	require.NoError(t, err)
	conn.Start(&peer{closed: make(chan ws.Closed, 1)})
	return conn
}

func TestWritesWaitForNobodyAndGoOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		counted := &counted{Conn: far}
		pe := newPipes(t, limits()).take(t, near, counted, nil)
		handshake := counted.writes
		require.NoError(t, pe.send(ws.OpText, []byte("at once")))
		synctest.Wait()
		for range 100 { // while the first is under way
			require.NoError(t, pe.send(ws.OpText, []byte("x")))
		}
		_, err := io.CopyN(io.Discard, near, 9+100*3)
		require.NoError(t, err)
		synctest.Wait()
		assert.Equal(t, 2, counted.writes-handshake)
		assert.Len(t, pe.completions(), 101)
	})
}

// counted counts writes; the test looks when none is under way.
type counted struct {
	net.Conn

	writes int
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes++
	return c.Conn.Write(b)
}
