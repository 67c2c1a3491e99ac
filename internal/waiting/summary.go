package waiting

import (
	"context"
	"fmt"
	"time"
)

// Summary counts what waits.
type Summary struct {
	Total    int            `json:"total"`
	ByReason map[string]int `json:"by_reason"`
	// Oldest is when the message that is longest in the platform was first written;
	// NextDue when the next is offered again. Zero where nothing waits.
	Oldest      time.Time     `json:"oldest,omitzero"`
	NextDue     time.Time     `json:"next_due,omitzero"`
	ByPartition map[int32]int `json:"by_partition"`
	// Malformed records of the retry topic were passed over.
	Malformed int `json:"malformed,omitempty"`
}

// Summary reads all that a filter takes and counts it.
func (s *Store) Summary(ctx context.Context, f Filter) (Summary, error) {
	sum := Summary{ByReason: make(map[string]int), ByPartition: make(map[int32]int)}
	if err := f.check(); err != nil {
		return sum, err
	}
	numbers, err := s.partitions(ctx, f)
	if err != nil {
		return sum, err
	}
	leave, err := s.take(ctx)
	if err != nil {
		return sum, err
	}
	defer leave()
	now := time.Now()
	for _, number := range numbers {
		x, err := s.scan(ctx, number, f, now)
		if err != nil {
			return sum, fmt.Errorf("partition %d: %w", number, err)
		}
		sum.add(x)
	}
	return sum, nil
}

func (s *Summary) add(x *index) {
	s.Malformed += x.malformed
	if n := len(x.waits); n > 0 {
		s.Total += n
		s.ByPartition[x.partition] = n
	}
	for _, e := range x.waits {
		s.ByReason[e.reason.String()]++
		if seen := time.UnixMilli(e.firstSeen).UTC(); s.Oldest.IsZero() || seen.Before(s.Oldest) {
			s.Oldest = seen
		}
		if due := time.UnixMilli(e.due).UTC(); s.NextDue.IsZero() || due.Before(s.NextDue) {
			s.NextDue = due
		}
	}
}
