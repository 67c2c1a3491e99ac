package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// maxLookups bounds how many operations are looked up for one story.
const maxLookups = 50

// handled tells what operators did about the dead letters of the story.
func (t *teller) handled(ctx context.Context) error {
	if t.p.Operations == nil {
		return nil
	}
	dead := make(map[int32]bool)
	for _, l := range t.lives {
		if l.dead != nil {
			dead[l.dead.partition] = true
		}
	}
	if len(dead) == 0 {
		return nil
	}
	letters, err := t.p.Operations.Letters(ctx, slices.Collect(maps.Keys(dead)))
	if err != nil {
		return fmt.Errorf("finding what operators did: %w", err)
	}
	known := make(map[string]operations.Operation)
	looked := 0
	for _, l := range t.lives {
		if l.dead == nil || letters.Of(l.dead.partition, l.dead.offset, l.dead.at) == operations.Open {
			continue
		}
		if looked++; looked > maxLookups {
			t.gap("more than %d dead letters of this story were handled by operators: by whom is not told of the others", maxLookups)
			return nil
		}
		if err := t.handledLetter(ctx, l, known); err != nil {
			return err
		}
	}
	return nil
}

func (t *teller) handledLetter(ctx context.Context, l *life, known map[string]operations.Operation) error {
	id, how, err := t.p.Operations.By(ctx, l.dead.partition, l.dead.offset)
	if err != nil {
		return fmt.Errorf("finding what operators did: %w", err)
	}
	if how == operations.Open {
		return nil
	}
	op, ok := known[id]
	if !ok {
		op, err = t.p.Operations.Get(ctx, id)
		if _, gone := errors.AsType[*operations.NotFoundError](err); err != nil && !gone {
			return fmt.Errorf("finding what operators did: %w", err)
		}
		known[id] = op
	}
	text := fmt.Sprintf("the dead letter was %s by %s (operation %s)", how, cmp.Or(op.By, "somebody"), id)
	if op.Why != "" {
		text += ": " + op.Why
	}
	at := op.Began.UTC()
	if at.Before(l.dead.at) { // the operation took long, or is not known any more
		at = l.dead.at
	}
	l.tell(Event{Time: at, Kind: Operator, Where: "operation " + id, Text: text, attempt: maxEvents})
	return nil
}

