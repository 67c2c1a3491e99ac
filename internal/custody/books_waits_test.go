package custody

import (
	"errors"
	"fmt"
)

// checkWaitLog: from the oldest to the newest and back, by retry offset.
func (b *books) checkWaitLog() error {
	before, last := none, int64(-1)
	for r := b.waitLog.oldest; r != none; {
		e := b.at(r)
		switch {
		case e == nil:
			return fmt.Errorf("the order of waits has slot %d, which is free", r)
		case b.inWaitLog[r]:
			return errors.New("the order of waits is a ring")
		case e.retryAt <= last:
			return fmt.Errorf("the wait at %d comes after that at %d", e.retryAt, last)
		case e.older != before:
			return fmt.Errorf("the wait at %d does not know the one before it", e.retryAt)
		}
		b.inWaitLog[r] = true
		before, last, r = r, e.retryAt, e.newer
	}
	if b.waitLog.newest != before {
		return errors.New("the newest wait is not the last")
	}
	return nil
}

// checkTimers: a heap, and each entry knows its place in it.
func (b *books) checkTimers() error {
	for i, r := range b.timers.heap {
		e := b.at(r)
		if e == nil || int(e.timer) != i {
			return fmt.Errorf("timer %d is not that of its entry", i)
		}
		if i > 0 && b.timers.Less(i, (i-1)/2) {
			return fmt.Errorf("timer %d is earlier than the one above it", i)
		}
		b.inTimers[r] = true
	}
	return nil
}

// checkBlocked: what settles when a wait has ended is known to a wait.
func (b *books) checkBlocked() error {
	known := map[int64]bool{}
	for _, e := range b.live {
		if e != nil && e.work != nil {
			for _, origin := range e.work.blocks {
				known[origin] = true
			}
		}
	}
	for origin := range b.blocked {
		if !known[origin] {
			return fmt.Errorf("request %d is blocked by nothing", origin)
		}
	}
	return nil
}

// checkReceipts: a receipt is held as often as entries hold it.
func (b *books) checkReceipts() error {
	holds := map[*receiptMark]int{}
	for _, e := range b.live {
		if e != nil && e.work != nil && e.work.mark != nil {
			holds[e.work.mark]++
		}
	}
	for _, mark := range b.receipts.marks {
		holds[mark] += 0 // also those that nobody holds
	}
	for mark, n := range holds {
		if mark.holds != n {
			return fmt.Errorf("receipt %d is held by %d, and says %d", mark.at, n, mark.holds)
		}
	}
	return nil
}
