package waiting

import (
	"context"
	"fmt"
	"time"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// Reader reads one partition in order. Read blocks for a short while when there
// is nothing to read. The batch is valid until the next Read.
type Reader interface {
	Read(ctx context.Context) (push.Batch, error)
	SeekTo(offset int64)
	Close()
}

// Log is where waits stand. Every method blocks until it is done or ctx ends, and
// is safe for concurrent use.
type Log interface {
	NewReader(topic string, partition int32, offset int64) Reader
	Partitions(ctx context.Context, topic string) (int32, error)
	Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error)
	// Committed returns what the custodians have committed of a topic, by
	// partition; negative where they have committed nothing.
	Committed(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error)
	// Find returns copies of the records at the offsets, in ascending order, that
	// the log still holds.
	Find(ctx context.Context, topic string, partition int32, offsets []int64) ([]push.Record, error)
	// Produce returns when the records are durable.
	Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error)
}

// Journal keeps what operators did. Begin returns when it is durable that an operation
// runs; it is safe for concurrent use.
type Journal interface {
	Begin(ctx context.Context, o operations.Operation, force bool) (*operations.Run, error)
}

// Topics names what is read and written.
type Topics struct{ Retry, Receipts string }

// Params of a Store.
type Params struct {
	Log     Log
	Journal Journal
	Topics  Topics
}

// Store is what waits. Safe for concurrent use. Pages and summaries take turns: each
// holds the index of a partition in memory, and those who look at it must not take what a
// node delivers with.
type Store struct {
	p Params
	// turn holds a value while somebody looks.
	turn chan struct{}
}

// New returns the store of a platform.
func New(p Params) *Store { return &Store{p: p, turn: make(chan struct{}, 1)} }

// take waits for a turn; leave ends it. It fails when ctx ends before.
func (s *Store) take(ctx context.Context) (leave func(), err error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for others who look at what waits: %w", ctx.Err())
	}
}

// Wait is a message that waits. Its identity is Partition and Origin.
type Wait struct {
	Partition int32
	Origin    int64
	// At is where its record stands in the retry topic.
	At             int64
	User, ID, Type string
	Reason         push.Reason
	// Attempt counts the offerings so far, Failures those that failed.
	Attempt, Failures int
	// FirstSeen is when the message was first written to Kafka: its age counts from
	// there. Since is when this wait began, or was written anew: a message that is
	// offered again and comes to nothing again waits anew.
	FirstSeen, Since time.Time
	// Due is when it is offered again at the latest, Expires when it dies.
	Due, Expires time.Time
	// Size of the record in bytes.
	Size int
	// Data and Headers are filled in by Fill alone.
	Data    []byte
	Headers []push.Header
}

// Filter chooses waits; its zero value chooses all.
type Filter struct {
	User, Type, ID string
	Reason         push.Reason // ReasonNone: any
	// OlderThan leaves out messages that were first written later than so long ago.
	OlderThan time.Duration
}

// Empty says whether the filter chooses everything.
func (f Filter) Empty() bool { return f == Filter{} }

// BadRequestError says that what was asked for cannot be: a filter or a cursor that
// is none.
type BadRequestError struct{ Text string }

func (e *BadRequestError) Error() string { return e.Text }

func (f Filter) check() error {
	if f.OlderThan < 0 {
		return &BadRequestError{fmt.Sprintf("older than %s: must not be negative", f.OlderThan)}
	}
	if f.User != "" {
		if err := push.CheckUser(f.User); err != nil {
			return &BadRequestError{err.Error()}
		}
	}
	if f.Type != "" {
		if err := push.CheckType(f.Type); err != nil {
			return &BadRequestError{err.Error()}
		}
	}
	return nil
}

// partitions are those a filter has to look at: what waits for a user stands in the
// user's home.
func (s *Store) partitions(ctx context.Context, f Filter) ([]int32, error) {
	count, err := s.p.Log.Partitions(ctx, s.p.Topics.Retry)
	if err != nil {
		return nil, fmt.Errorf("finding the partitions of %s: %w", s.p.Topics.Retry, err)
	}
	if f.User != "" {
		return []int32{push.Home(f.User, count)}, nil
	}
	all := make([]int32, count)
	for i := range all {
		all[i] = int32(i)
	}
	return all, nil
}
