package fleet

import "time"

// Overview is how all nodes together are doing, for charts.
type Overview struct {
	At              time.Time `json:"at"`
	IntervalSeconds float64   `json:"interval_seconds"`
	Nodes           Count     `json:"nodes"`
	Now             Point     `json:"now"`
	Series          []Point   `json:"series"`
}

// Count of nodes.
type Count struct {
	Alive  int `json:"alive"`
	Silent int `json:"silent"`
}

// Point is a sum over all nodes that were alive at a time. Rates are per second.
// Quantiles are the worst of any node: those of all together cannot be known from
// those of each, and an operator looks for the one that is slow.
type Point struct {
	T           time.Time `json:"t"`
	Sessions    int       `json:"sessions"`
	Users       int       `json:"users"`
	Delivered   float64   `json:"delivered_per_s"`
	Requests    float64   `json:"requests_per_s"`
	Dead        float64   `json:"dead_per_s"`
	Waiting     int       `json:"waiting"`
	InFlight    int       `json:"in_flight"`
	P50         float64   `json:"p50"` // seconds
	P99         float64   `json:"p99"`
	LagMessages int64     `json:"lag_messages"` // of the custodians
	// OldestWait of all nodes; zero when nothing waits.
	OldestWait time.Time `json:"oldest_wait,omitzero"`
}

const (
	// stepLeast is the least distance of two points of a series, mostPoints how many
	// there are at most.
	stepLeast  = 2 * time.Second
	mostPoints = 300
)

// Overview sums up the last minutes, from 1 to 15. It does not block.
func (v *View) Overview(minutes int) Overview {
	minutes = min(max(minutes, 1), int(history/time.Minute))
	back := time.Duration(minutes) * time.Minute
	step := max(stepLeast, (back / mostPoints).Round(time.Second))
	v.mu.RLock()
	defer v.mu.RUnlock()
	now := v.now()
	last := now.Truncate(step) // so that points stay where they are from one call to the next
	o := Overview{At: now, IntervalSeconds: step.Seconds(), Series: make([]Point, int(back/step))}
	for i := range o.Series {
		o.Series[i].T = last.Add(-step * time.Duration(len(o.Series)-1-i))
	}
	o.Now.T = now
	for _, lives := range v.byNode() {
		for i, l := range lives {
			end := time.Time{} // when another process took its place
			if i > 0 && !l.last.After(lives[i-1].first) {
				end = lives[i-1].first
			}
			l.addTo(o.Series, end)
		}
		for _, l := range current(lives, now) {
			switch l.state(now) {
			case Alive:
				o.Nodes.Alive++
				o.Now.add(&l.samples[len(l.samples)-1])
			case Silent:
				o.Nodes.Silent++
			case Stopped:
			}
		}
	}
	return o
}

// addTo adds what the process was like to each point of a series, up to its end if
// that is not zero.
func (l *life) addTo(series []Point, end time.Time) {
	silence, next := l.silence(), 0
	for i := range series {
		t := series[i].T
		for next < len(l.samples) && !l.samples[next].at.After(t) {
			next++
		}
		if next == 0 {
			continue
		}
		s := &l.samples[next-1]
		if !s.ended && t.Sub(s.at) <= silence && (end.IsZero() || t.Before(end)) {
			series[i].add(s)
		}
	}
}

func (p *Point) add(s *sample) {
	p.Sessions += s.sessions
	p.Users += s.users
	p.Delivered += s.delivered
	p.Requests += s.requests
	p.Dead += s.dead
	p.Waiting += s.waiting
	p.InFlight += s.inFlight
	p.LagMessages += s.lag
	p.P50, p.P99 = max(p.P50, s.p50), max(p.P99, s.p99)
	p.OldestWait = earlier(p.OldestWait, s.oldestWait)
}
