package deadletter

import (
	"context"
	"errors"
	"fmt"

	"pushgate/internal/push"
)

// Get returns the letter at a place, whole, or ErrNotFound. A record there that is no
// dead letter is a *MalformedError.
func (s *Store) Get(ctx context.Context, at Place) (Letter, error) {
	count, err := s.log.Partitions(ctx, s.topics.DeadLetter)
	if err != nil {
		return Letter{}, fmt.Errorf("finding the partitions of %s: %w", s.topics.DeadLetter, err)
	}
	if at.Partition < 0 || at.Partition >= count {
		return Letter{}, fmt.Errorf("partition %d: %w: there are the partitions 0 to %d", at.Partition, ErrNotFound, count-1)
	}
	handled, err := s.handled(ctx, []int32{at.Partition})
	if err != nil {
		return Letter{}, err
	}
	p := &picked{store: s, handled: handled, places: []Place{at}}
	defer p.close()
	letter, err := p.next(ctx)
	if err != nil {
		if p.missing > 0 {
			err = fmt.Errorf("partition %d, offset %d: %w", at.Partition, at.Offset, ErrNotFound)
		}
		return letter, err
	}
	letter.own()
	letter.Headers = letter.rec.Headers.List()
	if s.operations != nil {
		if letter.Operation, _, err = s.operations.By(ctx, at.Partition, at.Offset); err != nil {
			return letter, err
		}
	}
	return letter, nil
}

// find returns the record at a place from a reader of its partition; false where
// there is none.
func (s *Store) find(ctx context.Context, reader Reader, at Place) (*push.Record, bool, error) {
	start, end, err := s.log.Bounds(ctx, s.topics.DeadLetter, at.Partition)
	if err != nil {
		return nil, false, fmt.Errorf("finding dead letters: %w", err)
	}
	if at.Offset < start || at.Offset >= end {
		return nil, false, nil
	}
	reader.SeekTo(at.Offset)
	for next := at.Offset; next <= at.Offset; {
		batch, err := reader.Read(ctx)
		if _, lost := errors.AsType[*push.OffsetLostError](err); lost {
			return nil, false, nil // trimmed meanwhile
		}
		if err != nil {
			return nil, false, fmt.Errorf("reading dead letters: %w", err)
		}
		if next = batch.Next; len(batch.Records) > 0 {
			return &batch.Records[0], batch.Records[0].Offset == at.Offset, nil
		}
	}
	return nil, false, nil
}
