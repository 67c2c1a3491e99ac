package custody

import (
	"errors"
	"fmt"
)

// checkStates: what an entry is shows in where it stands.
func (b *books) checkStates() error {
	rewriting := 0
	err := b.each(func(e *entry) error {
		if e.state == rewritePending {
			rewriting++
		}
		for _, check := range []func(*entry) error{b.checkWhereabouts, b.checkTimerOf, b.checkPendingOf, b.checkTokenOf} {
			if err := check(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && rewriting != b.waitLog.rewriting {
		err = fmt.Errorf("%d waits are written anew, %d are counted", rewriting, b.waitLog.rewriting)
	}
	return err
}

// checkWhereabouts: it is in flight, or a wait that has a record.
func (b *books) checkWhereabouts(e *entry) error {
	isFlight, isWait := b.flights.find(e.origin) == e.self, b.waits.find(e.origin) == e.self
	hasRecord := e.retryAt != notInRetry
	switch {
	case isFlight == isWait:
		return fmt.Errorf("in flights: %t, in waits: %t", isFlight, isWait)
	case isWait != hasRecord || b.inWaitLog[e.self] != hasRecord:
		return fmt.Errorf("in waits: %t, record at %d, in the order of records: %t", isWait, e.retryAt, b.inWaitLog[e.self])
	case e.state == inFlight && (!isFlight || e.work == nil):
		return errors.New("not in flights, or without work")
	case e.state == waiting && !isWait:
		return errors.New("not in waits")
	}
	return nil
}

// checkTimerOf: what waits has a timer, and nothing else has or is ready.
func (b *books) checkTimerOf(e *entry) error {
	timed := b.inTimers[e.self]
	switch {
	case (e.timer != noTimer) != timed:
		return fmt.Errorf("timer %d, among the timers: %t", e.timer, timed)
	case e.state == waiting && b.restored && !timed:
		return fmt.Errorf("no timer (ready: %t)", e.ready)
	case e.state != waiting && (timed || e.ready):
		return fmt.Errorf("has a timer: %t, ready: %t", timed, e.ready)
	}
	return nil
}

// checkPendingOf: what waits for a write waits for one, and nothing else does.
func (b *books) checkPendingOf(e *entry) error {
	want := 0
	switch e.state {
	case waitPending, rewritePending, offerPending, deathPending, movePending, endPending, outcomePending:
		want = 1
	case gone, inFlight, waiting:
	}
	if b.pendingOf[e] != want {
		return fmt.Errorf("%d writes are pending", b.pendingOf[e])
	}
	return nil
}

// checkTokenOf: what waits, or is about to, leaves its place to others.
func (b *books) checkTokenOf(e *entry) error {
	if (e.state == waiting || e.state == waitPending) && e.hasToken() {
		return errors.New("has a place in its user's window")
	}
	return nil
}