// tell makes the stories out of what was read.
func (t *teller) tell() []MessageStory {
	lives := slices.SortedFunc(maps.Values(t.lives), func(a, b *life) int {
		return cmp.Or(cmp.Compare(a.firstSeen, b.firstSeen), strings.Compare(a.id, b.id))
	})
	var stories []MessageStory
	last := make(map[string]int) // by id, the story that a replay goes on with
	for _, l := range lives {
		t.complete(l)
		if l.stale(t.subject.since) {
			continue
		}
		at, again := last[l.id]
		if !again || l.replay.Count == 0 {
			at = len(stories)
			stories = append(stories, MessageStory{ID: l.id, User: t.subject.user})
			last[l.id] = at
			t.missing(l)
		}
		s := &stories[at]
		s.Type, s.FirstSeen, s.Expires, s.Outcome = l.kind, l.firstTime(), l.expires, t.outcomeOf(l)
		s.Events = append(s.Events, l.sorted()...)
		if l.dropped > 0 {
			t.gap("message %s has more than %d events: %d in the middle are left out", l.id, maxEvents, l.dropped)
		}
	}
	for i := range stories {
		slices.SortStableFunc(stories[i].Events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	}
	t.general(len(stories))
	return stories
}

// stale says whether nothing was done about the message in the time asked for, and
// nothing is to be done: it was found on the way to what waits.
func (l *life) stale(since time.Time) bool {
	return l.waiting() == nil && !slices.ContainsFunc(l.events, func(e Event) bool { return !e.Time.Before(since) })
}

// complete adds what can be told only when everything was read.
func (t *teller) complete(l *life) {
	for _, o := range l.offerings {
		t.whoPassed(l, o)
	}
	first, last := l.span()
	for _, c := range t.connects {
		if c.at.Before(first) || c.at.After(last) || !push.Takes(c.kind, l.kind) {
			continue
		}
		l.tell(Event{Time: c.at, Kind: Connected, Where: c.node, Text: fmt.Sprintf("the user connected at %s for %s (%s)", c.node, types(c.kind), c.where), attempt: l.attemptAt(c.at)})
	}
}

// attemptAt is the attempt that was going on at a time. What is of the same
// millisecond, the connecting has brought about.
func (l *life) attemptAt(at time.Time) int {
	attempt := 0
	for _, e := range l.events {
		if e.Time.Before(at) && e.Kind != Operator {
			attempt = max(attempt, e.attempt)
		}
	}
	return attempt
}

func types(kind string) string {
	if kind == push.AllTypes {
		return "all types"
	}
	return "type " + kind
}

// span is the time in which the life was going on.
func (l *life) span() (first, last time.Time) {
	for i := range l.events {
		at := l.events[i].Time
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	if l.waiting() != nil {
		last = last.AddDate(1, 0, 0) // whatever came since
	}
	return first, last
}

// whoPassed tells who did not hold the user, where that is why the message waits, or
// where nothing else is known.
func (t *teller) whoPassed(l *life, o *offering) {
	var passed, silent []string
	at := time.Time{}
	for _, g := range o.nodes {
		switch {
		case g.answers() && !g.ended:
			silent = append(silent, g.node)
		case g.listed():
			return // somebody has it, or had it
		case !g.passed.IsZero():
			passed = append(passed, g.node)
			if g.passed.After(at) {
				at = g.passed
			}
		}
	}
	if o.wait != nil && len(silent) > 0 {
		l.tell(Event{
			Time: o.wait.at, Kind: GatewayEnded, Where: strings.Join(silent, ", "), attempt: o.attempt,
			Text: strings.Join(silent, ", ") + " had it, and was not heard of any more",
		})
		return
	}
	if refused := l.dead != nil && (l.dead.reason == push.Invalid || l.dead.reason == push.TooLarge); refused {
		return // nobody was asked
	}
	if len(passed) == 0 || o.wait != nil && o.wait.reason != push.Offline || len(silent) > 0 {
		return
	}
	const some = 8
	names := strings.Join(passed[:min(len(passed), some)], ", ")
	if more := len(passed) - some; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	if o.wait != nil && at.After(o.wait.at) {
		at = o.wait.at
	}
	l.tell(Event{
		Time: at, Kind: NotHeld, Where: names, attempt: o.attempt,
		Text: names + " had read past it and did not hold the user, or not for type " + l.kind,
	})
}

// outcomeOf says what became of a life.
func (t *teller) outcomeOf(l *life) string {
	switch {
	case l.report != nil:
		return l.report.Outcome.String()
	case !l.delivered.IsZero():
		return push.Delivered.String()
	case l.dead != nil && l.dead.reason == push.TimeToLive:
		return push.Expired.String()
	case l.dead != nil:
		return push.DeadLettered.String()
	case l.waiting() != nil:
		return Waiting
	case slices.ContainsFunc(l.offerings, func(o *offering) bool { return o.offset >= t.settled[o.partition] }):
		return UnderWay
	case t.p.DropExpired && t.now.After(l.expires):
		return push.Expired.String()
	default:
		return Unknown
	}
}

// missing notes what of the beginning of a message was not read.
func (t *teller) missing(l *life) {
	if l.begun {
		return
	}
	moved := slices.ContainsFunc(l.events, func(e Event) bool { return e.Kind == MovedHome })
	switch {
	case moved:
		t.begins.elsewhere = append(t.begins.elsewhere, l.id)
	case l.firstTime().Before(t.subject.since):
		t.begins.before = append(t.begins.before, l.id)
	default:
		t.begins.gone = append(t.begins.gone, l.id)
	}
}

// beginnings are messages whose first record was not read.
type beginnings struct{ elsewhere, before, gone []string }

func (t *teller) tellMissing() {
	if ids := t.begins.elsewhere; len(ids) > 0 {
		t.gap("%s had been written to another partition than its user's home: when it came home is known, where it had been is not. Asked for by id alone, all partitions are looked through", named(ids))
	}
	if ids := t.begins.before; len(ids) > 0 {
		t.gap("%s began before %s, from where on the log was read: --since, or asking for the id, tells more", named(ids), stamp(t.subject.since))
	}
	if ids := t.begins.gone; len(ids) > 0 {
		t.gap("the first record of %s was not found: it is gone, or stands in another partition than its user's home", named(ids))
	}
}

// named names messages, or some of many.
func named(ids []string) string {
	const some = 3
	if more := len(ids) - some; more > 0 {
		return fmt.Sprintf("messages %s and %d more", strings.Join(ids[:some], ", "), more)
	}
	if len(ids) > 1 {
		return "messages " + strings.Join(ids, ", ")
	}
	return "message " + ids[0]
}

// general says what no story can tell.
func (t *teller) general(stories int) {
	if t.omitted {
		t.gap("there are more messages: the %d that were first written last are told. --limit tells more", stories)
	}
	if stories == 0 {
		t.gap("nothing was found of it since %s in partition %s, the home of user %q. What a producer writes elsewhere and is not valid stays there",
			stamp(t.subject.since), numbers(t.subject.partitions), t.subject.user)
		return
	}
	t.tellMissing()
	if !t.outcomes && t.p.Topics.Outcomes != "" {
		t.gap("no outcome was reported in that time: outcomes.enabled is not true on the nodes, or the records are gone. What became of a message is told by receipts and dead letters")
	}
	if t.delivered {
		t.gap("receipts name the node, not the connection: which device had it is not known")
	}
	if t.called {
		t.gap("gateways that are called read no requests (routing.mode targeted): whom the custodian looked up and called in vain stands in no log")
	}
}

func numbers(partitions []int32) string {
	var texts []string
	for _, p := range partitions {
		texts = append(texts, fmt.Sprint(p))
	}
	return strings.Join(texts, ", ")
}
