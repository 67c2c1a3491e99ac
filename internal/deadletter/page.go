package deadletter

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/internal/operations"
)

// Order of a page.
type Order uint8

// Newest first is for people, oldest first for what goes through all.
const (
	NewestFirst Order = iota
	OldestFirst
)

// Query asks for a page.
type Query struct {
	Filter Filter
	Order  Order
	// Limit of letters, 50 if not given, at most MaxPage.
	Limit int
	// Cursor of the page before; empty: the first.
	Cursor string
}

// Limits of a page.
const (
	MaxPage     = 1000
	defaultPage = 50
	// pageTime is how long a page reads: after that it returns what it has.
	pageTime = 800 * time.Millisecond
	// readers of a page at once.
	readers = 4
)

// Page is a part of what a search finds.
type Page struct {
	Letters []Letter
	// Next is the cursor of the page after this one; empty at the end.
	Next string
	// Scanned is how many records were looked at for this page.
	Scanned int64
	// Complete says that the page is full, or the last one. Else the time a page may
	// take was over: go on with Next.
	Complete bool
	// Malformed is how many records were passed over that are no dead letters.
	Malformed int
	// HomeOnly: only the home of the user was read, see Filter.Everywhere.
	HomeOnly bool
}

// CursorError says that a cursor is none, or that of another search.
type CursorError struct{ Text string }

func (e *CursorError) Error() string { return e.Text }

// Page returns a part of what a search finds. It reads for some 800 ms and returns
// what it has by then. In memory it holds the letters of one page, cut, for each
// partition, and one stretch of a partition for each of its readers. Letters that
// come in meanwhile do not change what the pages after it show. A bad query is a
// *FilterError or a *CursorError.
func (s *Store) Page(ctx context.Context, q Query) (Page, error) {
	turn, err := s.turn(ctx, q, time.Now().Add(pageTime))
	if err != nil {
		return Page{}, err
	}
	page := Page{HomeOnly: q.Filter.homeOnly()}
	for len(page.Letters) < turn.limit {
		unread := turn.unread()
		if len(unread) == 0 {
			first := turn.first()
			if first == nil {
				break // the end
			}
			page.Letters = append(page.Letters, first.take())
			continue
		}
		if turn.late() {
			break
		}
		if err := turn.read(ctx, unread); err != nil {
			return Page{}, err
		}
	}
	end := true
	at := make(cursor, len(turn.lanes))
	for _, l := range turn.lanes {
		at[l.partition] = l.position()
		end = end && l.exhausted() && len(l.found) == 0
		page.Scanned += l.scanned
		page.Malformed += l.malformed
	}
	page.Complete = end || len(page.Letters) == turn.limit
	if !end {
		page.Next = turn.query.encode(at)
	}
	return page, nil
}

// turn is the making of one page.
type turn struct {
	store    *Store
	query    Query
	limit    int
	handled  *operations.Letters
	lanes    []*lane
	deadline time.Time
	reads    int
}

func (s *Store) turn(ctx context.Context, q Query, deadline time.Time) (*turn, error) {
	if err := q.Filter.Validate(); err != nil {
		return nil, err
	}
	if q.Limit < 0 || q.Limit > MaxPage {
		return nil, &FilterError{fmt.Sprintf("limit %d: use 1 to %d", q.Limit, MaxPage)}
	}
	at, err := q.decode()
	if err != nil {
		return nil, err
	}
	partitions, err := s.partitions(ctx, &q.Filter)
	if err != nil {
		return nil, err
	}
	handled, err := s.handled(ctx, partitions)
	if err != nil {
		return nil, err
	}
	spans, err := s.spans(ctx, &q.Filter, partitions)
	if err != nil {
		return nil, err
	}
	t := &turn{store: s, query: q, limit: q.Limit, handled: handled, deadline: deadline}
	if t.limit == 0 {
		t.limit = defaultPage
	}
	for _, one := range spans {
		t.lanes = append(t.lanes, newLane(one, q.Order, at))
	}
	return t, nil
}

// newLane goes on where a cursor says. A partition the cursor does not know was added
// since: its letters are newer than what comes next, newest first.
func newLane(one span, order Order, at cursor) *lane {
	l := &lane{span: one, step: firstStep}
	l.newest = order == NewestFirst
	position, known := at[one.partition]
	switch {
	case l.newest && at == nil:
		l.next = one.end
	case l.newest && !known:
		l.next = one.start
	case l.newest:
		l.next = min(position, one.end)
	case known:
		l.next = max(position, one.start)
	default:
		l.next = one.start
	}
	return l
}

// late says whether the time is over. A page reads at least once, so that a search
// gets on however slow the brokers are.
func (t *turn) late() bool { return t.reads > 0 && time.Now().After(t.deadline) }

// first returns the lane whose letter comes next; nil at the end.
func (t *turn) first() *lane {
	var first *lane
	for _, l := range t.lanes {
		if len(l.found) > 0 && (first == nil || l.before(l.found[0].Written, first.found[0].Written)) {
			first = l
		}
	}
	return first
}

// unread returns the lanes that may hold a letter which comes before all that were
// found, most urgent first.
func (t *turn) unread() []*lane {
	first := t.first()
	var list []*lane
	for _, l := range t.lanes {
		switch {
		case len(l.found) > 0 || l.exhausted():
		case first == nil || l.bound.IsZero() || !l.before(first.found[0].Written, l.bound):
			list = append(list, l)
		}
	}
	slices.SortStableFunc(list, func(a, b *lane) int {
		switch {
		case a.bound.Equal(b.bound):
			return 0
		case a.bound.IsZero() || !b.bound.IsZero() && a.before(a.bound, b.bound):
			return -1
		default:
			return 1
		}
	})
	return list
}

// read reads a stretch of each of some lanes, as far as time allows: of the first one
// in any case.
func (t *turn) read(ctx context.Context, lanes []*lane) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i, l := range lanes {
		if i > 0 && time.Now().After(t.deadline) {
			break
		}
		t.reads++
		group.Go(func() error { return l.read(ctx, t) })
	}
	return group.Wait()
}
