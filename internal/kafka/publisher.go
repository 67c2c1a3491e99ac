package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"pushgate/internal/push"
)

// Publisher writes records for many callers at once. What comes together while
// a request is under way goes into the next one: no caller waits for others, and
// no timer adds latency. One request a partition is in flight.
type Publisher struct {
	cluster *Cluster
	topic   string
	ctx     context.Context //nolint:containedctx // ends the writes on Close
	stop    context.CancelFunc

	mu         sync.Mutex
	closed     bool
	partitions int32
	lanes      map[int32]*publishLane
	writers    sync.WaitGroup
}

// publishLane gathers what is to be written to one partition.
type publishLane struct {
	waiting []publication
	writing bool
}

type publication struct {
	record push.Record
	done   chan published
}

type published struct {
	offset int64
	err    error
}

// NewPublisher returns a publisher to a topic. Close it.
func (c *Cluster) NewPublisher(topic string) *Publisher {
	ctx, stop := context.WithCancel(context.Background())
	return &Publisher{cluster: c, topic: topic, ctx: ctx, stop: stop, lanes: make(map[int32]*publishLane)}
}

// Close gives up what is not written yet and returns when all writers have ended.
func (p *Publisher) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.writers.Wait()
}

// Publish writes one record to the home partition of its key and returns where
// it stands once all replicas in sync have it. It blocks until then or until ctx
// ends; the record may have been written even when it returns an error.
func (p *Publisher) Publish(ctx context.Context, rec push.Record) (partition int32, offset int64, err error) {
	count, err := p.count(ctx)
	if err != nil {
		return 0, 0, err
	}
	partition = push.Home(rec.Key, count)
	one := publication{record: rec, done: make(chan published, 1)}
	if err := p.enqueue(partition, one); err != nil {
		return partition, 0, err
	}
	select {
	case <-ctx.Done():
		return partition, 0, fmt.Errorf("writing to %s: %w", p.topic, context.Cause(ctx))
	case r := <-one.done:
		return partition, r.offset, r.err
	}
}

// count returns the number of partitions, which only grows while we run; the
// homes of later messages are mended by re-homing.
func (p *Publisher) count(ctx context.Context) (int32, error) {
	p.mu.Lock()
	known := p.partitions
	p.mu.Unlock()
	if known > 0 {
		return known, nil
	}
	n, err := p.cluster.Partitions(ctx, p.topic)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	p.partitions = n
	p.mu.Unlock()
	return n, nil
}

func (p *Publisher) enqueue(partition int32, one publication) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errNotRunning
	}
	lane := p.lanes[partition]
	if lane == nil {
		lane = &publishLane{}
		p.lanes[partition] = lane
	}
	lane.waiting = append(lane.waiting, one)
	if !lane.writing {
		lane.writing = true
		p.writers.Go(func() { p.write(partition, lane) })
	}
	return nil
}

// write writes what waits in a lane until nothing does.
func (p *Publisher) write(partition int32, lane *publishLane) {
	for {
		p.mu.Lock()
		batch := lane.waiting
		lane.waiting = nil
		if len(batch) == 0 {
			lane.writing = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		p.writeBatch(partition, batch)
	}
}

// writeBatch tells each caller what became of its record. A record the broker
// refuses must not take others with it.
func (p *Publisher) writeBatch(partition int32, batch []publication) {
	records := make([]push.Record, len(batch))
	for i := range batch {
		records[i] = batch[i].record
	}
	offsets, err := p.cluster.Produce(p.ctx, p.topic, partition, records)
	var refused *push.RejectedError
	if errors.As(err, &refused) && len(batch) > 1 {
		for i := range batch {
			p.writeBatch(partition, batch[i:i+1])
		}
		return
	}
	for i := range batch {
		r := published{err: err}
		if err == nil {
			r.offset = offsets[i]
		}
		batch[i].done <- r
	}
}
