package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Log is what is read. Every method blocks until it is done or ctx ends, and is safe
// for concurrent use.
type Log interface {
	NewReader(topic string, partition int32, offset int64) Reader
	Partitions(ctx context.Context, topic string) (int32, error)
	Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error)
	// OffsetAt returns the first offset written at or after t, the end if none.
	OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error)
	// Committed returns what the custodians have committed of a topic, by
	// partition; negative where they have committed nothing.
	Committed(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error)
	// Find returns copies of the records at the offsets, in ascending order, that
	// the log still holds.
	Find(ctx context.Context, topic string, partition int32, offsets []int64) ([]push.Record, error)
}

// Operations knows what operators did about dead letters. *operations.Log is one.
type Operations interface {
	Letters(ctx context.Context, partitions []int32) (*operations.Letters, error)
	By(ctx context.Context, partition int32, offset int64) (id string, h operations.Handling, err error)
	Get(ctx context.Context, id string) (operations.Operation, error)
}

// Topics names what is read.
type Topics struct{ Requests, Retry, DeadLetter, Receipts, Outcomes string }

// Params of an Explainer.
type Params struct {
	Log Log
	// Operations may be nil: then nothing is told of them.
	Operations Operations
	Topics     Topics
	Limits     push.Limits
	// DropExpired: messages whose time to live ran out leave no dead letter.
	DropExpired bool
}

// Explainer tells stories. Safe for concurrent use.
type Explainer struct{ p Params }

// New returns an explainer of a platform.
func New(p Params) *Explainer { return &Explainer{p: p} }

// Story tells what the logs know. It returns a *BadRequestError where nothing can be
// asked for that way; that there is no such message, or no such user, is no error: the
// story then has no messages, and says where it has looked.
func (e *Explainer) Story(ctx context.Context, ask Ask) (Story, error) {
	if err := check(&ask); err != nil {
		return Story{}, err
	}
	story := Story{User: ask.User, Messages: []MessageStory{}, Gaps: []string{}}
	s := &search{Explainer: e, ask: ask, now: time.Now()}
	var err error
	if s.partitions, err = e.p.Log.Partitions(ctx, e.p.Topics.Requests); err != nil {
		return story, fmt.Errorf("finding the partitions of %s: %w", e.p.Topics.Requests, err)
	}
	subjects, err := s.subjects(ctx)
	if err != nil {
		return story, err
	}
	gaps := s.gaps
	for _, one := range subjects {
		t := newTeller(s, one)
		if err := t.read(ctx); err != nil {
			return story, err
		}
		story.Messages = append(story.Messages, t.tell()...)
		gaps = append(gaps, t.gaps...)
		if len(subjects) == 1 {
			story.User = one.user
		}
	}
	slices.SortStableFunc(story.Messages, func(a, b MessageStory) int { return a.FirstSeen.Compare(b.FirstSeen) })
	for _, gap := range gaps {
		if !slices.Contains(story.Gaps, gap) {
			story.Gaps = append(story.Gaps, gap)
		}
	}
	return story, nil
}

func check(ask *Ask) error {
	switch {
	case ask.User == "" && ask.ID == "":
		return &BadRequestError{"name a user or the id of a message"}
	case len(ask.ID) > push.MaxIDBytes:
		return &BadRequestError{fmt.Sprintf("an id has at most %d bytes", push.MaxIDBytes)}
	case ask.Limit < 0 || ask.Limit > MaxLimit:
		return &BadRequestError{fmt.Sprintf("limit %d: must be from 1 to %d", ask.Limit, MaxLimit)}
	case !ask.Until.IsZero() && !ask.Since.Before(ask.Until):
		return &BadRequestError{"the beginning of the time asked for is not before its end"}
	}
	if ask.User != "" {
		if err := push.CheckUser(ask.User); err != nil {
			return &BadRequestError{err.Error()}
		}
	}
	if ask.Limit == 0 {
		ask.Limit = DefaultLimit
	}
	return nil
}

// stretch is what of one partition of a topic is read.
type stretch struct {
	topic     string
	partition int32
	from, end int64
	// trimmed: the log begins at from, and once held something before it.
	trimmed bool
}

// since finds what was written at or after a time, up to what is there now.
func (e *Explainer) since(ctx context.Context, topic string, partition int32, t time.Time) (stretch, error) {
	s := stretch{topic: topic, partition: partition}
	start, end, err := e.p.Log.Bounds(ctx, topic, partition)
	if err == nil {
		s.from, err = e.p.Log.OffsetAt(ctx, topic, partition, t)
	}
	if err != nil {
		return s, fmt.Errorf("finding where to read %s/%d: %w", topic, partition, err)
	}
	s.end = end
	s.trimmed = start > 0 && s.from <= start
	return s, nil
}

// errEnough ends a reading early.
var errEnough = errors.New("enough")

// each calls do for the records of a stretch, in order; do may return errEnough. What
// is trimmed away meanwhile is passed over. The returned time is that of the first
// record, zero if there is none.
func (e *Explainer) each(ctx context.Context, s stretch, do func(*push.Record) error) (first time.Time, err error) {
	if s.from >= s.end {
		return first, nil
	}
	reader := e.p.Log.NewReader(s.topic, s.partition, s.from)
	defer reader.Close()
	for next := s.from; next < s.end; {
		batch, err := reader.Read(ctx)
		if lost, ok := errors.AsType[*push.OffsetLostError](err); ok && lost.LogStart > next {
			next = lost.LogStart
			reader.SeekTo(next)
			continue
		}
		if err != nil {
			return first, fmt.Errorf("reading %s/%d: %w", s.topic, s.partition, err)
		}
		for i := range batch.Records {
			rec := &batch.Records[i]
			if rec.Offset >= s.end {
				break
			}
			if first.IsZero() {
				first = rec.Time
			}
			if err := do(rec); errors.Is(err, errEnough) {
				return first, nil
			} else if err != nil {
				return first, err
			}
		}
		next = batch.Next
	}
	return first, nil
}

// placed names a record.
func placed(topic string, partition int32, offset int64) string {
	return push.DefaultID(topic, partition, offset)
}
