package ws_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func TestTheClientSeesTheServersCodeAndNoReset(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, rigParams{limits: limits(), tls: secure})
		for range 20 {
			c, pe := r.dial(t, ws.DialParams{})
			// What the client goes on sending must not reset the connection before it
			// has read the code.
			var chatter sync.WaitGroup
			chatter.Go(func() {
				var err error
				for err == nil {
					err = c.WriteMessage(ws.OpText, []byte("chatter"))
				}
			})
			require.NoError(t, pe.send(ws.OpText, []byte("last words")))
			pe.conn.Close(ws.Goodbye{Code: 1001, Reason: "go elsewhere"})
			_, got, err := c.ReadMessage()
			require.NoError(t, err)
			assert.Equal(t, "last words", string(got), "what was queued goes out before the close frame")
			_, _, err = c.ReadMessage()
			var closed *ws.CloseError
			require.ErrorAs(t, err, &closed)
			assert.Equal(t, ws.CloseError{Code: 1001, Reason: "go elsewhere"}, *closed)
			chatter.Wait()
			require.NoError(t, c.Drop())
			assert.Equal(t, ws.Closed{Code: 1001, Reason: "go elsewhere"}, pe.awaitClosed(t))
			assert.Equal(t, []error{nil}, pe.completions())
			require.ErrorIs(t, pe.send(ws.OpText, nil), ws.ErrClosed)
		}
	}
}

func TestAProtocolErrorReachesAClientThatKeepsSending(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes []byte
		want  ws.Code
	}{
		{"bad opcode", frame{op: 5}.bytes(), 1002},
		{"no mask", frame{op: ws.OpText, payload: "x", unmasked: true}.bytes(), 1002},
		{"bad text", text("\xff").bytes(), 1007},
		{"too big", frame{op: ws.OpBinary, payload: strings.Repeat("x", 70000)}.bytes(), 1009},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rigParams{limits: limits()})
			nc, pe := r.dialRaw(t, "")
			_, err := nc.Write(append(c.bytes, bytes.Repeat(text("more").bytes(), 1000)...))
			require.NoError(t, err)
			got, err := io.ReadAll(nc)
			require.NoError(t, err, "an end, not a reset")
			require.GreaterOrEqual(t, len(got), 4)
			assert.Equal(t, ws.AppendClose(nil, c.want, string(got[4:])), got)
			_ = nc.Close()
			closed := pe.awaitClosed(t)
			assert.Equal(t, c.want, closed.Code)
			assert.False(t, closed.Remote)
			var broken *ws.ProtocolError
			assert.ErrorAs(t, closed.Err, &broken)
		})
	}
}

func TestBothSidesMayCloseAtOnce(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := newRig(t, rigParams{limits: limits(), tls: secure})
		for range 20 {
			c, pe := r.dial(t, ws.DialParams{})
			var both sync.WaitGroup
			both.Go(func() { pe.conn.Close(ws.Goodbye{Code: 1001}) })
			both.Go(func() { assert.NoError(t, c.Close(1000, ""), "the server's frame is the answer, whichever came first") })
			both.Wait()
			closed := pe.awaitClosed(t)
			require.NoError(t, closed.Err)
			assert.Contains(t, []ws.Code{1000, 1001}, closed.Code)
		}
	}
}

func TestOnlyTheFirstCloseCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, pe := newPipes(t, limits()).dial(t, nil)
		pe.conn.Close(ws.Goodbye{Code: 1001, Reason: "first"})
		pe.conn.Close(ws.Goodbye{Code: 1008, Reason: "second"})
		op, body, err := readFrame(nc)
		require.NoError(t, err)
		assert.Equal(t, ws.OpClose, op)
		assert.Equal(t, "\x03\xe9first", string(body))
		_, err = nc.Write(closing(1001, "").bytes())
		require.NoError(t, err)
		assert.Equal(t, ws.Closed{Code: 1001, Reason: "first"}, <-pe.closed)
		_, err = nc.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestWhatThePeerSaysBeforeItAnswersTheCloseIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan string, 1)
		nc, pe := newPipes(t, limits()).dial(t, &peer{onMessage: func(_ *peer, _ ws.Op, payload []byte) {
			heard <- string(payload)
		}})
		pe.conn.Close(ws.Goodbye{Code: 1001})
		_, _, err := readFrame(nc)
		require.NoError(t, err)
		_, err = nc.Write(text("an acknowledgement").bytes())
		require.NoError(t, err)
		assert.Equal(t, "an acknowledgement", <-heard)
		_, err = nc.Write(closing(1001, "").bytes())
		require.NoError(t, err)
		assert.Equal(t, ws.Closed{Code: 1001}, <-pe.closed)
	})
}

