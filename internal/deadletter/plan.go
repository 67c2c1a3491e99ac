package deadletter

import (
	"context"
	"errors"
	"io"
	"time"
)

// Plan is what an operation would do.
type Plan struct {
	// Matched = Would + the sum of Skipped.
	Matched int
	Would   int
	Skipped map[Skip]int
	// DieAgain is how many of Would died as invalid or too large and still are, by the
	// limits in force here.
	DieAgain int
	// Missing is how many of the letters that were named there are not.
	Missing int
	// Sample holds some of the letters that would be handled, cut as in a page.
	Sample    []Letter
	Malformed int
	HomeOnly  bool
}

// PlanReplay says what Replay would do. It reads all that the choice takes.
func (s *Store) PlanReplay(ctx context.Context, p ReplayParams) (Plan, error) {
	if err := p.validate(); err != nil {
		return Plan{}, err
	}
	now := time.Now()
	return s.plan(ctx, &p.Choice, func(l *Letter) verdict { return p.judge(l, s.limits, now) })
}

// PlanDiscard says what Discard would do. It reads all that the choice takes.
func (s *Store) PlanDiscard(ctx context.Context, p DiscardParams) (Plan, error) {
	if err := p.validate(); err != nil {
		return Plan{}, err
	}
	return s.plan(ctx, &p.Choice, func(l *Letter) verdict { return verdict{skip: p.judge(l)} })
}

func (s *Store) plan(ctx context.Context, c *Choice, judge func(*Letter) verdict) (Plan, error) {
	const sample = 20
	plan := Plan{Skipped: make(map[Skip]int), HomeOnly: len(c.Letters) == 0 && c.Filter.homeOnly()}
	src, err := s.source(ctx, c)
	if err != nil {
		return plan, err
	}
	defer src.close()
	for {
		letter, err := src.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if p, ok := src.(*picked); ok {
				plan.Missing = p.missing
			}
			return plan, nil
		case isMalformed(err):
			plan.Malformed++
			continue
		case err != nil:
			return plan, err
		case !c.about(&letter):
			continue
		}
		plan.Matched++
		v := judge(&letter)
		if v.skip != "" {
			plan.Skipped[v.skip]++
			continue
		}
		plan.Would++
		if v.hopeless {
			plan.DieAgain++
		}
		if len(plan.Sample) < sample {
			letter.preview()
			plan.Sample = append(plan.Sample, letter)
		}
	}
}

// about says whether a letter has the state that was asked for. With Open, what is
// handled is matched, and then left out: an operator sees how many.
func (c *Choice) about(l *Letter) bool {
	return c.Filter.State == Open || c.Filter.State.takes(l.State)
}

// source brings what a choice is about, whatever was done to it.
func (s *Store) source(ctx context.Context, c *Choice) (source, error) {
	if len(c.Letters) == 0 {
		return s.read(ctx, &c.Filter)
	}
	partitions, err := s.chosen(ctx, c)
	if err != nil {
		return nil, err
	}
	handled, err := s.handled(ctx, partitions)
	if err != nil {
		return nil, err
	}
	return &picked{store: s, handled: handled, places: pick(c.Letters)}, nil
}

// errNoOperations says that a store was made for looking only.
var errNoOperations = errors.New("nothing can be replayed or discarded here: the log of operations is not open")
