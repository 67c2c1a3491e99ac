package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pushgate/internal/push"
)

// Reader reads one partition in order. Read blocks for a short while when there
// is nothing to read. The batch is valid until the next Read.
type Reader interface {
	Read(ctx context.Context) (push.Batch, error)
	SeekTo(offset int64)
	Close()
}

// Log is what is audited. Every method blocks until it is done or ctx ends.
type Log interface {
	NewReader(topic string, partition int32, offset int64) Reader
	Partitions(ctx context.Context, topic string) (int32, error)
	Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error)
	// OffsetAt returns the first offset written at or after t, the end if none.
	OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error)
	// Settled returns the offsets below which the custodians have settled every
	// request, by partition; negative where they have settled none.
	Settled(ctx context.Context, partitions []int32) (map[int32]int64, error)
}

// Topics names what is read.
type Topics struct{ Requests, Retry, DeadLetter, Receipts string }

// Params of an audit.
type Params struct {
	Log    Log
	Topics Topics
	Limits push.Limits
	// DropExpired: messages whose time to live ran out leave no dead letter.
	DropExpired bool
	// Since and Until bound when a request was written. A zero Until is now.
	Since, Until time.Time
}

// Ledger is what an audit found: Messages = Delivered + Expired + DeadLettered +
// Waiting + UnderWay + len(Unexplained).
type Ledger struct {
	Messages     int `json:"messages"`
	Delivered    int `json:"delivered"`
	Expired      int `json:"expired"`
	DeadLettered int `json:"dead_lettered"`
	Waiting      int `json:"waiting"`
	UnderWay     int `json:"under_way"`
	// Offerings counts records of the request topic: a message that was offered
	// again, or moved to its home, has several. Repeats counts deliveries beyond
	// the first of a message.
	Offerings   int           `json:"offerings"`
	Rehomed     int           `json:"rehomed"`
	Repeats     int           `json:"repeats"`
	Unexplained []Unexplained `json:"unexplained"`
	// Trimmed says that the logs begin later than Since: what is older cannot be
	// known.
	Trimmed bool `json:"trimmed"`
}

// Unexplained is a message that does not add up.
type Unexplained struct {
	ID        string    `json:"id"`
	User      string    `json:"user"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Written   time.Time `json:"written"`
}

// Run reads the topics and adds up. It holds a stretch of one partition in memory
// at a time, some 150 bytes a message.
func Run(ctx context.Context, p Params) (Ledger, error) {
	count, err := p.Log.Partitions(ctx, p.Topics.Requests)
	if err != nil {
		return Ledger{}, fmt.Errorf("finding the partitions: %w", err)
	}
	if p.Until.IsZero() {
		p.Until = time.Now()
	}
	a := &auditor{Params: p, partitions: count, moved: make(map[identity]moved), arrived: make(map[identity]bool)}
	for number := range count {
		if err := a.partition(ctx, number); err != nil {
			return a.ledger, fmt.Errorf("partition %d: %w", number, err)
		}
	}
	for id, m := range a.moved {
		if !a.arrived[id] {
			a.ledger.Messages++
			a.ledger.Unexplained = append(a.ledger.Unexplained, Unexplained{
				ID: id.id, User: id.user, Partition: m.partition, Offset: m.offset, Written: time.UnixMilli(id.firstSeen),
			})
		}
	}
	return a.ledger, nil
}

// auditor adds partitions up.
type auditor struct {
	Params
	partitions int32
	ledger     Ledger
	// moved are messages that were left outside their user's home, arrived those
	// that came home from elsewhere.
	moved   map[identity]moved
	arrived map[identity]bool
}

// moved is where a message was found.
type moved struct {
	partition int32
	offset    int64
}

// identity tells messages apart, also where a producer uses an id twice.
type identity struct {
	user, id  string
	firstSeen int64 // Unix milliseconds
}

// span is where a partition is read.
type span struct{ from, to int64 }

// spans of one partition of each topic.
type spans struct {
	requests, retry, dead, receipts span
	settled                         int64
}

// find fixes what is read. The order matters: what settles a request is durable
// before it counts as settled, and what ends a wait is durable before its end. So
// the ends are taken in the order settled, waits, their fates, new offerings.
func (a *auditor) find(ctx context.Context, number int32) (spans, error) {
	var s spans
	settled, err := a.Log.Settled(ctx, []int32{number})
	if err != nil {
		return s, fmt.Errorf("finding what is settled: %w", err)
	}
	s.settled = settled[number]
	for _, one := range []struct {
		topic string
		into  *span
	}{
		{a.Topics.Retry, &s.retry},
		{a.Topics.DeadLetter, &s.dead},
		{a.Topics.Receipts, &s.receipts},
		{a.Topics.Requests, &s.requests},
	} {
		start, end, err := a.Log.Bounds(ctx, one.topic, number)
		if err != nil {
			return s, fmt.Errorf("finding the bounds of %s: %w", one.topic, err)
		}
		one.into.to = end
		if one.into.from, err = a.Log.OffsetAt(ctx, one.topic, number, a.Since); err != nil {
			return s, fmt.Errorf("finding where to read %s: %w", one.topic, err)
		}
		if start > 0 && one.into.from == start && start < end {
			a.ledger.Trimmed = true
		}
	}
	return s, nil
}

// each calls do for the records of a span.
func (a *auditor) each(ctx context.Context, topic string, number int32, s span, do func(*push.Record) error) error {
	reader := a.Log.NewReader(topic, number, s.from)
	defer reader.Close()
	for next := s.from; next < s.to; {
		batch, err := reader.Read(ctx)
		var lost *push.OffsetLostError
		if errors.As(err, &lost) && lost.LogStart > next {
			a.ledger.Trimmed = true // trimmed while it is read
			next = lost.LogStart
			reader.SeekTo(next)
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", topic, err)
		}
		for i := range batch.Records {
			if rec := &batch.Records[i]; rec.Offset < s.to {
				if err := do(rec); err != nil {
					return err
				}
			}
		}
		next = batch.Next
	}
	return nil
}
