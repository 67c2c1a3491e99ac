package explain

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/internal/push"
)

// subject is one user, or one user's messages of one id, and where to read about it.
type subject struct {
	user, id   string
	partitions []int32 // home, and where else a message was found
	since      time.Time
}

// search finds out what an Ask is about.
type search struct {
	*Explainer
	ask        Ask
	now        time.Time
	partitions int32

	mu   sync.Mutex
	gaps []string
}

func (s *search) gap(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps = append(s.gaps, fmt.Sprintf(format, args...))
}

// clockMargin is how far the clock of a producer that makes ids may differ from that
// of the brokers.
const clockMargin = time.Minute

// subjects finds whose messages are asked for, where and since when.
func (s *search) subjects(ctx context.Context) ([]subject, error) {
	since := s.ask.Since
	if since.IsZero() {
		since = s.now.Add(-DefaultSpan)
	}
	one := subject{user: s.ask.User, id: s.ask.ID, since: since}
	if one.id != "" {
		found, err := s.byPlace(ctx, one)
		if err != nil || found != nil {
			return found, err
		}
		if made, ok := push.IDTime(one.id); ok && s.ask.Since.IsZero() && made.Before(s.now) {
			one.since = made.Add(-clockMargin)
		}
	}
	if one.user == "" {
		return s.byID(ctx, one)
	}
	one.partitions = []int32{push.Home(one.user, s.partitions)}
	return []subject{one}, nil
}

// byPlace finds the message at a place, which is the id of one that its producer gave
// none; nil where the id is none, or the place holds it no more.
func (s *search) byPlace(ctx context.Context, one subject) ([]subject, error) {
	partition, offset, ok := s.placeOf(one.id)
	if !ok {
		return nil, nil
	}
	if partition >= s.partitions {
		s.gap("%s has partitions 0 to %d", s.p.Topics.Requests, s.partitions-1)
		return nil, nil
	}
	found, err := s.p.Log.Find(ctx, s.p.Topics.Requests, partition, []int64{offset})
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", one.id, err)
	}
	if len(found) == 0 {
		s.gap("%s is not in the log any more, or not yet: when its message was first written is not known", one.id)
		return nil, nil
	}
	rec := &found[0]
	if user := string(rec.Key); one.user == "" {
		one.user = user
	} else if one.user != user {
		return nil, &BadRequestError{fmt.Sprintf("%s was not written for that user", one.id)}
	}
	m, _ := push.ParseRequest(rec, s.p.Topics.Requests, s.p.Limits) // an invalid one has an id, too
	if m.ID != "" {
		one.id = m.ID
	}
	if s.ask.Since.IsZero() {
		if one.since = rec.Time; !m.FirstSeen.IsZero() && m.FirstSeen.Before(rec.Time) {
			one.since = m.FirstSeen // it is an offering again
		}
	}
	one.partitions = []int32{partition}
	if home := push.Home(one.user, s.partitions); one.user != "" && home != partition {
		one.partitions = append(one.partitions, home)
	}
	return []subject{one}, nil
}

// placeOf reads an id that the platform made out of a place in the request topic.
func (s *search) placeOf(id string) (partition int32, offset int64, ok bool) {
	rest, ok := strings.CutPrefix(id, s.p.Topics.Requests+"/")
	if !ok {
		return 0, 0, false
	}
	a, b, _ := strings.Cut(rest, "/")
	number, err1 := strconv.ParseInt(a, 10, 32)
	offset, err2 := strconv.ParseInt(b, 10, 64)
	if err1 != nil || err2 != nil || number < 0 || offset < 0 {
		return 0, 0, false
	}
	return int32(number), offset, true
}

// byID looks for an id in all partitions. Where it says when it was made, it is looked
// for shortly after that first: most messages are written as soon as they have an id.
func (s *search) byID(ctx context.Context, one subject) ([]subject, error) {
	const soon = 10 * time.Minute
	f := finding{id: one.id, users: make(map[string]*subject)}
	until := s.now.Add(time.Hour) // whatever is there
	if _, ok := push.IDTime(one.id); ok && s.ask.Since.IsZero() {
		until = one.since.Add(soon)
	}
	for _, look := range []struct {
		topic    string
		from, to time.Time
	}{
		{s.p.Topics.Requests, one.since, until},
		{s.p.Topics.Requests, until, s.now.Add(time.Hour)},
		{s.p.Topics.Retry, one.since, s.now.Add(time.Hour)},
		{s.p.Topics.DeadLetter, one.since, s.now.Add(time.Hour)},
	} {
		if !look.from.Before(s.now) {
			continue
		}
		if err := s.lookFor(ctx, &f, look.topic, look.from, look.to); err != nil {
			return nil, err
		}
		if len(f.users) > 0 {
			break
		}
	}
	if len(f.users) == 0 {
		s.gap("no message with the id %s was found in any partition since %s", one.id, stamp(one.since))
	}
	if f.more {
		s.gap("the id is used for more than %d users: the others are left out", maxUsers)
	}
	var all []subject
	for _, user := range slices.Sorted(maps.Keys(f.users)) {
		found := *f.users[user]
		found.since = one.since
		if home := push.Home(user, s.partitions); user != "" && !slices.Contains(found.partitions, home) {
			found.partitions = append(found.partitions, home)
		}
		all = append(all, found)
	}
	return all, nil
}

// maxUsers bounds for how many users a story of one id is told.
const maxUsers = 10

// finding is where an id was found.
type finding struct {
	id    string
	mu    sync.Mutex
	users map[string]*subject
	more  bool
}

// lookFor looks for an id in what was written to a topic between two times.
func (s *search) lookFor(ctx context.Context, f *finding, topic string, from, to time.Time) error {
	const concurrent = 4
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrent)
	for number := range s.partitions {
		group.Go(func() error {
			read, err := s.since(ctx, topic, number, from)
			if err != nil {
				return err
			}
			first, err := s.each(ctx, read, func(rec *push.Record) error {
				if rec.Time.After(to) {
					return errEnough
				}
				if bears(rec, f.id) {
					f.add(rec, number)
				}
				return nil
			})
			if read.trimmed && topic == s.p.Topics.Requests && first.After(from) {
				s.trimmed(read, first)
			}
			return err
		})
	}
	return group.Wait()
}

func (f *finding) add(rec *push.Record, partition int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	user := string(rec.Key)
	one := f.users[user]
	if one == nil {
		if len(f.users) == maxUsers {
			f.more = true
			return
		}
		one = &subject{user: user, id: f.id}
		f.users[user] = one
	}
	if !slices.Contains(one.partitions, partition) {
		one.partitions = append(one.partitions, partition)
	}
}

// bears says whether a record bears an id, without understanding all of it.
func bears(rec *push.Record, id string) bool {
	for key, value := range rec.Headers.All() {
		if string(value) == id && (string(key) == push.HeaderID || string(key) == push.HeaderMessageID) {
			return true
		}
	}
	return false
}

// trimmed notes that a log begins too late.
func (s *search) trimmed(read stretch, first time.Time) {
	s.gap("%s/%d begins at %s: what was written there before is gone", read.topic, read.partition, stamp(first))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
