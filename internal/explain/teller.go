package explain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pushgate/internal/push"
)

// teller puts the story of one subject together. It keeps the newest messages that are
// asked for, and nothing of others.
type teller struct {
	*search
	subject subject
	gaps    []string

	lives map[lifeKey]*life
	// floor: lives that began before are not kept.
	floor   int64
	omitted bool

	offerings map[place]*offering
	waits     map[place]*wait
	settled   map[int32]int64 // of requests, by partition
	// connects are the newest sessions of the user.
	connects []connect
	// outcomes says that the outcome topic was written to; called, that some gateway
	// reads no requests.
	outcomes, called, delivered bool
	begins                      beginnings
}

// connect is a session that was opened.
type connect struct {
	at                time.Time
	node, kind, where string
}

func newTeller(s *search, one subject) *teller {
	return &teller{
		search: s, subject: one, lives: make(map[lifeKey]*life),
		offerings: make(map[place]*offering), waits: make(map[place]*wait), settled: make(map[int32]int64),
	}
}

// gap notes what could not be known. What is said for each of many records is said for
// the first of them.
func (t *teller) gap(format string, args ...any) {
	const most = 100
	if len(t.gaps) < most {
		t.gaps = append(t.gaps, fmt.Sprintf(format, args...))
	}
}

// read reads what there is, first the offerings: what the other topics say is said of
// them.
func (t *teller) read(ctx context.Context) error {
	settled, err := t.p.Log.Committed(ctx, t.p.Topics.Requests, t.subject.partitions)
	if err != nil {
		return fmt.Errorf("finding what is settled: %w", err)
	}
	t.settled = settled
	for _, do := range []func(context.Context, int32) error{t.requests, t.retry, t.deadLetters} {
		for _, number := range t.subject.partitions {
			if err := do(ctx, number); err != nil {
				return err
			}
		}
	}
	t.prune(t.ask.Limit)
	if len(t.lives) == 0 {
		return nil
	}
	for _, do := range []func(context.Context, int32) error{t.reports, t.receipts} {
		for _, number := range t.subject.partitions {
			if err := do(ctx, number); err != nil {
				return err
			}
		}
	}
	return t.handled(ctx)
}

// mine says whether a record is of the user asked for.
func (t *teller) mine(rec *push.Record) bool { return string(rec.Key) == t.subject.user }

// life finds or makes a life; nil where it is not asked for.
func (t *teller) life(id string, firstSeen time.Time) *life {
	key := lifeKey{id, firstSeen.UnixMilli()}
	if l := t.lives[key]; l != nil {
		return l
	}
	switch {
	case t.subject.id != "" && id != t.subject.id, !t.ask.Until.IsZero() && firstSeen.After(t.ask.Until):
		return nil
	case key.firstSeen < t.floor:
		t.omitted = true
		return nil
	}
	l := &life{lifeKey: key}
	t.lives[key] = l
	if len(t.lives) > 2*t.ask.Limit {
		t.prune(t.ask.Limit)
	}
	return t.lives[key]
}

// prune keeps the newest lives.
func (t *teller) prune(most int) {
	if len(t.lives) <= most {
		return
	}
	all := slices.SortedFunc(maps.Values(t.lives), func(a, b *life) int {
		return cmp.Or(cmp.Compare(b.firstSeen, a.firstSeen), strings.Compare(b.id, a.id))
	})
	for _, l := range all[most:] {
		delete(t.lives, l.lifeKey)
		for _, o := range l.offerings {
			delete(t.offerings, o.place)
		}
		for _, w := range l.waits {
			delete(t.waits, w.place)
		}
	}
	t.floor, t.omitted = all[most-1].firstSeen, true
}

// requests reads the offerings.
func (t *teller) requests(ctx context.Context, number int32) error {
	read, err := t.since(ctx, t.p.Topics.Requests, number, t.subject.since)
	if err != nil {
		return err
	}
	first, err := t.each(ctx, read, func(rec *push.Record) error {
		if t.mine(rec) {
			t.offering(rec, number)
		}
		return nil
	})
	t.noteTrimmed(read, first)
	return err
}

