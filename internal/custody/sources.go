package custody

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"pushgate/internal/push"
)

// source names a record that an action copies.
type source struct {
	retry bool
	at    int64
}

func sourceOf(a Action) source {
	if a.FromRetry {
		return source{retry: true, at: a.RetryAt}
	}
	return source{at: a.Origin}
}

// kept returns a record out of memory.
func (p *partition) kept(s source) (push.Record, bool) {
	if s.retry {
		return p.waits.get(s.at)
	}
	return p.fresh.get(s.at)
}

// sources reads the records the actions copy: out of memory, else out of the log.
func (p *partition) sources(ctx context.Context, actions []Action) (map[source]push.Record, error) {
	found := make(map[source]push.Record, len(actions))
	missing := map[bool][]int64{}
	for _, a := range actions {
		if !a.needsSource() {
			continue
		}
		s := sourceOf(a)
		if rec, ok := p.kept(s); ok {
			found[s] = rec
		} else {
			missing[s.retry] = append(missing[s.retry], s.at)
		}
	}
	for retry, offsets := range missing {
		topic := p.Topics.Requests
		if retry {
			topic = p.Topics.Retry
		}
		slices.Sort(offsets)
		records, err := p.find(ctx, topic, slices.Compact(offsets))
		if err != nil {
			return nil, fmt.Errorf("reading messages from %s: %w", topic, err)
		}
		for _, rec := range records {
			found[source{retry: retry, at: rec.Offset}] = rec
		}
	}
	return found, nil
}

// find reads records that were read or written before. One that the log does not
// show is gone if the log begins behind it. Otherwise it is looked for again: a
// broker that has just become the leader may show less, for a moment, than the one
// before it did. It says where the log ends only when it knows.
func (p *partition) find(ctx context.Context, topic string, offsets []int64) ([]push.Record, error) {
	const (
		looks = 10
		pause = 300 * time.Millisecond
	)
	var found []push.Record
	for look := 1; ; look++ {
		records, err := p.Log.Find(ctx, topic, p.number, offsets)
		if err != nil {
			return nil, err
		}
		found = append(found, records...)
		if len(records) == len(offsets) || look == looks {
			return found, nil
		}
		start, _, err := p.Positioner.Bounds(ctx, topic, p.number)
		if err != nil {
			return nil, err
		}
		offsets = slices.DeleteFunc(offsets, func(o int64) bool {
			return o < start || slices.ContainsFunc(records, func(r push.Record) bool { return r.Offset == o })
		})
		if len(offsets) == 0 {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err() //nolint:wrapcheck // wrapped by the caller
		case <-time.After(pause):
		}
	}
}

// parcels reads the records of requests that are to be carried, in the order of
// their offsets; what the log does not hold any more is left out. It blocks until it
// is done or ctx ends. For the courier; safe for concurrent use.
func (p *partition) parcels(ctx context.Context, offsets []int64) ([]push.Record, error) {
	records := make([]push.Record, 0, len(offsets))
	var missing []int64
	for _, at := range offsets {
		if rec, ok := p.fresh.get(at); ok {
			records = append(records, rec)
		} else {
			missing = append(missing, at)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		found, err := p.find(ctx, p.Topics.Requests, missing)
		if err != nil {
			return nil, fmt.Errorf("reading messages from %s: %w", p.Topics.Requests, err)
		}
		records = append(records, found...)
	}
	slices.SortFunc(records, func(a, b push.Record) int { return cmp.Compare(a.Offset, b.Offset) })
	return records, nil
}
