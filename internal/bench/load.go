package bench

import (
	"context"
	"sync"
	"time"
)

// load writes messages until their time is over or ctx ends, and returns when
// all of them are with their lanes.
func (r *run) load(ctx context.Context) {
	if r.Rate == 0 {
		r.loadClosed(ctx)
		return
	}
	r.loadOpen(ctx)
}

// loadOpen keeps to the schedule whatever the deployment does: a message that is
// late counts from when it was due.
func (r *run) loadOpen(ctx context.Context) {
	s := r.schedule()
	total := s.count(r.lead() + r.Duration)
	for n := int64(0); n < total; {
		at := r.loadFrom + s.due(n)
		if !r.turn(ctx, at) {
			return
		}
		now := r.now()
		r.pacing.record(0, now-at, 1)
		for upTo := min(total, max(n+1, s.count(now-r.loadFrom))); n < upTo; n++ {
			r.generate(stamp{number: n, at: r.loadFrom + s.due(n)})
		}
	}
}

// loadClosed has InFlight messages under way at a time.
func (r *run) loadClosed(ctx context.Context) {
	limit := int64(r.InFlight)
	end := time.NewTimer(r.lead() + r.Duration)
	defer end.Stop()
	for n := int64(0); ; {
		at := r.now()
		for free := limit - r.inFlight.Load(); free > 0; free-- {
			r.generate(stamp{number: n, at: at})
			n++
		}
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-r.room:
		}
	}
}

// generate hands a message to its lane.
func (r *run) generate(s stamp) {
	u := r.users[s.number%int64(r.Users)]
	r.inFlight.Add(1)
	r.generated.Store(s.number + 1)
	u.lane.add(s)
}

// settled says that messages are under way no longer. The generator is woken for
// a handful, not for each.
func (r *run) settled(n int64) {
	const handful = 16
	if left := r.inFlight.Add(-n); r.Rate == 0 && left <= int64(r.InFlight)-max(1, int64(r.InFlight)/handful) {
		signal(r.room)
	}
}

// confirm notes what became of a batch of a lane.
func (r *run) confirm(l *lane, batch []stamp, err error) {
	if err != nil {
		r.refuse(batch, err)
		return
	}
	now := r.now()
	gone := int64(0)
	for _, s := range batch {
		if r.measured(s.at) {
			r.written.record(int(l.partition), now-s.at, 1)
		}
		if r.users[s.number%int64(r.Users)].later {
			gone++ // nobody is there to take it
		}
	}
	r.produced.Add(int64(len(batch)))
	if gone > 0 {
		r.settled(gone)
	}
}

func (r *run) refuse(batch []stamp, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.produceErr = err
	for _, s := range batch {
		r.unconfirmed[s.number] = struct{}{}
	}
	r.refused.Add(int64(len(batch)))
	r.settled(int64(len(batch)))
}

// measured says whether a message that was to be sent then counts.
func (r *run) measured(at time.Duration) bool {
	at -= r.loadFrom + r.lead()
	return 0 <= at && at < r.Duration
}

// lead is how long the load lasts before it is measured.
func (r *run) lead() time.Duration { return r.RampUp + r.WarmUp }

// arrived notes how long a message took to its user; away says that the user had
// been sent away meanwhile, so that it is not the deployment that took the time.
func (r *run) arrived(u *user, s stamp, took time.Duration, away bool) {
	if away {
		r.returning.record(u.number, took, 1)
		return
	}
	r.latency.record(u.number, took, 1)
	if len(r.byType) > 0 {
		r.byType[r.mix.of(s.number)].record(u.number, took, 1)
	}
}

// turn waits until it is time to send, but at least for a while: many messages
// at a time are cheaper. It is false when ctx has ended.
func (r *run) turn(ctx context.Context, at time.Duration) bool {
	const (
		least = 250 * time.Microsecond
		nap   = 2 * time.Millisecond
	)
	if r.Nap == nil {
		return r.until(ctx, at)
	}
	if !r.until(ctx, at-nap) {
		return false
	}
	r.Nap(max(at-r.now(), least))
	return true
}

// until waits; it is false when ctx has ended.
func (r *run) until(ctx context.Context, at time.Duration) bool {
	return r.sleep(ctx, at-r.now())
}

// sleep waits; it is false when ctx has ended.
func (r *run) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// writers are those of the lanes.
type writers struct {
	ended  chan struct{} // closed when all have ended
	giveUp context.CancelFunc
}

// stop gives up what is not written yet.
func (w writers) stop() {
	w.giveUp()
	<-w.ended
}

// startWriters starts a writer a lane. They end when their lanes have ended and
// everything is written.
func (r *run) startWriters(ctx context.Context) writers {
	ctx, giveUp := context.WithCancel(ctx)
	w := writers{ended: make(chan struct{}), giveUp: giveUp}
	var running sync.WaitGroup
	for _, l := range r.lanes {
		running.Go(func() { l.write(ctx) })
	}
	go func() {
		running.Wait()
		close(w.ended)
	}()
	return w
}
