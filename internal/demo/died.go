package demo

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"pushgate/internal/push"
)

// died: what cannot be delivered ends in the dead letters, with its reason and
// its bytes.
func (s *stage) died(ctx context.Context) error {
	const short = 1500 * time.Millisecond
	frank := s.user("frank")
	broken := []byte(`{"order":7009,"state":"sh`)
	s.say("Two events go to Kafka for Frank, who is away. One claims to be JSON and is not,")
	s.say("the other lives for %s only. Both are kept, with the reason:", span(short))
	invalid, err := s.post(ctx, letter{user: frank, data: broken})
	if err != nil {
		return err
	}
	late, err := s.post(ctx, letter{user: frank, data: []byte(`{"order":7010,"state":"offer ends soon"}`), ttl: short})
	if err != nil {
		return err
	}
	poison, err := s.awaitDeath(ctx, invalid, push.Invalid)
	if err != nil {
		return err
	}
	if _, err := s.awaitDeath(ctx, late, push.TimeToLive); err != nil {
		return err
	}
	command, output, err := s.ListDeadLetters(ctx, frank)
	if err != nil {
		return fmt.Errorf("listing the dead letters: %w", err)
	}
	s.gap()
	s.show("$ %s\n%s", command, output)
	s.gap()
	if !bytes.Equal(poison.Data, broken) {
		return fmt.Errorf("the payload of the invalid event was changed to %q", poison.Data)
	}
	s.say("The bytes of the first are as its producer wrote them: %s", poison.Data)
	return nil
}

// awaitDeath waits until a message is among the dead letters.
func (s *stage) awaitDeath(ctx context.Context, id string, reason push.Reason) (DeadLetter, error) {
	var found DeadLetter
	err := eventually(ctx, fmt.Sprintf("looking among the dead letters for %s as %s", id, reason),
		func(ctx context.Context) (bool, string, error) {
			letters, err := s.Topics.DeadLetters(ctx)
			if err != nil {
				return false, "", err
			}
			i := slices.IndexFunc(letters, func(l DeadLetter) bool { return l.ID == id })
			if i < 0 {
				return false, "not there", nil
			}
			if found = letters[i]; found.Reason != reason {
				return false, "", fmt.Errorf("it died as %s: %s", found.Reason, found.Error)
			}
			return true, "", nil
		})
	return found, err
}
