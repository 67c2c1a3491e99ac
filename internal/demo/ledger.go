package demo

import (
	"context"
	"fmt"

	"pushgate/internal/push"
)

// ledger: every message has ended in exactly one outcome.
func (s *stage) ledger(ctx context.Context) error {
	if err := s.settled(ctx); err != nil {
		return err
	}
	letters, err := s.Topics.DeadLetters(ctx)
	if err != nil {
		return err
	}
	died := make(map[string]push.Reason, len(letters))
	for _, l := range letters {
		died[l.ID] = l.Reason
	}
	sums, err := addUp(s.book.all(), died)
	if err != nil {
		return err
	}
	s.show("%-14s %4d", "sent", sums.sent())
	s.show("%-14s %4d   acknowledged by the clients", push.Delivered, sums.delivered)
	s.show("%-14s %4d   in the dead letters, as %s", push.Expired, sums.expired, push.TimeToLive)
	s.show("%-14s %4d   in the dead letters, as %s", "dead-lettered", sums.dead, push.Invalid)
	s.gap()
	s.say("%d = %d + %d + %d. Nothing waits any more, and every offset is settled.",
		sums.sent(), sums.delivered, sums.expired, sums.dead)
	return nil
}

// settled waits until the platform has nothing left to do for the users of this
// run. A request that fails becomes a wait, and a wait becomes a request: nothing
// is left when all requests are settled and, from before that was asked until
// after, nothing has waited.
func (s *stage) settled(ctx context.Context) error {
	return eventually(ctx, "waiting for every message to be settled", func(ctx context.Context) (bool, string, error) {
		before, waiting, err := s.waits(ctx)
		if err != nil || waiting > 0 {
			return false, fmt.Sprintf("%d wait", waiting), err
		}
		settled, err := s.Topics.Settled(ctx)
		if err != nil || !settled {
			return false, "requests are under way", err
		}
		after, _, err := s.waits(ctx)
		return after == before, "messages have waited meanwhile", err
	})
}

// waits counts what the retry log says of the users of this run, and how many
// of their messages wait.
func (s *stage) waits(ctx context.Context) (all, waiting int, err error) {
	for _, user := range s.users {
		entries, err := s.Topics.Retries(ctx, user)
		if err != nil {
			return all, waiting, err
		}
		all += len(entries)
		waiting += len(open(entries))
	}
	return all, waiting, nil
}

// outcomes are how many messages ended how.
type outcomes struct{ delivered, expired, dead int }

func (o outcomes) sent() int { return o.delivered + o.expired + o.dead }

// addUp counts outcomes. A message with none or with two is an error, and so is
// a death the story does not tell of.
func addUp(all []parcel, died map[string]push.Reason) (outcomes, error) {
	var sums outcomes
	for _, p := range all {
		reason, dead := died[p.id]
		arrived := !p.arrived.IsZero()
		switch {
		case arrived && dead:
			return sums, fmt.Errorf("message %s of %s came, and died as %s all the same", p.id, p.user, reason)
		case arrived:
			sums.delivered++
		case !dead:
			return sums, fmt.Errorf("message %s of %s neither came nor died", p.id, p.user)
		case reason == push.TimeToLive:
			sums.expired++
		case reason == push.Invalid:
			sums.dead++
		default:
			return sums, fmt.Errorf("message %s of %s died as %s", p.id, p.user, reason)
		}
	}
	return sums, nil
}
