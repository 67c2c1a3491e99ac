package demo

import (
	"context"
	"errors"
	"time"
)

// delivered: a user who is there gets everything at once, and in order.
func (s *stage) delivered(ctx context.Context) error {
	const (
		events = 24
		pause  = 40 * time.Millisecond
	)
	alice := s.user("alice")
	if _, err := s.connect(ctx, alice, s.take); err != nil {
		return err
	}
	if err := rest(ctx, settling); err != nil {
		return err
	}
	s.say("Alice is connected. %d events about %d orders go to Kafka, with the key %s.", events, ordersAtOnce, alice)
	s.say("Those of the first order, and how long each took from produce to her socket:")
	s.gap()
	for i := range events {
		e := orderEvent(i)
		id, err := s.send(ctx, alice, e)
		if err != nil {
			return err
		}
		if i%ordersAtOnce == 0 {
			if _, err := s.allArrived(ctx, alice, i+1); err != nil {
				return err
			}
			took := span(s.book.find(id).took())
			s.show("order %d  %-12s %9s", e.Order, e.State, took)
		}
		if err := rest(ctx, pause); err != nil {
			return err
		}
	}
	arrived, err := s.allArrived(ctx, alice, events)
	if err != nil {
		return err
	}
	if !inOrder(arrived) {
		return errors.New("alice's events did not come in order")
	}
	s.gap()
	s.say("All %d came, in order: %s.", events, spread(durations(arrived)))
	return nil
}