func TestAPeerThatNeverAnswersTheCloseIsDroppedAfterTheCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits()
		nc, pe := newPipes(t, limits).dial(t, nil)
		pe.conn.Close(ws.Goodbye{Code: 1001})
		<-time.After(time.Second) // it comes to reading only now
		_, _, err := readFrame(nc)
		require.NoError(t, err)
		start := time.Now()
		assert.Equal(t, ws.Closed{Code: 1001}, <-pe.closed)
		assert.Equal(t, limits.CloseTimeout, time.Since(start))
	})
}

func TestAPeerThatStaysAfterItsOwnCloseIsDroppedAfterTheCloseTimeout(t *testing.T) {
	limits := limits()
	limits.CloseTimeout = 50 * time.Millisecond
	r := newRig(t, rigParams{limits: limits})
	nc, pe := r.dialRaw(t, string(closing(1000, "").bytes()))
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	assert.Equal(t, "\x88\x02\x03\xe8", string(got))
	assert.Equal(t, ws.Closed{Code: 1000, Remote: true}, pe.awaitClosed(t), "though the client's socket is still open")
}

func TestDroppingWhatIsQueuedDoesNotWaitForAPeerThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits()
		require.Less(t, limits.CloseTimeout, limits.WriteTimeout)
		_, pe := newPipes(t, limits).dial(t, nil)
		for range 3 {
			require.NoError(t, pe.send(ws.OpText, []byte("x")))
			synctest.Wait() // the first is being written
		}
		start := time.Now()
		pe.conn.Close(ws.Goodbye{Code: 1013, Drop: true})
		assert.Equal(t, ws.Closed{Code: 1013}, <-pe.closed)
		assert.Equal(t, limits.CloseTimeout, time.Since(start))
		assert.Equal(t, []error{ws.ErrClosed, ws.ErrClosed, ws.ErrClosed}, pe.completions())
	})
}

func TestWhatIsQueuedAtTheCloseHasTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits()
		_, pe := newPipes(t, limits).dial(t, nil)
		require.NoError(t, pe.send(ws.OpText, []byte("x")))
		synctest.Wait()
		start := time.Now()
		pe.conn.Close(ws.Goodbye{Code: 1001})
		assert.Equal(t, ws.Closed{Code: 1001}, <-pe.closed)
		assert.Equal(t, limits.WriteTimeout, time.Since(start))
		assert.Equal(t, []error{ws.ErrSlow}, pe.completions())
	})
}

func TestAClientThatSaysGoodbyeIsNotSentWhatWasQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, pe := newPipes(t, limits()).dial(t, nil)
		for range 3 {
			require.NoError(t, pe.send(ws.OpText, []byte("x")))
			synctest.Wait() // the first is being written
		}
		_, err := nc.Write(closing(1000, "enough").bytes())
		require.NoError(t, err)
		synctest.Wait()
		got, err := io.ReadAll(nc)
		require.NoError(t, err)
		assert.Equal(t, "\x81\x01x\x88\x02\x03\xe8", string(got))
		assert.Equal(t, ws.Closed{Code: 1000, Reason: "enough", Remote: true}, <-pe.closed)
		assert.Equal(t, []error{nil, ws.ErrClosed, ws.ErrClosed}, pe.completions())
	})
}

func TestAProtocolErrorAfterOurCloseEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, pe := newPipes(t, limits()).dial(t, nil)
		pe.conn.Close(ws.Goodbye{Code: 1001})
		_, _, err := readFrame(nc)
		require.NoError(t, err)
		start := time.Now()
		_, err = nc.Write(frame{op: 5}.bytes())
		require.NoError(t, err)
		assert.Equal(t, ws.Closed{Code: 1001}, <-pe.closed, "the first to end it names the reason")
		assert.Zero(t, time.Since(start))
	})
}

func TestAConnectionMayBeClosedBeforeItIsStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes(t, limits())
		near, far := net.Pipe()
		defer func() { _ = near.Close() }()
		upgraded := make(chan *ws.Conn, 1)
		go func() {
			conn, _, err := p.server.Upgrade(hijackable{nil, far}, handshakeRequest(), ws.UpgradeParams{})
			assert.NoError(t, err)
			upgraded <- conn
		}()
		readAnswer(t, near)
		pe := &peer{conn: <-upgraded, closed: make(chan ws.Closed, 1)}
		pe.conn.Close(ws.Goodbye{Code: 1001})
		op, _, err := readFrame(near)
		require.NoError(t, err)
		assert.Equal(t, ws.OpClose, op)
		synctest.Wait()
		assert.Empty(t, pe.closed, "nothing is told before Start")
		pe.conn.Start(pe)
		_, err = near.Write(closing(1001, "").bytes())
		require.NoError(t, err)
		assert.Equal(t, ws.Closed{Code: 1001}, <-pe.closed)
	})
}