func (t *teller) offering(rec *push.Record, number int32) {
	m, invalid := push.ParseRequest(rec, t.p.Topics.Requests, t.p.Limits)
	m.Partition = number
	l := t.life(m.ID, m.FirstSeen)
	if l == nil {
		return
	}
	_, came := rec.Headers.Get(push.HeaderAttempt) // a custodian wrote it
	o := &offering{
		place: place{number, rec.Offset}, life: l, at: rec.Time.UTC(), attempt: m.Attempt, raw: m.Raw(),
		foreign: invalid == nil && push.Home(rec.Key, t.partitions) != number,
	}
	event := Event{Time: o.at, Where: placed(t.p.Topics.Requests, number, rec.Offset), attempt: o.attempt}
	switch {
	case !came && m.Replay.Count > 0:
		event.Kind = Replayed
		event.Text = fmt.Sprintf("given another life, number %d, after it had died of %s, by operation %s", m.Replay.Count+1, m.Replay.Reason, m.Replay.Operation)
	case !came:
		event.Kind, event.Text = Produced, t.produced(rec, &m)
	case m.EndsWait >= 0:
		event.Kind, event.Text = Offered, fmt.Sprintf("offered again, attempt %d, out of its wait", m.Attempt)
	case m.Order > 0 && m.Attempt <= 1:
		event.Kind, event.Text = Offered, "offered in its turn: the order of the user's messages is strict"
	case m.Attempt <= 1 || !l.isAt(number):
		event.Kind, event.Text = MovedHome, "moved to its user's home partition; it had been written to another one"
	default:
		event.Kind, event.Text = Offered, fmt.Sprintf("offered again, attempt %d: the user had connected meanwhile, or who had it was gone", m.Attempt)
	}
	if o.foreign {
		event.Text += "; not the home of its user, partition " + fmt.Sprint(push.Home(rec.Key, t.partitions)) + ": it is moved there"
	}
	if invalid != nil {
		event.Text += "; not valid: " + invalid.Error()
	}
	l.begun, l.strict = l.begun || !came, l.strict || m.Order > 0
	l.kind, l.expires, l.replay = m.Type, m.Expires.UTC(), m.Replay
	l.offerings = append(l.offerings, o)
	t.offerings[o.place] = o
	l.tell(event)
}

// isAt says whether the life is known in a partition already.
func (l *life) isAt(number int32) bool {
	return slices.ContainsFunc(l.offerings, func(o *offering) bool { return o.partition == number })
}

func (t *teller) produced(rec *push.Record, m *push.Message) string {
	text := fmt.Sprintf("produced: type %s, %d bytes", m.Type, len(rec.Value))
	if m.ContentType != "" {
		text += " of " + m.ContentType
	}
	if m.Source != "" {
		text += ", source " + m.Source
	}
	if m.TraceParent != "" {
		text += ", traceparent " + m.TraceParent
	}
	return text + ", lives until " + stamp(m.Expires)
}

// retry reads the waits: those of the time asked for, and whatever waits now.
func (t *teller) retry(ctx context.Context, number int32) error {
	topic := t.p.Topics.Retry
	read, err := t.since(ctx, topic, number, t.subject.since)
	if err != nil {
		return err
	}
	committed, err := t.p.Log.Committed(ctx, topic, []int32{number})
	if err != nil {
		return fmt.Errorf("finding what waits: %w", err)
	}
	start, end, err := t.p.Log.Bounds(ctx, topic, number)
	if err != nil {
		return fmt.Errorf("finding the bounds of %s/%d: %w", topic, number, err)
	}
	if at := committed[number]; at >= start && at < read.from && at <= end {
		read.from = at
	}
	first, err := t.each(ctx, read, func(rec *push.Record) error {
		if t.mine(rec) {
			t.retryRecord(rec, number)
		}
		return nil
	})
	t.noteTrimmed(read, first)
	return err
}

func (t *teller) retryRecord(rec *push.Record, number int32) {
	r, err := push.ParseRetry(rec)
	if err != nil {
		t.gap("%s is no record of a wait and was passed over", placed(t.p.Topics.Retry, number, rec.Offset))
		return
	}
	where := placed(t.p.Topics.Retry, number, rec.Offset)
	origin := place{number, r.Origin}
	w := t.waits[origin]
	if r.Ends {
		if w != nil && w.ended.IsZero() {
			w.ended = rec.Time.UTC()
			// It is written after what came of it.
			w.life.tell(Event{Time: w.ended, Kind: WaitEnded, Where: where, Text: "the wait is over", attempt: w.attempt + 1})
		}
		return
	}
	if w != nil && w.attempt == r.Attempt && w.life.id == r.ID {
		if w.ended.IsZero() {
			w.due, w.reason = r.Due.UTC(), r.Reason // written anew at the head of the log
		}
		return // else a write of it that had been given up has come after its end
	}
	l := t.life(r.ID, r.FirstSeen)
	if l == nil {
		return
	}
	w = &wait{
		place: origin, life: l, at: rec.Time.UTC(), attempt: r.Attempt, due: r.Due.UTC(), reason: r.Reason, after: t.offerings[origin],
	}
	if w.after != nil {
		w.after.wait = w
	}
	if l.kind == "" {
		l.kind, l.expires = r.Type, r.Expires.UTC()
	}
	l.strict = l.strict || r.Order > 0
	l.waits = append(l.waits, w)
	t.waits[origin] = w
	l.tell(Event{Time: w.at, Kind: WaitBegan, Where: where, attempt: w.attempt, Text: waits(&r)})
}

