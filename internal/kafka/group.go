package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"go.uber.org/zap"
)

// GroupParams of RunGroup.
type GroupParams struct {
	Group string
	// Topic whose partitions are shared out.
	Topic string
	// About is what this member says of itself; Cluster.Members shows it. Nil is allowed.
	About []byte
	// OnGeneration is called with each assignment, also an empty one. Its context
	// ends when the assignment does; the next one is asked for only after it has
	// returned. An error it returns while its context lives ends RunGroup's hold on
	// the assignment: the group is joined anew.
	OnGeneration func(ctx context.Context, g *Generation) error
}

// Generation is one assignment of partitions to this member.
type Generation struct {
	ID         int32
	Member     string
	Partitions []int32

	cluster *Cluster
	group   string
}

// Committed returns the committed offsets of the group.
func (g *Generation) Committed(ctx context.Context, topic string, partitions []int32) (map[int32]Committed, error) {
	return g.cluster.Committed(ctx, g.group, topic, partitions)
}

// Commit commits offsets of this or any co-partitioned topic, fenced by the
// generation: once it is over the error is ErrFenced.
func (g *Generation) Commit(ctx context.Context, topic string, offsets map[int32]Committed) error {
	return g.cluster.commit(ctx, kafkago.OffsetCommitRequest{
		GroupID: g.group, GenerationID: int(g.ID), MemberID: g.Member,
	}, topic, offsets)
}

// RunGroup is a member of a group until ctx ends, then leaves it, so that others
// take over at once. It returns when OnGeneration has returned and the group was
// left. A cluster that is away is waited for.
func (c *Cluster) RunGroup(ctx context.Context, p GroupParams) error {
	log := c.log.With(zap.String("group", p.Group))
	group, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: p.Group, Topics: []string{p.Topic}, Brokers: c.config.Brokers,
		Dialer: &kafkago.Dialer{
			ClientID: c.config.ClientID, Timeout: 3 * time.Second, DualStack: true,
			TLS: c.tls, SASLMechanism: c.sasl,
		},
		GroupBalancers: []kafkago.GroupBalancer{aboutBalancer{about: p.About}},
		SessionTimeout: c.config.SessionTimeout,
		// A dead member is missed within the session timeout; a live one notices
		// a rebalance within this interval.
		HeartbeatInterval:      min(time.Second, c.config.SessionTimeout/6),
		RebalanceTimeout:       c.config.SessionTimeout,
		JoinGroupBackoff:       500 * time.Millisecond,
		WatchPartitionChanges:  true,
		PartitionWatchInterval: 5 * time.Second,
		Timeout:                c.config.RequestTimeout,
		ErrorLogger:            kafkago.LoggerFunc(func(m string, args ...any) { log.Debug(fmt.Sprintf(m, args...)) }),
	})
	if err != nil {
		return fmt.Errorf("joining group %s: %w", p.Group, err)
	}
	// Next does not see a Close that waits for OnGeneration, so closing happens
	// here, in the order: context, OnGeneration, leave.
	defer func() { _ = group.Close() }()
	wait := newBackoff()
	for {
		g, err := group.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if !errors.Is(err, kafkago.RebalanceInProgress) {
				log.Debug("cannot join the group yet", zap.Error(err))
			}
			if wait.next(ctx) != nil {
				return nil
			}
			continue
		}
		began := time.Now()
		err = c.serve(ctx, p, g, log)
		if err == nil || time.Since(began) > steady {
			wait = newBackoff()
		}
		// Each time an assignment is given back, all members have to sort out anew
		// who does what.
		if err != nil && wait.next(ctx) != nil {
			return nil
		}
	}
}

// steady is how long an assignment must have lasted for its end to be no reason
// for a pause.
const steady = 10 * time.Second

// serve runs OnGeneration until the generation or ctx ends, or it returns; its
// error is one that gave the assignment back.
func (c *Cluster) serve(ctx context.Context, p GroupParams, g *kafkago.Generation, log *zap.Logger) (gaveBack error) {
	mine := &Generation{ID: g.ID, Member: g.MemberID, cluster: c, group: p.Group}
	for _, a := range g.Assignments[p.Topic] {
		mine.Partitions = append(mine.Partitions, int32(a.ID)) //nolint:gosec // a partition number
	}
	finished := make(chan struct{})
	g.Start(func(generation context.Context) {
		defer close(finished)
		bounded, cancel := context.WithCancel(ctx)
		defer cancel()
		// The library's context is of its own kind: it carries no cause and
		// cannot be a parent.
		defer context.AfterFunc(generation, cancel)()
		err := p.OnGeneration(bounded, mine)
		if err != nil && bounded.Err() == nil {
			log.Error("gave an assignment back", zap.Error(err))
			gaveBack = err
		}
	})
	<-finished
	return gaveBack
}
