package ws

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// loops share the TCP connections of a server: one for each core, each with a
// goroutine that reads what epoll says is there and one that writes. No connection
// has a goroutine, a net.Conn or a buffer of its own.
type loops struct {
	list   []*loop
	next   int
	broken bool // the system refuses: each connection is a stream
}

// adopt gives a TCP connection to a loop; it is false where that cannot be. The
// first one starts them. One call at a time.
func (l *loops) adopt(c *Conn, nc net.Conn) bool {
	secure, _ := nc.(*tls.Conn)
	var under *below
	if secure != nil {
		if under, _ = secure.NetConn().(*below); under == nil {
			return false
		}
		nc = under.Conn
	}
	tcp := tcpOf(nc)
	if tcp == nil || !l.start() {
		return false
	}
	fd, err := duplicate(tcp)
	if err != nil {
		return false
	}
	_ = tcp.Close() // the runtime forgets its descriptor; the socket lives on in ours
	l.next = (l.next + 1) % len(l.list)
	c.polled = polled{loop: l.list[l.next], fd: fd, secure: secure != nil}
	c.wire = (*polledConn)(c)
	if secure != nil {
		s := &sealed{polledConn: (*polledConn)(c), tls: secure}
		c.wire, under.Conn = s, records{Conn: tcp, sealed: s}
	}
	return true
}

// duplicate returns another descriptor of the socket, non-blocking as the first.
func duplicate(tcp *net.TCPConn) (fd int32, err error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("reaching the socket: %w", err)
	}
	var failed error
	err = raw.Control(func(of uintptr) {
		got, _, errno := syscall.Syscall(syscall.SYS_FCNTL, of, syscall.F_DUPFD_CLOEXEC, 0)
		if fd = int32(got); errno != 0 { //nolint:gosec // a descriptor
			failed = fmt.Errorf("fcntl: %w", errno)
		}
	})
	return fd, errors.Join(err, failed)
}

func (l *loops) start() bool {
	if l.list != nil || l.broken {
		return !l.broken
	}
	for range runtime.GOMAXPROCS(0) {
		one, err := newLoop()
		if err != nil {
			l.broken = true
			l.stop()
			return false
		}
		l.list = append(l.list, one)
	}
	return true
}

// stop ends the loops, which must have no connections any more, and returns when
// they have ended.
func (l *loops) stop() {
	for _, one := range l.list {
		one.stop()
	}
	l.list = nil
}

// loop is an epoll instance and its two goroutines.
type loop struct {
	epoll  *os.File // in the runtime's own poller: who waits for it holds no thread
	raw    syscall.RawConn
	fd     int
	served sync.WaitGroup

	mu    sync.Mutex
	conns []*Conn // by slot; nil: free
	free  []uint32
	lives uint32 // counts what was added: a slot that is used again is another's

	outMu   sync.Mutex
	ready   []*Conn // have something to write
	asleep  bool
	stopped bool
	wake    chan struct{}
}

func newLoop() (*loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("fcntl: %w", err)
	}
	l := &loop{epoll: os.NewFile(uintptr(fd), "epoll"), fd: fd, wake: make(chan struct{}, 1)}
	if err = l.epoll.SetReadDeadline(time.Time{}); err == nil { // else it is not in the poller
		l.raw, err = l.epoll.SyscallConn()
	}
	if err != nil {
		_ = l.epoll.Close()
		return nil, fmt.Errorf("waiting for epoll: %w", err)
	}
	l.served.Go(l.read)
	l.served.Go(l.write)
	return l, nil
}

func (l *loop) stop() {
	l.outMu.Lock()
	l.stopped = true
	l.outMu.Unlock()
	l.rouse()
	_ = l.epoll.Close()
	l.served.Wait()
}

func (l *loop) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

const (
	maxEvents = 256
	// loopRead is what all connections of a loop are read into.
	loopRead = 64 << 10

	whenReadable = syscall.EPOLLIN | syscall.EPOLLRDHUP
	whenEither   = whenReadable | syscall.EPOLLOUT
	// ended is reported whether it was asked for or not.
	ended = syscall.EPOLLHUP | syscall.EPOLLERR
)

// read passes on what comes, until the loop is stopped.
func (l *loop) read() {
	var (
		events [maxEvents]syscall.EpollEvent
		conns  [maxEvents]*Conn
		buf    = make([]byte, loopRead)
		plain  [largeRead]byte
	)
	for {
		n := 0
		err := l.raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events[:], 0)
			return n != 0 // -1: interrupted
		})
		if err != nil {
			return
		}
		for i, c := range l.of(events[:max(n, 0)], conns[:0]) {
			if c != nil {
				(*polledConn)(c).serve(events[i].Events, buf, plain[:])
			}
		}
		clear(conns[:])
	}
}

// of finds whom events are about; nil for one that is there no more.
func (l *loop) of(events []syscall.EpollEvent, conns []*Conn) []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		c := l.conns[e.Fd]
		if c != nil && c.polled.life != uint32(e.Pad) { //nolint:gosec // set by add
			c = nil
		}
		conns = append(conns, c)
	}
	return conns
}

// add has events of a connection reported.
func (l *loop) add(c *Conn, interest uint32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &c.polled
	if n := len(l.free); n > 0 {
		p.place, l.free = l.free[n-1], l.free[:n-1]
	} else {
		p.place = uint32(len(l.conns)) //nolint:gosec // a number of connections
		l.conns = append(l.conns, nil)
	}
	l.lives++
	p.life = l.lives
	l.conns[p.place] = c
	if err := l.control(syscall.EPOLL_CTL_ADD, p, interest); err != nil {
		l.conns[p.place], l.free = nil, append(l.free, p.place)
		return err
	}
	return nil
}

func (l *loop) remove(p *polled) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[p.place], l.free = nil, append(l.free, p.place)
}

func (l *loop) control(op int, p *polled, interest uint32) error {
	e := syscall.EpollEvent{Events: interest, Fd: int32(p.place), Pad: int32(p.life)} //nolint:gosec // bits, to be had back
	if err := syscall.EpollCtl(l.fd, op, int(p.fd), &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// output has a connection written.
func (l *loop) output(c *Conn) {
	l.outMu.Lock()
	l.ready = append(l.ready, c)
	asleep := l.asleep
	l.asleep = false
	l.outMu.Unlock()
	if asleep {
		l.rouse()
	}
}

// write writes what connections have, in the order in which they came to have it,
// until the loop is stopped. What comes meanwhile goes out together.
func (l *loop) write() {
	joined := make([]byte, joinedBytes)
	var list []*Conn
	for {
		l.outMu.Lock()
		list, l.ready = l.ready, list[:0]
		l.asleep = len(list) == 0
		stopped := l.stopped
		l.outMu.Unlock()
		if len(list) == 0 {
			if stopped {
				return
			}
			<-l.wake
			continue
		}
		for i, c := range list {
			(*polledConn)(c).flush(joined)
			list[i] = nil
		}
	}
}
