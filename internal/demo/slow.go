package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/internal/client"
	"pushgate/internal/push"
)

// jam is the handler of a client that hangs at its first message, and so stops
// reading its socket, until it is freed.
type jam struct {
	stuck, freed chan struct{}
	once         sync.Once
}

func newJam() *jam { return &jam{stuck: make(chan struct{}), freed: make(chan struct{})} }

func (j *jam) before(next func(context.Context, client.Message) error) func(context.Context, client.Message) error {
	return func(ctx context.Context, m client.Message) error {
		j.once.Do(func() { close(j.stuck) })
		select {
		case <-j.freed:
			return next(ctx, m)
		case <-ctx.Done():
			return fmt.Errorf("hanging: %w", context.Cause(ctx))
		}
	}
}

// slow: a client that does not read costs its neighbours nothing, and nothing of
// its own is lost.
func (s *stage) slow(ctx context.Context) error {
	const (
		// More than the buffers of both ends' sockets take in.
		bigEvents = 24
		bigBytes  = 48 << 10
		events    = 30
		pause     = 30 * time.Millisecond
	)
	carol := s.user("carol")
	dave := s.neighbour("dave", carol)
	hang := newJam()
	device, err := s.connect(ctx, carol, hang.before(s.take))
	if err != nil {
		return err
	}
	if _, err := s.connect(ctx, dave, s.take); err != nil {
		return err
	}
	if err := rest(ctx, settling); err != nil {
		return err
	}
	s.say("Carol's app hangs and does not read its socket, while %d messages of %d KiB come for her.", bigEvents, bigBytes>>10)
	flow, flowing := errgroup.WithContext(ctx)
	flow.Go(func() error {
		for i := range bigEvents {
			if _, err := s.send(flowing, carol, bigEvent(i, bigBytes)); err != nil {
				return err
			}
		}
		return nil
	})
	flow.Go(func() error {
		select {
		case <-hang.stuck:
			return s.sendAll(flowing, dave, events, pause)
		case <-flowing.Done():
			return fmt.Errorf("waiting for the first message of %s: %w", carol, context.Cause(flowing))
		}
	})
	if err := flow.Wait(); err != nil {
		return err
	}
	unhindered, err := s.allArrived(ctx, dave, events)
	if err != nil {
		return err
	}
	s.say("Dave lives in the same partition (%d). His %d events meanwhile: %s.",
		push.Home(carol, s.Partitions), events, spread(durations(unhindered)))
	entries, err := s.allWait(ctx, carol, bigEvents)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(entries, func(e push.RetryEntry) bool { return e.Reason == push.SlowConsumer }) {
		return fmt.Errorf("carol's messages wait, but none as %s", push.SlowConsumer)
	}
	s.say("The gateway gives Carol's connection up. Her %d messages wait in push.retry: %s.",
		bigEvents, firstReasons(entries))
	return s.backToLife(ctx, device, hang, bigEvents)
}

// backToLife frees a client that hangs and tells how it gets what waits.
func (s *stage) backToLife(ctx context.Context, d *device, hang *jam, messages int) error {
	before := len(d.connections())
	began := time.Now()
	close(hang.freed)
	arrived, err := s.allArrived(ctx, d.user, messages)
	if err != nil {
		return err
	}
	last := arrived[len(arrived)-1].arrived
	again := d.connections()[before:]
	if len(again) == 0 {
		return fmt.Errorf("%s got everything over a connection that had been given up", d.user)
	}
	s.say("Her app wakes up and has a new connection after %s; all %d messages are there %s later.",
		span(again[0].Sub(began)), messages, span(max(last.Sub(again[0]), 0)))
	return nil
}
