package deadletter

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// Choice says which letters an operation is about: Letters, or where there are none,
// what Filter takes. Of what was named by place, State of the filter decides whether
// handled letters are handled once more.
type Choice struct {
	Filter  Filter
	Letters []Place
}

// named says that letters were chosen one by one, and not by what they have in common.
func (c *Choice) named() bool { return len(c.Letters) > 0 || c.Filter.ID != "" }

// words are the choice for the record.
func (c *Choice) words() map[string]string {
	if len(c.Letters) == 0 {
		return c.Filter.Words()
	}
	const some = 100
	var b strings.Builder
	for i, at := range c.Letters {
		if i == some {
			_, _ = fmt.Fprintf(&b, ",… (%d in all)", len(c.Letters))
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		_, _ = fmt.Fprintf(&b, "%d/%d", at.Partition, at.Offset)
	}
	words := map[string]string{"letters": b.String()}
	if c.Filter.State != Open {
		words["state"] = c.Filter.State.String()
	}
	return words
}

// ReplayParams say what is to be replayed, and how.
type ReplayParams struct {
	Choice
	// Expired: also what has outlived its time to live.
	Expired bool
	// Again: also what died again, after a replay, for the same reason. Letters that
	// are named one by one (by place or id) are replayed in any case.
	Again bool
	// Rate of letters a second, 100 if not given.
	Rate float64
	// TTL from now on; 0: as long as the message had at first.
	TTL time.Duration
	// By is who, for the record; Force goes on though another operation runs over
	// the same partitions.
	By    string
	Force bool
	// OnProgress, if given, is called as soon as the operation is recorded as running,
	// then now and then, by the goroutine that replays.
	OnProgress func(operations.Operation)
}

// Skip is why a letter is left out.
type Skip string

// Why letters are left out.
const (
	SkipHandled   Skip = "handled"   // replayed or discarded already
	SkipExpired   Skip = "expired"   // outlived its time to live
	SkipAgain     Skip = "again"     // died again for the same reason after a replay
	SkipHopeless  Skip = "hopeless"  // invalid or too large, and still is
	SkipDiscarded Skip = "discarded" // an operator let the message die
)

const (
	defaultRate = 100
	leastRate   = 0.01 // below, nobody lives to see the next
)

func (p *ReplayParams) validate() error {
	switch {
	case p.Rate != 0 && p.Rate < leastRate:
		return &FilterError{fmt.Sprintf("rate %g: letters a second, %g or more", p.Rate, leastRate)}
	case p.TTL < 0:
		return &FilterError{fmt.Sprintf("ttl %s: longer than 0", p.TTL)}
	}
	return p.Filter.Validate()
}

func (p *ReplayParams) options() map[string]string {
	options := map[string]string{"rate": strconv.FormatFloat(p.rate(), 'g', -1, 64)}
	for name, set := range map[string]bool{"expired": p.Expired, "again": p.Again, "force": p.Force} {
		if set {
			options[name] = "true"
		}
	}
	if p.TTL > 0 {
		options["ttl"] = p.TTL.String()
	}
	return options
}

func (p *ReplayParams) rate() float64 {
	if p.Rate == 0 {
		return defaultRate
	}
	return p.Rate
}

// verdict is what becomes of a letter: left out for a reason, or not.
type verdict struct {
	skip Skip
	// hopeless: it is replayed, and will die again by the limits in force here.
	hopeless bool
}

// judge decides about a letter.
func (p *ReplayParams) judge(l *Letter, limits push.Limits, now time.Time) verdict {
	named := p.named()
	switch {
	case p.Filter.State == Open && l.State != operations.Open:
		return verdict{skip: SkipHandled}
	case l.Reason == push.Discarded && !named && p.Filter.Reason != push.Discarded:
		return verdict{skip: SkipDiscarded}
	case !p.Expired && (l.Reason == push.TimeToLive || l.Expires.After(l.FirstSeen) && !now.Before(l.Expires)):
		return verdict{skip: SkipExpired}
	case l.Again && !named && !p.Again:
		return verdict{skip: SkipAgain}
	case l.Reason == push.Invalid || l.Reason == push.TooLarge:
		hopeless := p.diesAgain(l, limits, now)
		if hopeless && !named && p.Filter.Reason != l.Reason {
			return verdict{skip: SkipHopeless}
		}
		return verdict{hopeless: hopeless}
	}
	return verdict{}
}

// diesAgain says whether the custodian would find the replay of a letter invalid,
// by the limits in force here.
func (p *ReplayParams) diesAgain(l *Letter, limits push.Limits, now time.Time) bool {
	rec := push.ReplayRecord(&l.rec, &l.DeadLetter, "plan", p.TTL, now)
	_, err := push.ParseRequest(&rec, "", limits)
	return err != nil
}

// Replay gives letters another life, oldest first, and blocks until all have one or
// ctx ends; it returns the operation as it was recorded last. Each request is durable
// before its letter counts as handled, so that an end at any moment gives repeats and
// never a loss; the same call again goes on where it ended. The end of ctx makes it
// "cancelled" where the cause is operations.ErrCancelled, else "interrupted"; the error
// is nil then, and returned where the operation failed or could not begin.
func (s *Store) Replay(ctx context.Context, p ReplayParams) (operations.Operation, error) {
	if err := p.validate(); err != nil {
		return operations.Operation{}, err
	}
	count, err := s.log.Partitions(ctx, s.topics.Requests)
	if err != nil {
		return operations.Operation{}, fmt.Errorf("finding the partitions of %s: %w", s.topics.Requests, err)
	}
	const (
		beats = 10  // batches a second
		most  = 500 // letters of a batch
	)
	return s.operate(ctx, work{
		choice: p.Choice,
		operation: operations.Operation{
			Kind: operations.Replay, By: p.By, Filter: p.words(), Options: p.options(),
		},
		force: p.Force, onProgress: p.OnProgress,
		rate: p.rate(), batch: min(max(int(p.rate()/beats), 1), most),
		judge: func(l *Letter) Skip { return p.judge(l, s.limits, time.Now()).skip },
		begin: func(id string) handler {
			return &sender{store: s, partitions: count, operation: id, ttl: p.TTL}
		},
	})
}
