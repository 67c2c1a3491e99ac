package session

import (
	"sync"

	"pushgate/internal/push"
)

// Verdict passes on how one delivery goes on, in the order push.Reporter asks
// for, whichever goroutines find out: at most one Held, then one end, then
// perhaps a late Done. The reporter is called with no lock held, by one goroutine
// at a time; what comes meanwhile is passed on by that one. Safe for concurrent
// use once it is made.
type Verdict struct {
	m *push.Message
	r push.Reporter

	mu     sync.Mutex
	known  push.Status // the furthest that is known
	told   push.Status // the furthest that was passed on
	reason push.Reason
	busy   bool
}

// NewVerdict returns the verdict on m, to be told to r.
func NewVerdict(m *push.Message, r push.Reporter) *Verdict { return &Verdict{m: m, r: r} }

// rank orders how far a delivery has come: Done is the last word, also after
// Failed.
func rank(s push.Status) int {
	switch s {
	case push.Held:
		return 1
	case push.Failed:
		return 2
	case push.Done:
		return 3
	default:
		return 0
	}
}

// Tell says that the delivery has come to s; what is not news is ignored.
func (v *Verdict) Tell(s push.Status, reason push.Reason) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if rank(s) <= rank(v.known) {
		return
	}
	v.known, v.reason = s, reason
	if v.busy {
		return
	}
	v.busy = true
	for rank(v.told) < rank(v.known) {
		v.told = v.known
		told, why := v.told, v.reason
		if told != push.Failed {
			why = push.ReasonNone
		}
		v.mu.Unlock()
		v.r.Report(v.m, told, why)
		v.mu.Lock()
	}
	v.busy = false
}
