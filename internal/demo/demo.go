package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"pushgate/internal/push"
)

// Publisher writes requests as any producer would. Publish returns when Kafka
// has the record, or when ctx ends; it is safe for concurrent use.
type Publisher interface {
	Publish(ctx context.Context, rec push.Record) (partition int32, offset int64, err error)
}

// DeadLetter is a message that died, and its bytes.
type DeadLetter struct {
	push.DeadLetter
	Data []byte
}

// Topics are what the story is checked against: the platform's own word. Every
// method blocks until it is done or ctx ends; one goroutine calls them.
type Topics interface {
	// Retries returns what push.retry says about a user since the demonstration
	// began, oldest first.
	Retries(ctx context.Context, user string) ([]push.RetryEntry, error)
	// DeadLetters returns what died since the demonstration began.
	DeadLetters(ctx context.Context) ([]DeadLetter, error)
	// Settled says whether every request that was there when it was called has
	// come to its outcome or stands somewhere else by now.
	Settled(ctx context.Context) (bool, error)
}

// Params of a demonstration.
type Params struct {
	// Gateway is its address, as ws://host:port.
	Gateway string
	// Token returns the token a user connects with; empty where none is needed.
	Token     func(user string) (string, error)
	Publisher Publisher
	Topics    Topics
	// Partitions of the request topic.
	Partitions int32
	// ListDeadLetters returns the command that lists a user's dead letters, and
	// what that command prints.
	ListDeadLetters func(ctx context.Context, user string) (command, output string, err error)
	Out             io.Writer
}

// patience bounds each act: the longest takes a few seconds.
const patience = 20 * time.Second

// stage is what all acts share.
type stage struct {
	Params
	teller
	book    *book
	run     string // sets the users of this run apart from those of others
	users   []string
	devices []*device
}

// Run plays the story and returns when it has been told, its clients gone. It
// returns an error as soon as something does not happen as it should, or ctx
// ends.
func Run(ctx context.Context, p Params) error {
	const runLength = 4
	s := &stage{
		Params: p, teller: teller{out: p.Out}, book: newBook(),
		run: strings.ToLower(rand.Text()[:runLength]),
	}
	defer s.dismiss()
	s.say("A demonstration, of about ten seconds: built-in clients, and a stream of order events for them.")
	s.say("The users of this run are alice-%s, bob-%s and so on.", s.run, s.run)
	acts := []struct {
		title string
		play  func(context.Context) error
	}{
		{"Delivered", s.delivered},
		{"Offline, then delivered on connecting", s.offline},
		{"A slow client", s.slow},
		{"No acknowledgement, tried again", s.retried},
		{"Dead letters", s.died},
		{"The ledger", s.ledger},
	}
	for i, act := range acts {
		s.title(i+1, act.title)
		if s.err != nil {
			return s.err // nobody listens
		}
		if err := play(ctx, act.play); err != nil {
			return fmt.Errorf("part %d (%s): %w", i+1, strings.ToLower(act.title), err)
		}
	}
	return s.err
}

// errTooLong says why the context of an act ended.
var errTooLong = fmt.Errorf("not within %s (are there settings of your own for session, retry, custody or message? The story counts on those of dev --demo)", patience)

func play(ctx context.Context, act func(context.Context) error) error {
	bounded, cancel := context.WithTimeoutCause(ctx, patience, errTooLong)
	defer cancel()
	return act(bounded)
}

// user returns the name of somebody in this run.
func (s *stage) user(name string) string {
	user := name + "-" + s.run
	s.users = append(s.users, user)
	return user
}

// neighbour returns the name of somebody who lives in the partition of another.
func (s *stage) neighbour(name, of string) string {
	home := push.Home(of, s.Partitions)
	for n := 2; ; n++ {
		user := fmt.Sprintf("%s-%s-%d", name, s.run, n)
		if push.Home(user, s.Partitions) == home {
			s.users = append(s.users, user)
			return user
		}
	}
}

// eventually looks until done says so. What is awaited is named for the error;
// done says how far it has come.
func eventually(ctx context.Context, what string, done func(context.Context) (ok bool, soFar string, err error)) error {
	const pause = 20 * time.Millisecond
	last := "nothing yet"
	for {
		ok, soFar, err := done(ctx)
		switch {
		case ctx.Err() != nil:
			return gaveUp(ctx, what, last)
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case ok:
			return nil
		}
		last = soFar
		if err := rest(ctx, pause); err != nil {
			return gaveUp(ctx, what, last)
		}
	}
}

func gaveUp(ctx context.Context, what, soFar string) error {
	return fmt.Errorf("%s (%s): %w", what, soFar, context.Cause(ctx))
}

// rest waits, unless ctx ends before.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// dismiss sends all clients home.
func (s *stage) dismiss() {
	for _, d := range s.devices {
		d.leave()
	}
	for _, d := range s.devices {
		<-d.ended
	}
	s.devices = nil
}

var errLeft = errors.New("the client left")
