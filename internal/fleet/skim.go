package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pushgate/internal/push"
)

const (
	// sampleEvery is how far apart the looks into older reports are.
	sampleEvery = 10 * time.Minute
	// sampleLength is how much is read at each: every node that was alive then has
	// written in it, with the usual interval several times.
	sampleLength = 10 * time.Second
)

// skimming is a reading of what the topic holds: all of the last reports, and before
// that only some of every sampleEvery, so that hours of reports cost as little as
// minutes.
type skimming struct {
	log   Log
	topic string
	// back is how much before the newest report everything is read from. The clock here
	// plays no part in it.
	back time.Duration
	// visit is given each record, in order. It must not keep it.
	visit func(*push.Record)
}

// skimmed is what was found.
type skimmed struct {
	end int64 // everything below was there
	// oldest and newest are when the first and the last record were written, exact since
	// when all were read; zero where there is none.
	oldest, newest, exact time.Time
}

// run reads up to the end there is when it is called.
func (s skimming) run(ctx context.Context) (skimmed, error) {
	var found skimmed
	start, end, err := s.log.Bounds(ctx, s.topic, reports)
	if err != nil {
		return found, fmt.Errorf("finding the bounds of %s: %w", s.topic, err)
	}
	found.end = end
	if start == end {
		return found, nil
	}
	reader := s.log.NewReader(s.topic, reports, start)
	defer reader.Close()
	if found.oldest, err = s.timeOf(ctx, reader, span{from: start, to: end}); err != nil {
		return found, err
	}
	if found.newest, err = s.timeOf(ctx, reader, span{from: end - 1, to: end}); err != nil {
		return found, err
	}
	found.exact = found.newest.Add(-s.back)
	at := start
	for t := found.oldest; t.Before(found.exact); t = t.Add(sampleEvery) {
		until := t.Add(sampleLength)
		at, err = s.from(ctx, reader, t, span{from: at, to: end}, func(rec *push.Record) bool { return rec.Time.Before(until) })
		if err != nil {
			return found, err
		}
	}
	_, err = s.from(ctx, reader, found.exact, span{from: at, to: end}, func(*push.Record) bool { return true })
	return found, err
}

// timeOf returns when the first record of a span was written.
func (s skimming) timeOf(ctx context.Context, r Reader, of span) (t time.Time, err error) {
	_, err = s.read(ctx, r, of, func(rec *push.Record) bool {
		t = rec.Time
		return false
	})
	return t, err
}

// from visits what was written at a time or later and lies in a span, as long as goOn
// says so, and returns the next offset.
func (s skimming) from(ctx context.Context, r Reader, t time.Time, of span, goOn func(*push.Record) bool) (next int64, err error) {
	at, err := s.log.OffsetAt(ctx, s.topic, reports, t)
	if err != nil {
		return of.from, fmt.Errorf("finding the reports of %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	of.from = max(of.from, at)
	return s.read(ctx, r, of, func(rec *push.Record) bool {
		s.visit(rec)
		return goOn(rec)
	})
}

// span of offsets, to is not in it.
type span struct{ from, to int64 }

// read gives the records of a span to visit until that returns false, and returns the
// next offset. What is trimmed meanwhile is left out.
func (s skimming) read(ctx context.Context, r Reader, of span, visit func(*push.Record) bool) (next int64, err error) {
	for next = of.from; next < of.to; {
		r.SeekTo(next)
		batch, err := r.Read(ctx)
		if lost, ok := errors.AsType[*push.OffsetLostError](err); ok {
			if lost.LogStart <= next {
				return of.to, nil // made anew meanwhile
			}
			next = lost.LogStart
			continue
		}
		if err != nil {
			return next, fmt.Errorf("reading %s: %w", s.topic, err)
		}
		for i := range batch.Records {
			rec := &batch.Records[i]
			if rec.Offset >= of.to || !visit(rec) {
				return rec.Offset + 1, nil
			}
		}
		next = batch.Next
	}
	return next, nil
}

// Sightings says when nodes were heard of last. All times are on the brokers' clock.
type Sightings struct {
	// Last report by node id. Where that is before Exact, there may be later ones, up to
	// ten minutes after it.
	Last map[string]time.Time
	// Exact: every report written since then was looked at.
	Exact time.Time
	// Oldest and Newest report there is, of any node; zero: there is none.
	Oldest, Newest time.Time
}

// Sight reads who has reported when: exactly for a time back from the newest report,
// roughly before. It blocks for as long as reading that takes, and holds one batch in
// memory.
func Sight(ctx context.Context, log Log, topic string, back time.Duration) (Sightings, error) {
	last := make(map[string]time.Time)
	found, err := skimming{log: log, topic: topic, back: back, visit: func(rec *push.Record) {
		if t, known := last[string(rec.Key)]; !known || rec.Time.After(t) {
			last[string(rec.Key)] = rec.Time
		}
	}}.run(ctx)
	return Sightings{Last: last, Exact: found.exact, Oldest: found.oldest, Newest: found.newest}, err
}
