package bench

import (
	"context"
	"sync"
	"time"

	"pushgate/internal/push"
)

// lane writes the messages of one partition, in order: what comes together while
// one request is under way goes into the next one. A message that waits here is
// a few bytes: its record is made when it is written, so that a broker that
// stalls does not fill the memory of an open load.
type lane struct {
	run       *run
	partition int32

	mu      sync.Mutex
	waiting []stamp
	ended   bool
	wake    chan struct{}
}

// maxBatch bounds the payload bytes of one request, below what is one for the
// Kafka side: acknowledgements shall be seen as they come.
const maxBatch = 256 << 10

func newLane(r *run, partition int32) *lane {
	return &lane{run: r, partition: partition, wake: make(chan struct{}, 1)}
}

func (l *lane) add(s stamp) {
	l.mu.Lock()
	l.waiting = append(l.waiting, s)
	first := len(l.waiting) == 1
	l.mu.Unlock()
	if first {
		signal(l.wake)
	}
}

// end says that nothing more will be added.
func (l *lane) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	signal(l.wake)
}

func (l *lane) cut(into []stamp) (batch []stamp, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended = l.ended && len(l.waiting) == 0
	batch, l.waiting = l.waiting, into[:0]
	return batch, ended
}

// write writes until the lane has ended and nothing is left. When ctx ends, what
// is left is not known to be in Kafka.
func (l *lane) write(ctx context.Context) {
	var spare []stamp
	for {
		all, ended := l.cut(spare)
		if ended {
			return
		}
		spare = all
		for len(all) > 0 {
			n := min(len(all), max(1, maxBatch/(l.run.Payload+headerBytes)))
			l.run.confirm(l, all[:n], l.produce(ctx, all[:n]))
			all = all[n:]
		}
		if len(spare) == 0 {
			// Not ended by ctx: the messages that come are to be counted.
			<-l.wake
		}
	}
}

func (l *lane) produce(ctx context.Context, batch []stamp) error {
	_, err := l.run.Log.Produce(ctx, l.run.Topic, l.partition, l.run.records(batch))
	return err
}

// headerBytes is about what the headers of a record take.
const headerBytes = 160

// records makes the records of a batch. The payloads stand in one allocation.
func (r *run) records(batch []stamp) []push.Record {
	records := make([]push.Record, len(batch))
	payloads := make([]byte, 0, len(batch)*r.Payload)
	now := time.Now()
	for i, s := range batch {
		from := len(payloads)
		payloads = appendPayload(payloads, r.mark, s, r.Payload)
		records[i] = push.Record{
			Key: r.users[s.number%int64(r.Users)].key, Value: payloads[from:len(payloads):len(payloads)],
			Time: now, Headers: r.headers(s.number),
		}
	}
	return records
}

// headers are those all records share, and the id.
func (r *run) headers(number int64) push.Headers {
	h := push.RawHeaders(r.shared[r.mix.of(number)].AppendRaw(make([]byte, 0, headerBytes)))
	id := append(make([]byte, 0, runDigits+1+numberDigits), r.name...)
	h.Add(push.HeaderID, appendHex(append(id, '-'), number, numberDigits))
	return h
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
