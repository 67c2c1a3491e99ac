package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/config"
	"pushgate/internal/fleet"
	"pushgate/internal/groups"
	"pushgate/internal/kafka"
	"pushgate/internal/operations"
	"pushgate/internal/push"
)

type fleetLog struct{ *kafka.Cluster }

func (l fleetLog) NewReader(topic string, partition int32, offset int64) fleet.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

// View returns a view of the nodes of a deployment, which has so many partitions. It
// reads all reports of the last quarter of an hour: who has stopped in that time said so
// in one of them, which a look at some would miss.
func View(cluster *kafka.Cluster, partitions int32) *fleet.View {
	return fleet.NewView(fleet.Params{
		Log: fleetLog{cluster}, Topic: cluster.Topics().Nodes, Partitions: func() int32 { return partitions },
		Logger: zap.NewNop(),
	})
}

// Groups returns the consumer groups of a deployment. What is done to them is recorded
// in the journal.
func Groups(cluster *kafka.Cluster, c config.Config, journal *operations.Log) *groups.Groups {
	topics := cluster.Topics()
	return groups.New(groups.Params{
		Kafka: groupsOf{cluster: cluster, topic: topics.Requests},
		Sight: func(ctx context.Context, back time.Duration) (fleet.Sightings, error) {
			return fleet.Sight(ctx, fleetLog{cluster}, topics.Nodes, back)
		},
		Custodians: c.Custody.Group,
		Least:      3 * c.Nodes.ReportInterval,
		Record: func(ctx context.Context, asked groups.Pruning, did groups.Pruned) (string, error) {
			o := pruning(asked, did)
			return o.ID, journal.Record(ctx, o)
		},
	})
}

// pruning is the record of a prune.
func pruning(asked groups.Pruning, did groups.Pruned) operations.Operation {
	o := operations.Operation{
		ID: push.NewID(time.Now()), Kind: operations.PruneGroups, By: asked.By,
		Filter:  map[string]string{"gone_for": asked.GoneFor.String()},
		Matched: len(did.Deleted) + len(did.Failed), Done: len(did.Deleted), Failed: len(did.Failed),
	}
	if asked.Node != "" {
		o.Filter["node"] = asked.Node
	}
	names := make([]string, len(did.Deleted))
	for i, g := range did.Deleted {
		names[i] = g.Name
	}
	o.Options = map[string]string{"deleted": strings.Join(names, ",")}
	var failed []string
	for _, g := range did.Failed {
		failed = append(failed, g.Name+": "+g.Why)
	}
	if o.Error = strings.Join(failed, "; "); o.Error != "" {
		o.State = operations.Failed
	}
	return o
}

// groupsOf is what the brokers know of groups, and of the request topic.
type groupsOf struct {
	cluster *kafka.Cluster
	topic   string
}

func (g groupsOf) Names(ctx context.Context) ([]string, error) { return g.cluster.Groups(ctx) }

func (g groupsOf) Describe(ctx context.Context, group string) (state string, members int, err error) {
	found, err := g.cluster.DescribeGroup(ctx, group)
	return found.State, found.Members, err
}

func (g groupsOf) Delete(ctx context.Context, group string) error {
	return g.cluster.DeleteGroup(ctx, group)
}

func (g groupsOf) Committed(ctx context.Context, group string) (map[int32]groups.Committed, error) {
	all, err := g.partitions(ctx)
	if err != nil {
		return nil, err
	}
	found, err := g.cluster.Committed(ctx, group, g.topic, all)
	if err != nil {
		return nil, err
	}
	committed := make(map[int32]groups.Committed, len(found))
	for number, c := range found {
		if c.Offset != kafka.NoOffset {
			committed[number] = groups.Committed{Offset: c.Offset, Note: c.Metadata}
		}
	}
	return committed, nil
}

func (g groupsOf) WrittenBefore(ctx context.Context, t time.Time) (map[int32]int64, error) {
	return g.each(ctx, func(number int32) (int64, error) { return g.cluster.OffsetAt(ctx, g.topic, number, t) })
}

func (g groupsOf) Ends(ctx context.Context) (map[int32]int64, error) {
	return g.each(ctx, func(number int32) (int64, error) {
		_, end, err := g.cluster.Bounds(ctx, g.topic, number)
		return end, err
	})
}

func (g groupsOf) partitions(ctx context.Context) ([]int32, error) {
	count, err := g.cluster.Partitions(ctx, g.topic)
	all := make([]int32, count)
	for i := range all {
		all[i] = int32(i)
	}
	return all, err
}

func (g groupsOf) each(ctx context.Context, of func(number int32) (int64, error)) (map[int32]int64, error) {
	all, err := g.partitions(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[int32]int64, len(all))
	for _, number := range all {
		if found[number], err = of(number); err != nil {
			return nil, fmt.Errorf("partition %d: %w", number, err)
		}
	}
	return found, nil
}

// Journal is the record of what operators did, of a deployment.
func Journal(cluster *kafka.Cluster) *operations.Log {
	return operations.New(operationsRecords{cluster}, cluster.Topics().Operations)
}
