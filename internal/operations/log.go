package operations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
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

// Records are the partitions of Kafka. Every method blocks until it is done or ctx
// ends; safe for concurrent use.
type Records interface {
	NewReader(topic string, partition int32, offset int64) Reader
	Partitions(ctx context.Context, topic string) (int32, error)
	// PresentPartitions returns 0 for a topic that is not there.
	PresentPartitions(ctx context.Context, topic string) (int32, error)
	Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error)
	// OffsetAt returns the first offset written at or after t, the end if none.
	OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error)
	// Produce returns when all replicas in sync have the records.
	Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error)
}

// Log is the topic of operations. Safe for concurrent use. It keeps some four
// bytes for each letter that is handled, and nothing else.
type Log struct {
	records Records
	topic   string

	mu      sync.Mutex
	count   int32 // partitions the topic had when it was last asked about
	handled map[int32]*handled
}

// New returns the log of operations kept in a topic.
func New(records Records, topic string) *Log {
	return &Log{records: records, topic: topic, handled: make(map[int32]*handled)}
}

// home is the partition that operations are told in.
const home int32 = 0

// NotFoundError says that there is no operation with that id, or not any more.
type NotFoundError struct{ ID string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no operation %s: pushgate operations list shows those that are kept", e.ID)
}

// Is makes it an ErrNotFound.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// List returns the operations that were running at since or began later, at most
// limit (0: all), newest first. It reads what was written since then.
func (l *Log) List(ctx context.Context, since time.Time, limit int) ([]Operation, error) {
	if there, err := l.has(ctx, home); err != nil || !there {
		return nil, err // nobody has done anything yet
	}
	start, end, err := l.span(ctx, since)
	if err != nil {
		return nil, err
	}
	found, err := l.fold(ctx, start, end)
	if err != nil {
		return nil, err
	}
	list := slices.Collect(maps.Values(found))
	now := time.Now()
	for i := range list {
		list[i].judge(now)
	}
	slices.SortFunc(list, func(a, b Operation) int { return cmp.Or(b.Began.Compare(a.Began), strings.Compare(b.ID, a.ID)) })
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list, nil
}

// Get returns one operation, or a *NotFoundError.
func (l *Log) Get(ctx context.Context, id string) (Operation, error) {
	since, _ := push.IDTime(id)
	if !since.IsZero() {
		since = since.Add(-clockMargin)
	}
	list, err := l.List(ctx, since, 0)
	if err != nil {
		return Operation{}, err
	}
	for i := range list {
		if list[i].ID == id {
			return list[i], nil
		}
	}
	return Operation{}, &NotFoundError{ID: id}
}

// Record writes what an operator did at one stroke; what is not given of id, state and
// times is filled in. It returns when the record is durable.
func (l *Log) Record(ctx context.Context, o Operation) error {
	now := time.Now()
	if o.ID == "" {
		o.ID = push.NewID(now)
	}
	if o.State == "" {
		o.State = Done
	}
	if o.Began.IsZero() {
		o.Began = now
	}
	if o.Ended.IsZero() && o.State != Running {
		o.Ended = now
	}
	_, err := l.write(ctx, &o)
	return err
}

// clockMargin is how far the clocks of brokers and of those who write may differ.
const clockMargin = 2 * time.Minute

// judge tells what runs from what was interrupted.
func (o *Operation) judge(now time.Time) {
	if o.State == Running && !o.alive(now) {
		o.State = Interrupted
	}
}

// write writes an operation as it is now, and returns where.
func (l *Log) write(ctx context.Context, o *Operation) (int64, error) {
	o.Updated = time.Now()
	rec, err := o.record()
	if err != nil {
		return 0, err
	}
	return l.put(ctx, home, rec)
}

func (l *Log) put(ctx context.Context, partition int32, rec push.Record) (int64, error) {
	if err := l.need(ctx, partition); err != nil {
		return 0, err
	}
	offsets, err := l.records.Produce(ctx, l.topic, partition, []push.Record{rec})
	if err != nil {
		return 0, fmt.Errorf("recording the operation: %w", err)
	}
	return offsets[0], nil
}

// span is what of the home partition was written since a time.
func (l *Log) span(ctx context.Context, since time.Time) (start, end int64, err error) {
	if start, end, err = l.records.Bounds(ctx, l.topic, home); err == nil && !since.IsZero() {
		start, err = l.records.OffsetAt(ctx, l.topic, home, since)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("finding where to read %s: %w", l.topic, err)
	}
	return start, end, nil
}

// fold reads a span of the home partition: the last word on each operation.
func (l *Log) fold(ctx context.Context, start, end int64) (map[string]Operation, error) {
	found := make(map[string]Operation)
	err := l.each(ctx, home, start, end, func(rec *push.Record) {
		if o, ok := parseOperation(rec); ok && (o.State != Running || found[o.ID].State == "" || found[o.ID].State == Running) {
			found[o.ID] = o
		}
	})
	return found, err
}

// each calls do for the records of a span. What was trimmed away meanwhile is passed
// over.
func (l *Log) each(ctx context.Context, partition int32, start, end int64, do func(*push.Record)) error {
	if start >= end {
		return nil
	}
	reader := l.records.NewReader(l.topic, partition, start)
	defer reader.Close()
	for next := start; next < end; {
		batch, err := reader.Read(ctx)
		if lost, ok := errors.AsType[*push.OffsetLostError](err); ok && lost.LogStart > next {
			next = lost.LogStart
			reader.SeekTo(next)
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s/%d: %w", l.topic, partition, err)
		}
		for i := range batch.Records {
			if rec := &batch.Records[i]; rec.Offset < end {
				do(rec)
			}
		}
		next = batch.Next
	}
	return nil
}
