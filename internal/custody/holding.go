package custody

import (
	"errors"
	"time"

	"pushgate/internal/push"
)

// Holding is what a partition in custody is like at the moment.
type Holding struct {
	Stats
	// Lag is how many requests the custodian has not read yet; LagTime is the age of
	// the oldest of them at most, 0 when there is none. It also grows while the log does
	// not answer: what is in it is not known then.
	Lag     int64
	LagTime time.Duration
	// OldestWait is when the oldest wait there is was written, to about a second; zero
	// when nothing waits. Each time a message is offered again in vain it waits anew.
	OldestWait time.Time
	// Stalled is why the partition cannot be answered for, nil if it can.
	Stalled error
}

// blind is how long the log, which answers several times a second, may not have said
// where it ends, before something may be in it that is not known here.
const blind = 3 * time.Second

// Holdings returns what each partition in custody is like, by partition number. It
// does not block.
func (c *Custodian) Holdings() map[int32]Holding {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := make(map[int32]Holding, len(c.partitions))
	for number, p := range c.partitions {
		m[number] = p.holding()
	}
	return m
}

func (p *partition) holding() Holding {
	p.mu.Lock()
	h := Holding{Stats: p.snapshot, Lag: p.behind.messages, OldestWait: p.oldestWait}
	if age := time.Since(p.behind.since); h.Lag > 0 || age > blind && !p.behind.since.IsZero() {
		h.LagTime = max(age, 0)
	}
	ready := p.ready
	p.mu.Unlock()
	if h.Stalled = errors.Join(p.stalled(), p.carrier.stalled()); h.Stalled == nil && !ready {
		h.Stalled = p.healthy()
	}
	return h
}

// behind is how far a custodian is behind the log.
type behind struct {
	messages int64
	// since is the later of two: when the last request that was read had been written,
	// and when the end of the log was reached last.
	since time.Time
}

// read takes in a batch of the log; its records are in order.
func (b *behind) read(batch push.Batch, now time.Time) {
	if n := len(batch.Records); n > 0 {
		if t := batch.Records[n-1].Time; t.After(b.since) {
			b.since = t
		}
	}
	if batch.Next >= batch.HighWatermark {
		b.since = now
	}
}

// ages remembers when which offset of a log was written, to about a second.
type ages struct{ marks []mark }

type mark struct {
	at   int64
	time time.Time
}

const (
	markEvery = time.Second
	maxMarks  = 4096
)

// wrote takes in that a record was written. Offsets must grow.
func (a *ages) wrote(at int64, t time.Time) {
	if n := len(a.marks); n > 0 && (t.Sub(a.marks[n-1].time) < markEvery || at <= a.marks[n-1].at) {
		return
	}
	if len(a.marks) == maxMarks {
		// Every other one is near enough for what is as old as that.
		for i := range maxMarks / 2 {
			a.marks[i] = a.marks[2*i]
		}
		a.marks = a.marks[:maxMarks/2]
	}
	a.marks = append(a.marks, mark{at: at, time: t})
}

// of returns when the record at an offset was written, and forgets about the ones
// before.
func (a *ages) of(at int64) time.Time {
	for len(a.marks) > 1 && a.marks[1].at <= at {
		a.marks = a.marks[1:]
	}
	if len(a.marks) == 0 {
		return time.Time{}
	}
	return a.marks[0].time
}
