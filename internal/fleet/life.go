package fleet

import "time"

// life is a process as it has reported. Times are on the brokers' clock.
type life struct {
	report      *Report
	first, last time.Time
	samples     []sample // by time; none older than history
}

// sample is what one report adds to the charts.
type sample struct {
	at                        time.Time
	sessions, users           int
	waiting, inFlight         int
	lag                       int64
	oldestWait                time.Time
	delivered, requests, dead float64 // per second, since the sample before
	p50, p99                  float64 // 0: nothing was delivered
	counts                    totals
	ended                     bool
}

// totals are the counters that rates are made of.
type totals struct{ delivered, requests, dead int64 }

func totalsOf(r *Report) totals {
	t := totals{delivered: r.Counters.Delivered, requests: r.Counters.Requests}
	for _, n := range r.Counters.Dead {
		t.dead += n
	}
	return t
}

// silence is how long the process must not have reported to be silent.
func (l *life) silence() time.Duration {
	const (
		least = 10 * time.Second
		times = 3
	)
	return max(least, times*time.Duration(l.report.Interval*float64(time.Second)))
}

func (l *life) state(now time.Time) State {
	switch {
	case l.report.Ended:
		return Stopped
	case now.Sub(l.last) <= l.silence():
		return Alive
	case l.report.Stopping:
		return Stopped
	default:
		return Silent
	}
}

// take takes in a report that was written at a time; an older one than the last is
// passed over: it was written twice. Not one that is written much later than the last:
// the node's clock was set back.
func (l *life) take(r *Report, written time.Time) {
	if l.report == nil {
		l.first = written
	} else if !r.At.After(l.report.At) && !r.Ended && written.Sub(l.last) < l.silence()/2 {
		return
	}
	l.report, l.last = r, written
	l.sample(r, written)
}

// sampleLeast is the least time between two samples.
const sampleLeast = 900 * time.Millisecond

func (l *life) sample(r *Report, written time.Time) {
	s := sample{
		at: written, sessions: r.Sessions, users: r.Users, counts: totalsOf(r), ended: r.Ended,
		p50: r.Latency.P50, p99: r.Latency.P99,
	}
	for _, h := range r.Custody {
		s.waiting += h.Waiting
		s.inFlight += h.InFlight
		s.lag += h.LagMessages
		s.oldestWait = earlier(s.oldestWait, h.OldestWait)
	}
	if n := len(l.samples); n > 0 {
		before := l.samples[n-1]
		over := written.Sub(before.at)
		if over < sampleLeast && !s.ended {
			return
		}
		s.rates(before.counts, over)
	} else if age := r.At.Sub(r.Started); age <= l.silence() {
		s.rates(totals{}, age) // all of it is of just now
	}
	old := 0
	for old < len(l.samples) && written.Sub(l.samples[old].at) > history {
		old++
	}
	l.samples = append(l.samples[old:], s)
}

// rates makes them from what was counted before, over a time. They are never negative,
// whatever a node counts.
func (s *sample) rates(before totals, over time.Duration) {
	if over <= 0 {
		return
	}
	rate := func(now, then int64) float64 { return float64(max(now-then, 0)) / over.Seconds() }
	s.delivered, s.requests, s.dead = rate(s.counts.delivered, before.delivered),
		rate(s.counts.requests, before.requests), rate(s.counts.dead, before.dead)
}

// earlier of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
