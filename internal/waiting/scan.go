package waiting

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pushgate/internal/push"
)

// entry is a wait as the index keeps it: no payload. Times are in Unix milliseconds.
type entry struct {
	at                            int64
	user, id, kind                string
	since, firstSeen, due, expiry int64
	size                          int32
	attempt, failures             int32
	reason                        push.Reason
}

// wait is the entry for others to see.
func (e *entry) wait(partition int32, origin int64) Wait {
	return Wait{
		Partition: partition, Origin: origin, At: e.at, User: e.user, ID: e.id, Type: e.kind, Reason: e.reason,
		Attempt: int(e.attempt), Failures: int(e.failures), FirstSeen: time.UnixMilli(e.firstSeen).UTC(),
		Since: time.UnixMilli(e.since).UTC(), Due: time.UnixMilli(e.due).UTC(), Expires: time.UnixMilli(e.expiry).UTC(),
		Size: int(e.size),
	}
}

// ended identifies a wait that has ended: a write of it that had been given up may
// still come, and is no new wait.
type ended struct {
	attempt     int32
	due, expiry int64
}

// index is what waits in one partition, by origin, as far as a filter takes it.
type index struct {
	partition int32
	waits     map[int64]*entry
	past      map[int64]ended
	kinds     map[string]string // one copy of each business type
	// end is up to where the retry topic was read.
	end int64
	// malformed records were passed over.
	malformed int
}

// origins in ascending order: the order in which they were offered last.
func (x *index) origins() []int64 { return slices.Sorted(maps.Keys(x.waits)) }

// scan reads what waits in one partition: its memory is an entry of some 300 bytes
// for each wait that the filter takes.
func (s *Store) scan(ctx context.Context, number int32, f Filter, now time.Time) (*index, error) {
	topic := s.p.Topics.Retry
	from, end, err := s.span(ctx, number)
	if err != nil {
		return nil, err
	}
	x := &index{
		partition: number, end: end,
		waits: make(map[int64]*entry), past: make(map[int64]ended), kinds: make(map[string]string),
	}
	reader := s.p.Log.NewReader(topic, number, from)
	defer reader.Close()
	for next := from; next < end; {
		batch, err := reader.Read(ctx)
		var lost *push.OffsetLostError
		if errors.As(err, &lost) && lost.LogStart > next {
			next = lost.LogStart // trimmed while it is read
			reader.SeekTo(next)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", topic, err)
		}
		for i := range batch.Records {
			if rec := &batch.Records[i]; rec.Offset < end {
				x.take(rec, f, now)
			}
		}
		next = batch.Next
	}
	if f.Reason != push.ReasonNone {
		// Only now: a wait that is written anew may bear another reason.
		maps.DeleteFunc(x.waits, func(_ int64, e *entry) bool { return e.reason != f.Reason })
	}
	return x, nil
}

// span is what a custodian that takes over would read.
func (s *Store) span(ctx context.Context, number int32) (from, end int64, err error) {
	topic := s.p.Topics.Retry
	committed, err := s.p.Log.Committed(ctx, topic, []int32{number})
	if err != nil {
		return 0, 0, fmt.Errorf("finding what waits: %w", err)
	}
	start, end, err := s.p.Log.Bounds(ctx, topic, number)
	if err != nil {
		return 0, 0, fmt.Errorf("finding the bounds of %s: %w", topic, err)
	}
	from = committed[number]
	if from < start || from > end { // also where nothing is committed, or the topic was made anew
		from = start
	}
	return from, end, nil
}

// take takes in one record.
func (x *index) take(rec *push.Record, f Filter, now time.Time) {
	if f.User != "" && string(rec.Key) != f.User {
		return
	}
	r, err := push.ParseRetry(rec)
	if err != nil {
		x.malformed++
		return
	}
	if r.Ends {
		if e := x.waits[r.Origin]; e != nil {
			x.past[r.Origin] = ended{e.attempt, e.due, e.expiry}
			delete(x.waits, r.Origin)
		}
		return
	}
	if f.Type != "" && r.Type != f.Type || f.ID != "" && r.ID != f.ID ||
		f.OlderThan > 0 && r.FirstSeen.After(now.Add(-f.OlderThan)) {
		return
	}
	x.put(rec, &r)
}

func (x *index) put(rec *push.Record, r *push.RetryEntry) {
	kind, ok := x.kinds[r.Type]
	if !ok {
		kind = r.Type
		x.kinds[kind] = kind
	}
	e := &entry{
		at: rec.Offset, user: r.User, id: r.ID, kind: kind, reason: r.Reason,
		since: rec.Time.UnixMilli(), firstSeen: r.FirstSeen.UnixMilli(), due: r.Due.UnixMilli(), expiry: r.Expires.UnixMilli(),
		size: int32(rec.Size()), attempt: int32(r.Attempt), failures: int32(r.Failures), //nolint:gosec // bounded by the broker, and by ParseRequest
	}
	if past, ok := x.past[r.Origin]; ok && past == (ended{e.attempt, e.due, e.expiry}) {
		return
	}
	if old := x.waits[r.Origin]; old != nil && old.user == e.user && old.id == e.id {
		e.since = old.since // written anew
	}
	x.waits[r.Origin] = e
}
