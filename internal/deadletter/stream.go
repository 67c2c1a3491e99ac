package deadletter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// concurrent bounds the questions asked of the brokers at once.
const concurrent = 8

// Margins around times: a message dies before its letter is written, by the clock of
// its custodian, and the letter of a partition that stalls is written late.
const (
	clockMargin = 10 * time.Second
	lateMargin  = 10 * time.Minute
	// idMargin: the id of a message is made before it dies, by the clock of its maker.
	idMargin = time.Hour
)

// Letters yields the letters that are there when it is called, in the order of
// their deaths. It holds one batch of each partition in memory. A record that is
// no dead letter is yielded as a *MalformedError; any other error ends the reading.
func (s *Store) Letters(ctx context.Context, f Filter) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		reading, err := s.read(ctx, &f)
		if err != nil {
			yield(Letter{}, err)
			return
		}
		defer reading.close()
		for {
			letter, err := reading.next(ctx)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err == nil && !f.State.takes(letter.State):
				continue
			case err == nil:
				letter.own()
				letter.Headers = letter.rec.Headers.List()
			}
			malformed := isMalformed(err)
			if goOn := yield(letter, err); !goOn || err != nil && !malformed {
				return
			}
		}
	}
}

func isMalformed(err error) bool {
	_, malformed := errors.AsType[*MalformedError](err)
	return malformed
}

// span is the part of a partition that a filter is about.
type span struct {
	partition  int32
	start, end int64
}

// partitions returns those a filter is about.
func (s *Store) partitions(ctx context.Context, f *Filter) ([]int32, error) {
	count, err := s.log.Partitions(ctx, s.topics.DeadLetter)
	if err != nil {
		return nil, fmt.Errorf("finding the partitions of %s: %w", s.topics.DeadLetter, err)
	}
	if f.homeOnly() {
		return []int32{push.Home(f.User, count)}, nil
	}
	list := make([]int32, 0, count)
	for number := range count {
		list = append(list, number)
	}
	return list, nil
}

