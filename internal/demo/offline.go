package demo

import (
	"context"

	"pushgate/internal/push"
)

// offline: what comes for a user who is away waits, and is there on connecting.
func (s *stage) offline(ctx context.Context) error {
	const events = 12
	bob := s.user("bob")
	s.say("Bob is away. %d events go to Kafka for him.", events)
	if err := s.sendAll(ctx, bob, events, 0); err != nil {
		return err
	}
	entries, err := s.allWait(ctx, bob, events)
	if err != nil {
		return err
	}
	waiting := open(entries)
	s.say("%d messages wait for him in push.retry as %s, until %s at the latest.", len(waiting),
		push.Offline, waiting[0].Expires.Local().Format("Monday 15:04"))
	device, err := s.connect(ctx, bob, s.take)
	if err != nil {
		return err
	}
	arrived, err := s.allArrived(ctx, bob, events)
	if err != nil {
		return err
	}
	order := ""
	if inOrder(arrived) {
		order = ", in order"
	}
	took := arrived[len(arrived)-1].arrived.Sub(device.connections()[0])
	s.say("He connects: all %d are there after %s%s.", len(arrived), span(took), order)
	return nil
}
