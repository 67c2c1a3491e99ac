package ws_test

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/ws"
)

// unicastConns is how many connections take turns: each frame goes to another than the
// one before it, so that no two go out in one call.
const unicastConns = 1000

// unicastPayload is that of a usual message.
const unicastPayload = 256

// BenchmarkColdUnicast is what a frame costs for which a connection had nothing to write
// before and has nothing after, by a connection of this package, and by send(2) alone. No
// server can be faster than that, and its cost changes with the machine: look at the
// ratio.
func BenchmarkColdUnicast(b *testing.B) {
	frame := ws.AppendFrame(nil, ws.OpText, make([]byte, unicastPayload))
	b.Run("send", func(b *testing.B) { benchmarkSend(b, frame, unicastConns) })
	b.Run("Conn", func(b *testing.B) { benchmarkConn(b, frame) })
}

// BenchmarkManySockets is what send(2) costs where there are so many sockets that none of
// what it needs is in a cache. It takes two descriptors for each.
func BenchmarkManySockets(b *testing.B) {
	const conns = 9000
	benchmarkSend(b, ws.AppendFrame(nil, ws.OpText, make([]byte, unicastPayload)), conns)
}

func benchmarkSend(b *testing.B, frame []byte, conns int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = l.Close() }()
	drain := newDrain(b)
	fds := make([]int, 0, conns)
	for range conns {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(b, err)
		drain.add(b, c.(*net.TCPConn))
		s, err := l.Accept()
		require.NoError(b, err)
		fds = append(fds, descriptor(b, s.(*net.TCPConn)))
	}
	defer func() {
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
	}()
	b.ResetTimer()
	for i := range b.N {
		for {
			err := syscall.Sendto(fds[i%len(fds)], frame, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, nil)
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EAGAIN) {
				b.Fatal(err)
			}
			runtime.Gosched()
		}
	}
	b.StopTimer()
}

// sent counts completions.
type sent struct{ done atomic.Int64 }

func (s *sent) Completed(*ws.Write, error) { s.done.Add(1) }

func benchmarkConn(b *testing.B, frame []byte) {
	r := newRig(b, rigParams{limits: limits()})
	drain := newDrain(b)
	conns := make([]*ws.Conn, 0, unicastConns)
	for range unicastConns {
		c, p := r.dialRaw(b, "")
		drain.add(b, c.(*net.TCPConn))
		conns = append(conns, p.conn)
	}
	var s sent
	writes := make([]ws.Write, unicastConns)
	// No more than a tenth of the connections have one under way: none has two.
	const ahead = unicastConns / 10
	b.ResetTimer()
	for i := range b.N {
		for int64(i)-s.done.Load() >= ahead {
			runtime.Gosched()
		}
		w := &writes[i%len(writes)]
		*w = ws.Write{Frame: frame, Done: &s}
		if err := conns[i%len(conns)].Send(w); err != nil {
			b.Fatal(err)
		}
	}
	for s.done.Load() < int64(b.N) {
		runtime.Gosched()
	}
	b.StopTimer()
}

func TestAFrameCostsNoAllocation(t *testing.T) {
	r := newRig(t, rigParams{limits: limits()})
	c, p := r.dialRaw(t, "")
	newDrain(t).add(t, c.(*net.TCPConn))
	frame := ws.AppendFrame(nil, ws.OpText, make([]byte, unicastPayload))
	var s sent
	var w ws.Write
	const frames = 100
	each := testing.AllocsPerRun(10, func() {
		for range frames {
			before := s.done.Load()
			w = ws.Write{Frame: frame, Done: &s}
			if p.conn.Send(&w) != nil {
				panic("not taken")
			}
			for s.done.Load() == before {
				runtime.Gosched()
			}
		}
	}) / frames
	budget := 0.1
	if limits().Portable {
		budget = 2 // who writes is started each time
	}
	assert.Less(t, each, budget)
}

// drain reads what comes on sockets, and forgets it.
type drain struct {
	epoll  int
	served sync.WaitGroup
	fds    []int
	over   atomic.Bool
}

func newDrain(b testing.TB) *drain {
	b.Helper()
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	require.NoError(b, err)
	d := &drain{epoll: fd}
	d.served.Go(d.read)
	b.Cleanup(func() {
		d.over.Store(true)
		d.served.Wait()
		_ = syscall.Close(fd)
		for _, fd := range d.fds {
			_ = syscall.Close(fd)
		}
	})
	return d
}

func (d *drain) add(b testing.TB, c *net.TCPConn) {
	b.Helper()
	fd := descriptor(b, c)
	d.fds = append(d.fds, fd)
	require.NoError(b, syscall.EpollCtl(d.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}))
}

func (d *drain) read() {
	const patience = 20 // milliseconds
	buf := make([]byte, 64<<10)
	events := make([]syscall.EpollEvent, 256)
	for !d.over.Load() {
		n, _ := syscall.EpollWait(d.epoll, events, patience)
		for _, e := range events[:max(n, 0)] {
			_, _ = syscall.Read(int(e.Fd), buf)
		}
	}
}

// descriptor takes the socket from the runtime, as a descriptor of its own that does not
// block.
func descriptor(b testing.TB, c *net.TCPConn) int {
	b.Helper()
	f, err := c.File()
	require.NoError(b, err)
	fd, err := syscall.Dup(int(f.Fd()))
	require.NoError(b, err)
	require.NoError(b, syscall.SetNonblock(fd, true))
	_ = f.Close()
	_ = c.Close()
	return fd
}
