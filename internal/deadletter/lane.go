package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pushgate/internal/push"
)

// lane is one partition in the making of a page. Kafka reads forwards only: newest
// first, it is read in stretches, each before the last one.
type lane struct {
	span
	newest bool
	// next bounds what is known: newest first, all from there on; else all below.
	next int64
	// bound is the time of the last record that was looked at: nothing unread comes
	// before it in the order of the page. Zero: nothing was looked at.
	bound time.Time
	// found are letters of what is known, in the order of the page.
	found []Letter
	step  int64 // offsets of the next stretch

	scanned   int64
	malformed int
}

// Stretches grow as long as one is read quickly.
const (
	firstStep = 256
	lastStep  = 1 << 14
	growth    = 4
	quick     = 25 * time.Millisecond
)

// before says whether a comes before b in the order of the page.
func (l *lane) before(a, b time.Time) bool {
	if l.newest {
		return a.After(b)
	}
	return a.Before(b)
}

func (l *lane) exhausted() bool {
	if l.newest {
		return l.next <= l.start
	}
	return l.next >= l.end
}

// position is where the next page goes on.
func (l *lane) position() int64 {
	switch {
	case len(l.found) == 0:
		return l.next
	case l.newest:
		return l.found[0].Offset + 1
	default:
		return l.found[0].Offset
	}
}

func (l *lane) take() Letter {
	first := l.found[0]
	l.found[0] = Letter{} // it may be large
	l.found = l.found[1:]
	return first
}

// read reads the next stretch.
func (l *lane) read(ctx context.Context, t *turn) error {
	began := time.Now()
	from, to := l.next, min(l.end, l.next+l.step)
	if l.newest {
		from, to = max(l.start, l.next-l.step), l.next
	}
	reader := t.store.log.NewReader(t.store.topics.DeadLetter, l.partition, from)
	defer reader.Close()
	known := stretch{lane: l, turn: t, from: from, to: to}
	for at := from; at < to && !known.full; {
		batch, err := reader.Read(ctx)
		if lost, ok := errors.AsType[*push.OffsetLostError](err); ok && lost.LogStart > at {
			at = lost.LogStart // trimmed while it is read
			l.start = max(l.start, at)
			reader.SeekTo(at)
			continue
		}
		if err != nil {
			return fmt.Errorf("reading dead letters: %w", err)
		}
		known.look(until(batch.Records, to))
		at = batch.Next
	}
	known.settle()
	if time.Since(began) < quick {
		l.step = min(growth*l.step, lastStep)
	}
	return nil
}

// stretch is what is read of a lane at once.
type stretch struct {
	lane     *lane
	turn     *turn
	from, to int64
	// found in the order of the page, at most as many as a page has.
	found []Letter
	// full: more was there than a page has; what is beyond is unknown again.
	full bool
	// bound is the time of the record that comes last in the order of the page, of
	// those that were looked at and are known.
	bound time.Time
}

// look takes in the records of one read.
func (s *stretch) look(records []push.Record) {
	if len(records) == 0 {
		return
	}
	if !s.lane.newest {
		for i := range records {
			s.bound = records[i].Time
			if s.match(&records[i], &s.found); len(s.found) == s.turn.limit {
				s.full = true
				return
			}
		}
		return
	}
	// Forward reads bring what comes last first: what an earlier read found goes behind
	// what this one does, and what is too much is dropped.
	var found []Letter
	cut := false
	for i := len(records) - 1; i >= 0 && !cut; i-- {
		s.match(&records[i], &found)
		cut = len(found) == s.turn.limit && i > 0
	}
	if cut {
		s.found = found
	} else {
		s.found = append(found, s.found...)
	}
	switch {
	case cut:
		s.forget()
	case len(s.found) > s.turn.limit:
		s.found = s.found[:s.turn.limit]
		s.forget()
	case s.bound.IsZero():
		s.bound = records[0].Time
	}
}

// forget makes unknown what lies before the last letter found.
func (s *stretch) forget() {
	last := &s.found[len(s.found)-1]
	s.from, s.bound = last.Offset, last.Written
}

// match appends a letter where the record is one, and the filter takes it.
func (s *stretch) match(rec *push.Record, into *[]Letter) {
	s.lane.scanned++
	f := &s.turn.query.Filter
	if !f.may(rec) {
		return
	}
	letter, err := letterOf(rec, s.lane.partition, s.turn.handled)
	switch {
	case err != nil:
		s.lane.malformed++
	case f.takes(&letter.DeadLetter) && f.State.takes(letter.State):
		letter.preview()
		*into = append(*into, letter)
	}
}

// preview cuts a letter to what a page has of it.
func (l *Letter) preview() {
	l.rec = push.Record{}
	l.Data = bytes.Clone(l.Data[:min(len(l.Data), PreviewBytes)])
	l.Error = strings.ToValidUTF8(strings.Clone(l.Error[:min(len(l.Error), PreviewBytes)]), "")
}

// settle gives the lane what the stretch has found.
func (s *stretch) settle() {
	l := s.lane
	l.found = s.found
	if !s.bound.IsZero() {
		l.bound = s.bound
	}
	switch {
	case l.newest:
		l.next = s.from
	case s.full:
		l.next = s.found[len(s.found)-1].Offset + 1
	default:
		l.next = s.to
	}
}
