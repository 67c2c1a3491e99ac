package ws_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

func TestASilentPeerIsPingedOnceAndGivenUpBeforeTwoIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits()
		interval := limits.PingInterval
		p := newPipes(t, limits)
		var peers sync.WaitGroup
		for i := range 64 { // at any moment of the round of looks
			nc, pe := p.dial(t, nil)
			start := time.Now()
			peers.Go(func() {
				if i%2 == 0 { // either its request or its last message is what was heard last
					<-time.After(interval / 3)
					_, err := nc.Write(text("x").bytes())
					assert.NoError(t, err)
					start = time.Now()
				}
				op, payload, err := readFrame(nc)
				assert.NoError(t, err)
				assert.Equal(t, ws.OpPing, op)
				assert.Empty(t, payload)
				assert.GreaterOrEqual(t, time.Since(start), interval)
				assert.LessOrEqual(t, time.Since(start), interval*5/4)
				_, _, err = readFrame(nc)
				assert.Error(t, err, "one ping")
				assert.Equal(t, ws.Closed{Code: ws.CodeAbnormal, Err: ws.ErrDead}, <-pe.closed)
				assert.GreaterOrEqual(t, time.Since(start), interval*7/4)
				assert.LessOrEqual(t, time.Since(start), 2*interval)
			})
			<-time.After(interval * 3 / 100)
		}
		peers.Wait()
	})
}

func TestAPeerThatAnswersPingsStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits()
		nc, pe := newPipes(t, limits).dial(t, nil)
		for range 20 {
			heard := time.Now()
			op, _, err := readFrame(nc)
			require.NoError(t, err)
			require.Equal(t, ws.OpPing, op)
			assert.GreaterOrEqual(t, time.Since(heard), limits.PingInterval)
			<-time.After(limits.PingInterval * 7 / 16) // slowly
			_, err = nc.Write(pong("").bytes())
			require.NoError(t, err)
		}
		assert.Empty(t, pe.closed)
	})
}

func TestAPeerThatTalksIsNotPinged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits()
		nc, pe := newPipes(t, limits).dial(t, nil)
		var reading sync.WaitGroup
		reading.Go(func() {
			op, _, err := readFrame(nc)
			assert.NoError(t, err)
			assert.Equal(t, ws.OpClose, op)
		})
		for range 50 {
			<-time.After(limits.PingInterval * 3 / 4)
			_, err := nc.Write(text("x").bytes())
			require.NoError(t, err)
		}
		pe.conn.Close(ws.Goodbye{Code: 1001})
		reading.Wait()
	})
}

func TestNobodyIsPingedWithoutAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits()
		limits.PingInterval = 0
		nc, pe := newPipes(t, limits).dial(t, nil)
		<-time.After(24 * time.Hour)
		require.NoError(t, pe.send(ws.OpText, []byte("good morning")))
		op, payload, err := readFrame(nc)
		require.NoError(t, err)
		assert.Equal(t, ws.OpText, op)
		assert.Equal(t, "good morning", string(payload))
	})
}

func TestPingsAreAnsweredInOrderAndBeforeWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, pe := newPipes(t, limits()).dial(t, nil)
		for _, payload := range []string{"written", "queued"} {
			require.NoError(t, pe.send(ws.OpText, []byte(payload)))
			synctest.Wait()
		}
		for _, payload := range []string{"", "a", strings.Repeat("b", 125)} {
			_, err := nc.Write(ping(payload).bytes())
			require.NoError(t, err)
		}
		_, err := nc.Write(pong("unsolicited").bytes())
		require.NoError(t, err)
		synctest.Wait()
		for _, want := range []string{"text written", "pong ", "pong a", "pong " + strings.Repeat("b", 125), "text queued"} {
			op, payload, err := readFrame(nc)
			require.NoError(t, err)
			assert.Equal(t, want, map[ws.Op]string{ws.OpText: "text ", ws.OpPong: "pong "}[op]+string(payload))
		}
	})
}