// spans finds what is to be read: what is there now, and within the times.
func (s *Store) spans(ctx context.Context, f *Filter, partitions []int32) ([]span, error) {
	since, until := f.Since, f.Until
	if !since.IsZero() {
		since = since.Add(-clockMargin)
	}
	if made, ok := push.IDTime(f.ID); ok && made.Before(time.Now()) && made.Add(-idMargin).After(since) {
		since = made.Add(-idMargin)
	}
	if !until.IsZero() {
		until = until.Add(lateMargin)
	}
	found := make([]span, len(partitions))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrent)
	for i, p := range partitions {
		group.Go(func() error {
			var err error
			found[i], err = s.span(ctx, p, since, until)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("finding where to read %s: %w", s.topics.DeadLetter, err)
	}
	return found, nil
}

func (s *Store) span(ctx context.Context, partition int32, since, until time.Time) (span, error) {
	one := span{partition: partition}
	var err error
	if one.start, one.end, err = s.log.Bounds(ctx, s.topics.DeadLetter, partition); err != nil {
		return one, err
	}
	if !since.IsZero() {
		at, err := s.log.OffsetAt(ctx, s.topics.DeadLetter, partition, since)
		if err != nil {
			return one, err
		}
		one.start = min(max(one.start, at), one.end)
	}
	if !until.IsZero() && until.Before(time.Now()) {
		at, err := s.log.OffsetAt(ctx, s.topics.DeadLetter, partition, until)
		if err != nil {
			return one, err
		}
		one.end = max(min(one.end, at), one.start)
	}
	return one, nil
}

// handled reads what was done to letters; nil where nobody keeps that.
func (s *Store) handled(ctx context.Context, partitions []int32) (*operations.Letters, error) {
	if s.operations == nil {
		return nil, nil //nolint:nilnil // nothing is handled
	}
	return s.operations.Letters(ctx, partitions)
}

// letterOf understands a record, and shares memory with it: of a batch that is valid
// until the next read.
func letterOf(rec *push.Record, partition int32, handled *operations.Letters) (Letter, error) {
	d, err := push.ParseDeadLetter(rec)
	l := Letter{
		Place: Place{Partition: partition, Offset: rec.Offset}, Written: rec.Time, DeadLetter: d,
		Again: d.Replay.Again(d.Reason), Size: len(rec.Value), Data: rec.Value, rec: *rec,
	}
	if handled != nil {
		l.State = handled.Of(partition, rec.Offset, rec.Time)
	}
	if err != nil {
		return l, &MalformedError{Place: l.Place, Err: err}
	}
	return l, nil
}

// own makes a letter share no memory with what it was read from.
func (l *Letter) own() {
	l.rec = l.rec.Clone()
	l.Data = l.rec.Value
}

// source brings letters one by one, each with what was done to it; io.EOF at the end.
// A letter is valid until the next call.
type source interface {
	next(ctx context.Context) (Letter, error)
	close()
}

// reading merges the partitions by the times of the letters, oldest first.
type reading struct {
	filter  *Filter
	handled *operations.Letters
	streams []*stream
	// between, if given, is called between reads: an error ends the reading.
	between func() error
}

func (s *Store) read(ctx context.Context, f *Filter) (*reading, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	partitions, err := s.partitions(ctx, f)
	if err != nil {
		return nil, err
	}
	handled, err := s.handled(ctx, partitions)
	if err != nil {
		return nil, err
	}
	spans, err := s.spans(ctx, f, partitions)
	if err != nil {
		return nil, err
	}
	r := &reading{filter: f, handled: handled}
	for _, one := range spans {
		if one.start < one.end {
			r.streams = append(r.streams, &stream{
				span: one, at: one.start, reader: s.log.NewReader(s.topics.DeadLetter, one.partition, one.start),
			})
		}
	}
	return r, nil
}

func (r *reading) close() {
	for _, one := range r.streams {
		one.reader.Close()
	}
}

// seen returns how many of how many offsets were read.
func (r *reading) seen() (scanned, of int64) {
	for _, one := range r.streams {
		scanned += one.at - one.start - int64(len(one.batch))
		of += one.end - one.start
	}
	return scanned, of
}

// next takes the letter that was written first.
func (r *reading) next(ctx context.Context) (Letter, error) {
	for {
		var first *stream
		for _, s := range r.streams {
			more, err := s.fill(ctx, r)
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
		rec := &first.batch[0]
		first.batch = first.batch[1:]
		letter, err := letterOf(rec, first.partition, r.handled)
		if err != nil || r.filter.takes(&letter.DeadLetter) {
			return letter, err
		}
	}
}

// stream reads one partition up to where it ended when reading began.
type stream struct {
	span
	reader Reader
	at     int64 // the offset to read next
	batch  []push.Record
}

// fill reads until there is a record that may match; false at the end.
func (s *stream) fill(ctx context.Context, r *reading) (bool, error) {
	for {
		for len(s.batch) > 0 {
			if r.filter.may(&s.batch[0]) {
				return true, nil
			}
			s.batch = s.batch[1:]
		}
		if s.at >= s.end {
			return false, nil
		}
		if r.between != nil {
			if err := r.between(); err != nil {
				return false, err
			}
		}
		batch, err := s.reader.Read(ctx)
		if lost, ok := errors.AsType[*push.OffsetLostError](err); ok && lost.LogStart > s.at {
			s.at = min(lost.LogStart, s.end) // trimmed while it is read
			s.reader.SeekTo(s.at)
			continue
		}
		if err != nil {
			return false, fmt.Errorf("reading dead letters: %w", err)
		}
		s.batch, s.at = until(batch.Records, s.end), min(batch.Next, s.end)
	}
}

// until cuts off the records from an offset on.
func until(records []push.Record, end int64) []push.Record {
	for len(records) > 0 && records[len(records)-1].Offset >= end {
		records = records[:len(records)-1]
	}
	return records
}
