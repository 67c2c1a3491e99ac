package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/internal/push"
)

// sender writes letters as requests.
type sender struct {
	store      *Store
	partitions int32 // of the requests
	operation  string
	ttl        time.Duration
}

// handle writes a batch, each letter to the home of its user, in order. One without a
// user goes where it died; the custodian there finds it invalid again.
func (s *sender) handle(ctx context.Context, batch []Letter) ([]error, error) {
	groups := make(map[int32][]int)
	for i := range batch {
		to := batch[i].Partition % s.partitions
		if push.CheckUser(batch[i].User) == nil {
			to = push.Home(batch[i].User, s.partitions)
		}
		groups[to] = append(groups[to], i)
	}
	refused := make([]error, len(batch))
	writers, ctx := errgroup.WithContext(ctx)
	writers.SetLimit(concurrent)
	for to, members := range groups {
		writers.Go(func() error { return s.write(ctx, to, batch, members, refused) })
	}
	return refused, writers.Wait()
}

// write writes some letters of a batch to one partition. One that the broker refuses
// must not take others with it.
func (s *sender) write(ctx context.Context, to int32, batch []Letter, members []int, refused []error) error {
	records := make([]push.Record, 0, len(members))
	now := time.Now()
	for _, i := range members {
		records = append(records, push.ReplayRecord(&batch[i].rec, &batch[i].DeadLetter, s.operation, s.ttl, now))
	}
	_, err := s.store.log.Produce(ctx, s.store.topics.Requests, to, records)
	if _, ok := errors.AsType[*push.RejectedError](err); ok {
		if len(members) == 1 {
			refused[members[0]] = fmt.Errorf("letter %d/%d: %w", batch[members[0]].Partition, batch[members[0]].Offset, err)
			return nil
		}
		for n := range members {
			if err := s.write(ctx, to, batch, members[n:n+1], refused); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("replaying: %w", err)
	}
	return nil
}
