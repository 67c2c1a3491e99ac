package listen

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Enduring is a listener that goes on when a connection cannot be accepted, for which the
// usual reason is that the process, or the machine, has no file descriptors left. It tries
// again after a pause, in which those who connect wait with the kernel. Only its end is an
// error of Accept.
type Enduring struct {
	net.Listener

	log      *zap.Logger
	failures prometheus.Counter
	ended    chan struct{}
	end      sync.Once

	pause  time.Duration // Accept's, which is called by one goroutine
	failed seldom
}

// The pause after a failure doubles, between these.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// NewEnduring returns l as a listener that goes on. Accept is for one goroutine at a time,
// as http.Server has it.
func NewEnduring(l net.Listener, log *zap.Logger) *Enduring {
	return &Enduring{
		Listener: l, log: log, ended: make(chan struct{}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pushgate_accept_failures_total",
			Help: "Times that a connection could not be accepted, and was tried again: mostly because the process had no file descriptors left.",
		}),
	}
}

// Collectors are the metrics of the listener.
func (e *Enduring) Collectors() []prometheus.Collector { return []prometheus.Collector{e.failures} }

// Accept implements net.Listener.
func (e *Enduring) Accept() (net.Conn, error) {
	for {
		nc, err := e.Listener.Accept()
		if err == nil {
			e.pause = 0
			return nc, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err //nolint:wrapcheck // net/http looks at it
		}
		e.failures.Inc()
		e.tell(err)
		e.pause = min(max(2*e.pause, firstPause), lastPause)
		timer := time.NewTimer(e.pause)
		select {
		case <-timer.C:
		case <-e.ended:
			timer.Stop()
			return nil, net.ErrClosed
		}
	}
}

// tell logs failures, not each: without descriptors there are many.
func (e *Enduring) tell(err error) {
	count, now := e.failed.now()
	if !now {
		return
	}
	what := "connections cannot be accepted, and wait; it is tried again"
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		what = "there are no file descriptors left: new connections wait; raise the limit (ulimit -n, LimitNOFILE), or lower gateway.max_connections"
	}
	e.log.Error(what, zap.Error(err), zap.Int("failures", count))
}

// Close implements net.Listener.
func (e *Enduring) Close() error {
	e.end.Do(func() { close(e.ended) })
	return e.Listener.Close() //nolint:wrapcheck // it is the listener's
}
