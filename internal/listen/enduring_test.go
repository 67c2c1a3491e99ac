package listen_test

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"pushgate/internal/listen"
)

// failing is a listener that fails until a time, or until it is closed.
type failing struct {
	given

	err    error
	until  time.Time
	asked  atomic.Int64
	closed atomic.Bool
}

func (f *failing) Accept() (net.Conn, error) {
	f.asked.Add(1)
	switch {
	case f.closed.Load():
		return nil, net.ErrClosed
	case time.Now().Before(f.until):
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", f.err)}
	}
	near, far := net.Pipe()
	_ = near.Close()
	return far, nil
}

func (f *failing) Close() error {
	f.closed.Store(true)
	return nil
}

func TestAcceptingGoesOnWhenDescriptorsAreThereAgain(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.EPERM} {
		t.Run(errno.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zapcore.InfoLevel)
				began := time.Now()
				l := &failing{err: errno, until: began.Add(time.Minute)}
				e := listen.NewEnduring(l, zap.New(core))
				nc, err := e.Accept()
				require.NoError(t, err)
				_ = nc.Close()
				assert.Less(t, time.Since(began), time.Minute+time.Second, "no later than a second after")
				failures := testutil.ToFloat64(e.Collectors()[0])
				assert.InDelta(t, l.asked.Load()-1, failures, 0)
				assert.Less(t, failures, 75.0, "with pauses")
				assert.InDelta(t, 6, logs.Len(), 1, "one line in ten seconds")
				last := logs.All()[logs.Len()-1]
				assert.Greater(t, last.ContextMap()["failures"], int64(5))
				if errno == syscall.EMFILE || errno == syscall.ENFILE {
					assert.Contains(t, last.Message, "ulimit -n")
				}
			})
		})
	}
}

func TestThePauseOfAListenerEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &failing{err: syscall.EMFILE, until: time.Now().Add(time.Hour)}
		e := listen.NewEnduring(l, zap.NewNop())
		ended := make(chan error, 1)
		go func() {
			_, err := e.Accept()
			ended <- err
		}()
		<-time.After(10*time.Second + time.Millisecond)
		require.NoError(t, e.Close())
		require.NoError(t, e.Close())
		synctest.Wait()
		require.Len(t, ended, 1)
		assert.ErrorIs(t, <-ended, net.ErrClosed)
	})
}
