package ws_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func TestASlowClientIsClosedInTimeAndOthersGoOn(t *testing.T) {
	for _, secure := range []bool{false, true} {
		limits := limits()
		limits.WriteTimeout = 300 * time.Millisecond
		limits.MaxBufferedBytes = 64 << 20 // the deadline, not the limit, is to end it
		r := newRig(t, rigParams{limits: limits, tls: secure})
		_, slow := r.dial(t, ws.DialParams{})
		other, fast := r.dial(t, ws.DialParams{})
		payload := make([]byte, 8<<10)
		sent := 0
		for range 2000 {
			if slow.send(ws.OpBinary, payload) != nil {
				break
			}
			sent++
		}
		require.NoError(t, fast.send(ws.OpText, []byte("unhindered")))
		_, got, err := other.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, "unhindered", string(got))

		closed := slow.awaitClosed(t)
		assert.Equal(t, ws.CodeAbnormal, closed.Code, "there was no room for a close frame")
		require.ErrorIs(t, closed.Err, ws.ErrSlow)
		completed := slow.completions()
		require.Len(t, completed, sent, "every accepted write is completed once")
		written := 0
		for written < sent && completed[written] == nil {
			written++
		}
		for _, err := range completed[written:] {
			require.ErrorIs(t, err, ws.ErrSlow, "after the first failure nothing was written")
		}
		require.Less(t, written, sent)
	}
}

func TestAPeerThatTakesNothingIsGivenUpAfterTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits()
		_, pe := newPipes(t, limits).dial(t, nil)
		start := time.Now()
		for range 3 {
			require.NoError(t, pe.send(ws.OpText, []byte("x")))
			<-time.After(time.Second)
		}
		assert.Equal(t, ws.Closed{Code: ws.CodeAbnormal, Err: ws.ErrSlow}, <-pe.closed)
		assert.Equal(t, limits.WriteTimeout, time.Since(start))
		assert.Equal(t, []error{ws.ErrSlow, ws.ErrSlow, ws.ErrSlow}, pe.completions())
	})
}

func TestAPeerThatTakes16KiBInTimeGetsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits()
		limits.PingInterval = 0 // it says nothing meanwhile
		nc, pe := newPipes(t, limits).dial(t, nil)
		large := bytes.Repeat([]byte("0123456789"), 20_000)
		require.NoError(t, pe.send(ws.OpBinary, large))
		var small [][]byte
		for i := range 50 {
			small = append(small, bytes.Repeat([]byte{byte(i)}, 1000))
			require.NoError(t, pe.send(ws.OpBinary, small[i]))
		}
		var got bytes.Buffer
		start := time.Now()
		for len(pe.completions()) < 51 {
			<-time.After(limits.WriteTimeout - time.Millisecond)
			_, err := io.CopyN(&got, nc, min(16<<10, int64(10+len(large)+50*1004-got.Len())))
			require.NoError(t, err)
			synctest.Wait()
		}
		assert.Greater(t, time.Since(start), 10*limits.WriteTimeout, "no matter how long it takes as a whole")
		assert.Equal(t, make([]error, 51), pe.completions())
		for _, want := range append([][]byte{large}, small...) {
			_, payload, err := readFrame(&got)
			require.NoError(t, err)
			require.Equal(t, want, payload)
		}
	})
}

func TestWhatTheKernelTookWholeIsDoneThoughTheRestFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, pe := newPipes(t, limits()).dial(t, nil)
		for range 6 { // the first goes out by itself, the others together
			require.NoError(t, pe.send(ws.OpText, []byte("12345678")))
			synctest.Wait()
		}
		_, err := io.ReadFull(nc, make([]byte, 3*10+5))
		require.NoError(t, err)
		assert.Equal(t, ws.ErrSlow, (<-pe.closed).Err)
		assert.Equal(t, []error{nil, nil, nil, ws.ErrSlow, ws.ErrSlow, ws.ErrSlow}, pe.completions())
	})
}

func TestNoMoreThanTheLimitIsBuffered(t *testing.T) {
	const cost = 64 // of a write, beside its bytes
	limit := limits().MaxBufferedBytes
	for _, c := range []struct {
		name         string
		frame, taken int
	}{
		{"frames of 10,000 bytes", 10_000, limit / (10_000 + cost)},
		{"tiny frames", 2, limit / (2 + cost)},
		{"the largest that fits", limit - cost, 1},
		{"one of any size", 4 * limit, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nc, pe := newPipes(t, limits()).dial(t, nil)
				shared := make([]byte, c.frame)
				send := func() error { return pe.conn.Send(&ws.Write{Frame: shared, Done: pe}) }
				for range c.taken {
					require.NoError(t, send())
				}
				synctest.Wait() // what is being written counts as well
				require.ErrorIs(t, send(), ws.ErrSlow)
				assert.Empty(t, pe.completions())

				_, err := io.CopyN(io.Discard, nc, int64(c.frame*c.taken))
				require.NoError(t, err)
				synctest.Wait()
				assert.Equal(t, make([]error, c.taken), pe.completions(), "the refused write is not completed")
				require.NoError(t, send(), "there is room again")
			})
		})
	}
}

func TestPongsOfAPingFloodDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, _ := newPipes(t, limits()).dial(t, nil)
		for i := range 10_000 { // reads nothing meanwhile
			_, err := nc.Write(ping(string(bytes.Repeat([]byte{byte(i)}, 125))).bytes())
			require.NoError(t, err, "the server goes on reading")
		}
		_, err := nc.Write(closing(1000, "").bytes())
		require.NoError(t, err)
		got, err := io.ReadAll(nc)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(got), 2*(2<<10)+4, "those being written, those that wait, and the close frame")
		stream, last := bytes.NewReader(got), []byte(nil)
		for {
			op, payload, err := readFrame(stream)
			require.NoError(t, err)
			if op == ws.OpClose {
				break
			}
			last = payload
		}
		assert.Equal(t, bytes.Repeat([]byte{byte(9999 & 0xFF)}, 125), last, "the latest ping is answered")
	})
}

func TestAFrameIsSharedBetweenConnectionsUnchanged(t *testing.T) {
	r := newRig(t, rigParams{limits: limits()})
	payload := bytes.Repeat([]byte("shared"), 4000)
	shared := ws.AppendFrame(nil, ws.OpText, payload)
	before := bytes.Clone(shared)
	var clients []*ws.ClientConn
	for range 5 {
		c, pe := r.dial(t, ws.DialParams{})
		clients = append(clients, c)
		for range 3 {
			require.NoError(t, pe.conn.Send(&ws.Write{Frame: shared, Done: pe}))
		}
		pe.conn.Close(ws.Goodbye{Code: 1001})
	}
	for _, c := range clients {
		for range 3 {
			_, got, err := c.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, payload, got)
		}
	}
	assert.Equal(t, before, shared)
}

func TestNothingIsAppendedToASharedFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, pe := newPipes(t, limits()).dial(t, nil)
		room := make([]byte, 40_000)
		large := ws.AppendFrame(room[:0], ws.OpBinary, make([]byte, 30_000))
		before := bytes.Clone(room)
		require.NoError(t, pe.send(ws.OpText, []byte("x")))
		synctest.Wait()
		require.NoError(t, pe.conn.Send(&ws.Write{Frame: large, Done: pe}))
		pe.conn.Close(ws.Goodbye{Code: 1001}) // its frame goes out behind the large one
		for _, want := range []ws.Op{ws.OpText, ws.OpBinary, ws.OpClose} {
			op, _, err := readFrame(nc)
			require.NoError(t, err)
			assert.Equal(t, want, op)
		}
		assert.Equal(t, before, room)
	})
}

// watched notes the last write deadline and the size of the buffer it is asked to
// fill.
type watched struct {
	net.Conn

	mu       sync.Mutex
	deadline time.Time
	buffer   int
}

func (w *watched) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	w.deadline = t
	w.mu.Unlock()
	return w.Conn.SetWriteDeadline(t)
}

func (w *watched) Read(b []byte) (int, error) {
	w.mu.Lock()
	w.buffer = len(b)
	w.mu.Unlock()
	return w.Conn.Read(b)
}

func (w *watched) look() (deadline time.Time, buffer int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deadline, w.buffer
}

func TestTLSFindsNoOldDeadlineWhenItWritesByItself(t *testing.T) {
	accepted := make(chan *watched, 1)
	r := newRig(t, rigParams{limits: limits(), tls: true, accept: func(nc net.Conn) net.Conn {
		w := &watched{Conn: nc}
		accepted <- w
		return w
	}})
	c, pe := r.dial(t, ws.DialParams{})
	w := <-accepted
	require.NoError(t, pe.send(ws.OpText, []byte("x")))
	_, _, err := c.ReadMessage()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		deadline, _ := w.look()
		return deadline.IsZero()
	}, 5*time.Second, time.Millisecond)
}

func TestAConnectionThatWaitsHoldsOnlyItsSmallBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		w := &watched{Conn: far}
		newPipes(t, limits()).take(t, near, w, nil)
		for _, size := range []int{1, 500, 512, 513, 1200, 16 << 10, 40_000} {
			_, err := near.Write(text(string(bytes.Repeat([]byte("x"), size))).bytes())
			require.NoError(t, err)
			synctest.Wait()
			_, buffer := w.look()
			assert.LessOrEqual(t, buffer, 512, "after a message of %d bytes", size)
		}
	})
}
