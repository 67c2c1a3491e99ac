package bench

import (
	"math"
	"time"
)

// schedule says when messages are due: the rate rises evenly while the load ramps
// up, and stays.
type schedule struct {
	rate float64 // a second
	ramp float64 // seconds
}

func (r *run) schedule() schedule {
	return schedule{rate: float64(r.Rate), ramp: r.RampUp.Seconds()}
}

// ramped is how many messages are due while the rate rises.
func (s schedule) ramped() float64 { return s.rate * s.ramp / 2 } //nolint:mnd // the area of a triangle

// due is when message n is, since the load began.
func (s schedule) due(n int64) time.Duration {
	seconds := s.ramp + (float64(n)-s.ramped())/s.rate
	if float64(n) < s.ramped() {
		seconds = math.Sqrt(2 * s.ramp * float64(n) / s.rate)
	}
	return time.Duration(seconds * float64(time.Second))
}

// count is how many messages are due before at.
func (s schedule) count(at time.Duration) int64 {
	seconds := at.Seconds()
	due := s.ramped() + (seconds-s.ramp)*s.rate
	if seconds < s.ramp {
		due = s.rate * seconds * seconds / (2 * s.ramp)
	}
	const rounding = 1e-6 // 490.00000000000006 are 490
	return int64(math.Ceil(due - rounding))
}
