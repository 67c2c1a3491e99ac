package session

import (
	"time"

	"pushgate/internal/push"
)

// wake makes sure that the timer runs no later than at. There is one timer per
// session, and only while there is a deadline. It is not stopped when an
// acknowledgement comes: most come in time, and a timer that finds nothing to do
// costs less than one that is moved with every message. The caller holds mu.
func (s *Session) wake(at time.Time) {
	switch {
	case s.timer == nil:
		s.timer = time.AfterFunc(time.Until(at), s.onTimer)
	case at.UnixNano() < s.wakeAt:
		s.timer.Reset(time.Until(at))
	default:
		return
	}
	s.wakeAt = at.UnixNano()
}

// onTimer fails what was not acknowledged in time. It may come early or twice: only
// the clock counts.
func (s *Session) onTimer() {
	now := time.Now()
	s.mu.Lock()
	if s.timer == nil { // stopped too late
		s.mu.Unlock()
		return
	}
	var overdue []*delivery
	var attached [][]*Verdict
	for d := s.pending.first; d != nil && d.written && !d.deadline.After(now); d = s.pending.first {
		s.pending.remove(d)
		// Taken before the delivery is put among the late ones, where verdicts of
		// an earlier failure may be joined to it: those have been told already.
		overdue, attached = append(overdue, d), append(attached, d.more)
		if s.late == nil {
			s.late = &lateList{}
		}
		s.late.add(d)
	}
	s.timer = nil
	if d := s.pending.first; d != nil && d.written {
		s.wake(d.deadline)
	}
	if len(overdue) > 0 {
		s.telling++
	}
	s.mu.Unlock()
	for i, d := range overdue {
		tell(d, attached[i], push.Failed, push.AckTimeout)
	}
	if len(overdue) > 0 {
		s.finish(func() { s.telling-- })
	}
}