func waits(r *push.RetryEntry) string {
	failed := ""
	if r.Failures > 0 {
		failed = fmt.Sprintf(", %d failed", r.Failures)
	}
	if r.Reason == push.Offline && r.Order > 0 {
		return fmt.Sprintf("waits until the user connects, or for an earlier message of the same type (%s; offered %d times%s); tried again at %s at the latest", r.Reason, r.Attempt, failed, stamp(r.Due))
	}
	if r.Reason == push.Offline {
		return fmt.Sprintf("waits until the user connects for its type (%s; offered %d times%s); tried again at %s at the latest", r.Reason, r.Attempt, failed, stamp(r.Due))
	}
	return fmt.Sprintf("waits after %s (offered %d times%s), to be tried again at %s", r.Reason, r.Attempt, failed, stamp(r.Due))
}

// deadLetters reads the deaths.
func (t *teller) deadLetters(ctx context.Context, number int32) error {
	read, err := t.since(ctx, t.p.Topics.DeadLetter, number, t.subject.since)
	if err != nil {
		return err
	}
	first, err := t.each(ctx, read, func(rec *push.Record) error {
		if t.mine(rec) {
			t.deadLetter(rec, number)
		}
		return nil
	})
	t.noteTrimmed(read, first)
	return err
}

func (t *teller) deadLetter(rec *push.Record, number int32) {
	where := placed(t.p.Topics.DeadLetter, number, rec.Offset)
	d, err := push.ParseDeadLetter(rec)
	if err != nil {
		t.gap("%s is no dead letter and was passed over", where)
		return
	}
	l := t.life(d.ID, d.FirstSeen)
	if l == nil {
		return
	}
	if l.kind == "" {
		l.kind, l.expires = d.Type, d.Expires.UTC()
	}
	if d.Replay.Count > l.replay.Count {
		l.replay = d.Replay
	}
	l.dead = &death{reason: d.Reason, partition: number, offset: rec.Offset, at: rec.Time.UTC()}
	text := fmt.Sprintf("died: %s", d.Reason)
	if d.Error != "" {
		text += ": " + d.Error
	}
	l.tell(Event{Time: l.dead.at, Kind: Died, Where: where, attempt: d.Attempt, Text: text + fmt.Sprintf(" (decided by %s, offered %d times)", d.Node, d.Attempt)})
}

// reports reads the outcomes, where they are written.
func (t *teller) reports(ctx context.Context, number int32) error {
	if t.p.Topics.Outcomes == "" {
		return nil
	}
	read, err := t.since(ctx, t.p.Topics.Outcomes, number, t.earliest())
	if err != nil {
		return err
	}
	_, err = t.each(ctx, read, func(rec *push.Record) error {
		t.outcomes = true
		if !t.mine(rec) {
			return nil
		}
		r, err := push.ParseOutcome(rec)
		if err != nil {
			t.gap("%s is no outcome and was passed over", placed(t.p.Topics.Outcomes, number, rec.Offset))
			return nil //nolint:nilerr // said
		}
		if l := t.lives[lifeKey{r.ID, r.Accepted.UnixMilli()}]; l != nil {
			l.report = &r
			text := "outcome reported: " + r.Outcome.String()
			if why := r.Reason.String(); r.Reason != push.ReasonNone && why != r.Outcome.String() {
				text += ", " + why
			}
			l.tell(Event{
				Time: rec.Time.UTC(), Kind: Outcome, Where: placed(t.p.Topics.Outcomes, number, rec.Offset), attempt: r.Attempts,
				Text: fmt.Sprintf("%s, at %s, %s after it was accepted", text, r.Node, r.Settled.Sub(r.Accepted).Round(time.Millisecond)),
			})
		}
		return nil
	})
	return err
}

// earliest is when the first of what is told began, as far as it was read.
func (t *teller) earliest() time.Time {
	first := t.now
	for _, l := range t.lives {
		for _, o := range l.offerings {
			if o.at.Before(first) {
				first = o.at
			}
		}
		for _, w := range l.waits {
			if w.at.Before(first) {
				first = w.at
			}
		}
		if l.dead != nil && l.dead.at.Before(first) {
			first = l.dead.at
		}
	}
	return first
}

// noteTrimmed says that a log begins later than what is asked for.
func (t *teller) noteTrimmed(read stretch, first time.Time) {
	switch {
	case !read.trimmed:
	case first.IsZero():
		t.gap("%s/%d has lost everything it held: retention", read.topic, read.partition)
	case first.After(t.subject.since):
		t.gap("%s/%d begins at %s: what was written there before is gone", read.topic, read.partition, stamp(first))
	}
}
