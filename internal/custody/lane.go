package custody

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/push"
)

// laneKinds groups the actions whose writes must keep their order: those that go
// to the same partition of the same topic.
var laneKinds = [...][]ActionKind{ //nolint:gochecknoglobals // a constant table
	{MakeWait, EndWait},
	{Offer},
	{DeadLetter},
	{MoveHome},
	{WriteOutcome},
}

// maxLaneBatch bounds what one write takes together.
const maxLaneBatch = 512

// lane carries out one kind of action, a batch at a time; what comes together
// while it writes goes into the next batch.
type lane struct {
	*partition
	index int
	kinds []ActionKind
	name  string
	queue []Action // owned by the loop
	busy  bool     // owned by the loop
	work  chan []Action

	writing atomic.Int64 // since when, Unix nanoseconds; 0 while idle
}

type laneResult struct {
	lane    int
	written []written
}

// written is what became of one action.
type written struct {
	action  Action
	at      int64
	lost    bool
	refused string
}

func newLane(index int, kinds []ActionKind, p *partition) *lane {
	l := &lane{partition: p, index: index, kinds: kinds, work: make(chan []Action, 1)}
	l.name = l.topic()
	return l
}

func (p *partition) laneOf(k ActionKind) *lane {
	return p.lanes[slices.IndexFunc(p.lanes, func(l *lane) bool { return slices.Contains(l.kinds, k) })]
}

func (l *lane) topic() string {
	switch l.kinds[0] {
	case MakeWait, EndWait:
		return l.Topics.Retry
	case DeadLetter:
		return l.Topics.DeadLetter
	case Offer, MoveHome:
		return l.Topics.Requests
	case WriteOutcome:
		return l.Topics.Outcomes
	}
	return ""
}

func (l *lane) writingSince() time.Duration {
	since := l.writing.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

func (l *lane) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case actions := <-l.work:
			l.writing.Store(time.Now().UnixNano())
			result, err := l.carryOut(ctx, actions)
			l.writing.Store(0)
			if err != nil {
				return err // only the context ends a write
			}
			l.results <- laneResult{lane: l.index, written: result}
		}
	}
}

// carryOut writes the actions, in order. It returns an error only when ctx ended.
func (l *lane) carryOut(ctx context.Context, actions []Action) ([]written, error) {
	sources, err := l.sources(ctx, actions)
	if err != nil {
		return nil, err
	}
	result := make([]written, 0, len(actions))
	byPartition := make(map[int32][]int) // indices into result
	records := make([]push.Record, len(actions))
	for i, a := range actions {
		w := written{action: a}
		rec, ok := l.record(a, sources)
		if ok {
			records[i] = rec
			to := l.number
			if a.Kind == MoveHome {
				to = a.Home
			}
			byPartition[to] = append(byPartition[to], i)
		} else {
			w.lost = true
		}
		result = append(result, w)
	}
	for to, indices := range byPartition {
		if err := l.write(ctx, to, indices, records, result); err != nil {
			return nil, err
		}
	}
	for i := range result {
		if w := &result[i]; w.action.Kind == MakeWait && !w.lost && w.refused == "" {
			l.waits.put(w.at, records[i])
		}
	}
	l.traces.died(l.number, result, records)
	return result, nil
}

// write produces the records with these indices to one partition. Where the
// broker refuses the batch, it goes record by record, so that one bad record
// does not hold up the others.
func (l *lane) write(ctx context.Context, to int32, indices []int, records []push.Record, result []written) error {
	batch := make([]push.Record, 0, len(indices))
	for _, i := range indices {
		batch = append(batch, records[i])
	}
	offsets, err := l.Log.Produce(ctx, l.topic(), to, batch)
	var refused *push.RejectedError
	switch {
	case err == nil:
		for n, i := range indices {
			result[i].at = offsets[n]
		}
		return nil
	case !errors.As(err, &refused):
		return fmt.Errorf("writing to %s: %w", l.topic(), err)
	case len(indices) > 1:
		for _, i := range indices {
			if err := l.write(ctx, to, []int{i}, records, result); err != nil {
				return err
			}
		}
		return nil
	}
	i := indices[0]
	if k := result[i].action.Kind; k != DeadLetter && k != EndWait && k != WriteOutcome {
		result[i].refused = refused.Error()
		return nil
	}
	// No other place is left: stall, say so, and try again until somebody has
	// mended the topic.
	l.log.Error("the broker refuses a record that has to be written; the partition stalls until its topic takes it",
		zap.String("topic", l.topic()), zap.String("user", result[i].action.User), zap.Error(err))
	const pause = 5 * time.Second
	select {
	case <-ctx.Done():
		return fmt.Errorf("writing to %s: %w", l.topic(), ctx.Err())
	case <-time.After(pause):
		return l.write(ctx, to, indices, records, result)
	}
}

// record makes what an action writes; false when its message is gone.
func (l *lane) record(a Action, sources map[source]push.Record) (push.Record, bool) {
	if !a.needsSource() {
		if a.Kind == WriteOutcome {
			return l.outcome(a.Report), true
		}
		return push.EndRecord(a.User, a.Origin), true
	}
	src, ok := sources[sourceOf(a)]
	if !ok {
		return push.Record{}, false
	}
	m, _ := push.ParseRequest(&src, l.Topics.Requests, push.Limits{DefaultTTL: l.Limits.DefaultTTL}) // judged before
	lineage := m.Lineage()
	lineage.Attempt, lineage.Failures, lineage.Order, lineage.MayRepeat = a.Attempt, a.Failures, a.Order, a.MayRepeat
	endsWait := push.NoWait
	if a.FromRetry {
		endsWait = a.Origin
	}
	switch a.Kind {
	case MakeWait:
		return push.WaitRecord(&src, push.Wait{Lineage: lineage, Origin: a.Origin, Reason: a.Reason, Due: a.Due}), true
	case Offer:
		return push.OfferRecord(&src, lineage, endsWait), true
	case MoveHome:
		// The wait it ends is of this partition, and means nothing at home.
		return push.OfferRecord(&src, lineage, push.NoWait), true
	case DeadLetter:
		return push.DeadLetterRecord(&src, push.Death{
			Lineage: lineage, Reason: a.Reason, Error: a.Text,
			OriginTopic: l.Topics.Requests, OriginPartition: l.number, OriginOffset: a.Origin,
			At: time.Now(), Node: l.Node,
		}), true
	case WriteOutcome:
		a.Report.ID, a.Report.Accepted, a.Report.User = lineage.ID, lineage.FirstSeen, string(src.Key)
		return l.outcome(a.Report), true
	case EndWait:
	}
	return push.Record{}, false
}

// needsSource says whether the message is copied, or looked into, for the write.
func (a Action) needsSource() bool {
	return a.Kind != EndWait && (a.Kind != WriteOutcome || a.Report.ID == "")
}

func (l *lane) outcome(r push.OutcomeReport) push.Record {
	r.Partition = l.number
	if r.Node == "" {
		r.Node = l.Node
	}
	return push.OutcomeRecord(&r)
}
