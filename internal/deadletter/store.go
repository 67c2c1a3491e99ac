package deadletter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
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

// Log is where dead letters are. Every method blocks until it is done or ctx
// ends.
type Log interface {
	NewReader(topic string, partition int32, offset int64) Reader
	Partitions(ctx context.Context, topic string) (int32, error)
	Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error)
	// OffsetAt returns the first offset written at or after t, the end if none.
	OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error)
}

// Letter is a dead letter and where it stands.
type Letter struct {
	Partition int32
	Offset    int64
	push.DeadLetter
	// Data is the payload, Headers what the producer and the platform wrote.
	Data    []byte
	Headers []push.Header
}

// Filter chooses letters; its zero value chooses all.
type Filter struct {
	User, Type, ID string
	Reason         push.Reason // ReasonNone: any
	// Since leaves out what died earlier, without reading it.
	Since time.Time
}

func (f Filter) takes(d *push.DeadLetter) bool {
	return (f.User == "" || d.User == f.User) &&
		(f.Type == "" || d.Type == f.Type) &&
		(f.ID == "" || d.ID == f.ID) &&
		(f.Reason == push.ReasonNone || d.Reason == f.Reason) &&
		(f.Since.IsZero() || !d.At.Before(f.Since))
}

// Store is the dead-letter topic. Safe for concurrent use.
type Store struct {
	log   Log
	topic string
}

// New returns the store of a topic.
func New(log Log, topic string) *Store { return &Store{log: log, topic: topic} }

// Letters yields the letters that are there when it is called, in the order of
// their deaths. It holds one batch of each partition in memory. A record that is
// no dead letter is yielded as a *MalformedError; any other error ends the reading.
func (s *Store) Letters(ctx context.Context, f Filter) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		streams, err := s.open(ctx, f.Since)
		defer func() {
			for _, one := range streams {
				one.reader.Close()
			}
		}()
		if err != nil {
			yield(Letter{}, err)
			return
		}
		for {
			letter, err := next(ctx, streams)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err == nil && !f.takes(&letter.DeadLetter):
				continue
			}
			var malformed *MalformedError
			if goOn := yield(letter, err); !goOn || err != nil && !errors.As(err, &malformed) {
				return
			}
		}
	}
}

// MalformedError says that a record of the topic is no dead letter.
type MalformedError struct {
	Partition int32
	Err       error
}

func (e *MalformedError) Error() string { return fmt.Sprintf("partition %d: %s", e.Partition, e.Err) }

func (e *MalformedError) Unwrap() error { return e.Err }

func (s *Store) open(ctx context.Context, since time.Time) ([]*stream, error) {
	count, err := s.log.Partitions(ctx, s.topic)
	if err != nil {
		return nil, fmt.Errorf("finding the partitions of %s: %w", s.topic, err)
	}
	var streams []*stream
	for number := range count {
		start, end, err := s.log.Bounds(ctx, s.topic, number)
		if err == nil && !since.IsZero() {
			start, err = s.log.OffsetAt(ctx, s.topic, number, since)
		}
		if err != nil {
			return streams, fmt.Errorf("finding where to read %s: %w", s.topic, err)
		}
		if start < end {
			streams = append(streams, &stream{
				partition: number, end: end, next: start, reader: s.log.NewReader(s.topic, number, start),
			})
		}
	}
	return streams, nil
}

// stream reads one partition up to where it ended when reading began.
type stream struct {
	partition int32
	reader    Reader
	next, end int64
	batch     []push.Record
}

// fill reads until there is a record; false at the end.
func (s *stream) fill(ctx context.Context) (bool, error) {
	for len(s.batch) == 0 {
		if s.next >= s.end {
			return false, nil
		}
		batch, err := s.reader.Read(ctx)
		if err != nil {
			return false, fmt.Errorf("reading dead letters: %w", err)
		}
		s.batch, s.next = batch.Records, batch.Next
	}
	return true, nil
}

// take takes the first record off, as a letter that shares no memory with it.
func (s *stream) take() (Letter, error) {
	rec := s.batch[0].Clone()
	s.batch = s.batch[1:]
	d, err := push.ParseDeadLetter(&rec)
	letter := Letter{Partition: s.partition, Offset: rec.Offset, DeadLetter: d, Data: rec.Value, Headers: rec.Headers.List()}
	if err != nil {
		return letter, &MalformedError{Partition: s.partition, Err: err}
	}
	return letter, nil
}

// next takes the letter that was written first off its stream; io.EOF when all
// have ended.
func next(ctx context.Context, streams []*stream) (Letter, error) {
	var first *stream
	for _, s := range streams {
		more, err := s.fill(ctx)
		if err != nil {
			return Letter{}, err
		}
		if more && (first == nil || s.batch[0].Time.Before(first.batch[0].Time)) {
			first = s
		}
	}
	if first == nil {
		return Letter{}, io.EOF
	}
	return first.take()
}
