package delivery

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/push"
)

// mode says whether the gateway reads requests or is called with them. Safe for
// concurrent use.
type mode struct {
	mu      sync.Mutex
	called  bool
	changed chan struct{} // closed and replaced when it changes
}

func newMode() *mode { return &mode{changed: make(chan struct{})} }

func (m *mode) set(called bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if called == m.called {
		return
	}
	m.called = called
	close(m.changed)
	m.changed = make(chan struct{})
}

// get returns the mode, and what is closed when it is another.
func (m *mode) get() (called bool, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.called, m.changed
}

// until returns a context that ends with ctx, or when changed is closed.
func until(ctx context.Context, changed <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// SetCalled has the gateway be called from now on, or read requests. It begins as
// one that reads. It does not block: each partition changes when its reader is
// through with what it has in hand, and where reading begins, when it is known from
// where. Then its receipts say so, and name all open sessions again, because what
// was decided about their users on the way was decided without them.
func (g *Gateway) SetCalled(called bool) { g.mode.set(called) }

// serve reads requests or leaves them to be brought, as the gateway is told, until
// ctx ends.
func (w *worker) serve(ctx context.Context) error {
	at := w.start
	for ctx.Err() == nil {
		called, changed := w.mode.get()
		stint, end := until(ctx, changed)
		switch {
		case called:
			w.beCalled(stint)
		case w.ledger.Called():
			at = w.restart(stint)
			if stint.Err() != nil {
				break
			}
			fallthrough
		default:
			var err error
			if at, err = w.read(stint, at); err != nil && stint.Err() == nil {
				end()
				return err
			}
		}
		end()
	}
	return nil
}

// beCalled stands by until ctx ends.
func (w *worker) beCalled(ctx context.Context) {
	if !w.ledger.Called() {
		w.ledger.Call()
		w.lag.Store(0)
		w.nameSessions()
		w.observeMode()
		w.log.Info("requests are brought here from now on, and not read")
	}
	<-ctx.Done()
}

// restart begins to read again, and returns from where: the lowest request that a
// custodian may not have settled. While that cannot be found out it waits, and ends
// with ctx.
func (w *worker) restart(ctx context.Context) int64 {
	const pause = time.Second
	for {
		start, err := w.unsettledFrom(ctx)
		if err == nil {
			w.ledger.Restart(start)
			w.nameSessions()
			w.observeMode()
			w.log.Info("requests are read here from now on", zap.Int64("offset", start))
			return start
		}
		if ctx.Err() != nil {
			return 0
		}
		w.log.Warn("cannot begin to read requests yet; they are still brought here", zap.Error(err))
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(pause):
		}
	}
}

// unsettledFrom is where custodians have settled everything below. Where they have
// committed nothing, or what is not in the log, that is its start: it may be read
// once too often, but not once too seldom.
func (w *worker) unsettledFrom(ctx context.Context) (int64, error) {
	committed, err := w.p.Positions.Custodians(ctx, []int32{w.number})
	if err != nil {
		return 0, fmt.Errorf("reading the custodians' position: %w", err)
	}
	at, known := committed[w.number]
	// Looked up later: they may have gone on, and what they had settled lies below.
	first, end, err := w.p.Positions.Bounds(ctx, w.number)
	switch {
	case err != nil:
		return 0, fmt.Errorf("finding the bounds of partition %d: %w", w.number, err)
	case !known, at < first, at > end:
		return first, nil
	}
	return at, nil
}

// nameSessions names all sessions of users who are at home here, after the ledger
// has changed: one that is opened meanwhile is named by whoever opens it, and twice
// is no harm.
func (w *worker) nameSessions() {
	if w.p.Sessions == nil {
		return
	}
	w.naming.Lock() // the lists are long; one at a time
	defer w.naming.Unlock()
	count := int32(len(w.all())) //nolint:gosec // a number of partitions
	var here []push.Binding
	for _, b := range w.p.Sessions() {
		if push.Home(b.User, count) == w.number {
			here = append(here, b)
		}
	}
	w.ledger.Name(here)
}

// observeMode publishes whether all partitions are called.
func (g *Gateway) observeMode() {
	for _, w := range g.all() {
		if !w.ledger.Called() {
			g.p.Metrics.routing(false)
			return
		}
	}
	g.p.Metrics.routing(true)
}

// calledNote follows the epoch in the position of a gateway that is called.
const calledNote = "called"

func noteOf(epoch int64, called bool) string {
	note := strconv.FormatInt(epoch, 10)
	if called {
		return note + " " + calledNote
	}
	return note
}

// parseNote understands the note of a position; ok is false for a note of nobody's.
func parseNote(note string) (epoch int64, called, ok bool) {
	first, rest, more := strings.Cut(note, " ")
	epoch, err := strconv.ParseInt(first, 10, 64)
	if err != nil || more && rest != calledNote {
		return 0, false, false
	}
	return epoch, more, true
}
