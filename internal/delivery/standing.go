package delivery

import (
	"time"

	"pushgate/internal/push"
)

// Standing is where this gateway stands in a partition that it reads.
type Standing struct {
	Partition int32
	// Position is the next request to read, End the end of the log when it was read
	// last.
	Position, End int64
	// LagTime is the age of the oldest request not read yet at most; 0 when there is
	// none. It also grows while the log does not answer: what is in it is not known then.
	LagTime time.Duration
	// Stalled is why receipts cannot be written, nil if they can.
	Stalled error
}

// blind is how long the log, which answers several times a second, may not have said
// where it ends, before something may be in it that is not known here.
const blind = 3 * time.Second

// Standings returns where this gateway stands in each partition; of one that is
// called, and reads nothing, there is none. It does not block.
func (g *Gateway) Standings() []Standing {
	workers := g.all()
	list := make([]Standing, 0, len(workers))
	for _, w := range workers {
		if w.ledger.Called() {
			continue
		}
		s := Standing{Partition: w.number, Position: w.at.Load(), Stalled: w.stalled()}
		lag := w.lag.Load()
		s.End = s.Position + lag
		if since := w.since.Load(); since > 0 {
			if age := time.Since(time.Unix(0, since)); lag > 0 || age > blind {
				s.LagTime = max(age, 0)
			}
		}
		list = append(list, s)
	}
	return list
}

// Called says whether custodians bring what is for this gateway, which reads nothing.
func (g *Gateway) Called() bool {
	called, _ := g.mode.get()
	return called
}

// stands takes in how far was read, and how old what comes next can be: younger than
// the last request that was read, and than when the end of the log was reached last.
func (w *worker) stands(batch push.Batch) {
	w.at.Store(batch.Next)
	if batch.Next >= batch.HighWatermark {
		w.since.Store(time.Now().UnixNano())
		return
	}
	if n := len(batch.Records); n > 0 {
		if t := batch.Records[n-1].Time.UnixNano(); t > w.since.Load() {
			w.since.Store(t)
		}
	}
}
