package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// Committed is a committed offset, with a note of the committer.
type Committed struct {
	// Offset is the next one to read; NoOffset where none is committed.
	Offset   int64
	Metadata string
}

// GatewayGroup is the consumer group of a gateway, which has no members and only
// keeps its position.
func GatewayGroup(node string) string { return "pushgate.gateway." + node }

// NoOffset stands for "nothing is committed".
const NoOffset int64 = -1

// Partitions returns the number of partitions of a topic. It waits for a topic
// that is being created, until ctx ends.
func (c *Cluster) Partitions(ctx context.Context, topic string) (int32, error) {
	var count int
	err := c.retry(ctx, apiMetadata, func(ctx context.Context) error {
		res, err := c.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{topic}})
		switch {
		case err != nil:
			return err //nolint:wrapcheck // wrapped by attempt
		case len(res.Topics) != 1:
			return fmt.Errorf("no metadata about topic %s", topic)
		case res.Topics[0].Error != nil:
			return fmt.Errorf("topic %s: %w", topic, res.Topics[0].Error)
		}
		count = len(res.Topics[0].Partitions)
		return nil
	})
	return int32(count), err //nolint:gosec // brokers allow far fewer
}

// Bounds returns the first offset a partition holds, and the offset the next
// record will get.
func (c *Cluster) Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error) {
	// Two requests: brokers answer only one of two questions about the same
	// partition in one request.
	if start, err = c.listOffset(ctx, topic, kafkago.FirstOffsetOf(int(partition))); err != nil {
		return 0, 0, err
	}
	if end, err = c.listOffset(ctx, topic, kafkago.LastOffsetOf(int(partition))); err != nil {
		return 0, 0, err
	}
	return start, end, nil
}

// OffsetAt returns the first offset that was written at or after t, by the time
// the topic keeps; the end of the partition if there is none.
func (c *Cluster) OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error) {
	at, err := c.listOffset(ctx, topic, kafkago.TimeOffsetOf(int(partition), t))
	if err != nil || at >= 0 {
		return at, err
	}
	_, end, err := c.Bounds(ctx, topic, partition)
	return end, err
}

func (c *Cluster) listOffset(ctx context.Context, topic string, ask kafkago.OffsetRequest) (int64, error) {
	var found int64
	err := c.retry(ctx, "list_offsets", func(ctx context.Context) error {
		res, err := c.client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{
			Topics:         map[string][]kafkago.OffsetRequest{topic: {ask}},
			IsolationLevel: kafkago.ReadCommitted,
		})
		if err != nil {
			return err //nolint:wrapcheck // wrapped by attempt
		}
		if len(res.Topics[topic]) != 1 {
			return fmt.Errorf("no answer about %s/%d", topic, ask.Partition)
		}
		p := res.Topics[topic][0]
		if p.Error != nil {
			return fmt.Errorf("%s/%d: %w", topic, ask.Partition, p.Error)
		}
		switch ask.Timestamp {
		case kafkago.FirstOffset:
			found = p.FirstOffset
		case kafkago.LastOffset:
			found = p.LastOffset
		default:
			found = -1
			for offset := range p.Offsets {
				found = offset
			}
		}
		return nil
	})
	return found, err
}

// Committed returns the committed offsets of a group.
func (c *Cluster) Committed(ctx context.Context, group, topic string, partitions []int32) (map[int32]Committed, error) {
	asked := make([]int, len(partitions))
	for i, p := range partitions {
		asked[i] = int(p)
	}
	found := make(map[int32]Committed, len(partitions))
	err := c.retry(ctx, "offset_fetch", func(ctx context.Context) error {
		res, err := c.client.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{
			GroupID: group, Topics: map[string][]int{topic: asked},
		})
		if err == nil {
			err = res.Error
		}
		if errors.Is(err, kafkago.GroupIdNotFound) {
			return nil // the embedded broker says so where Kafka answers "none"
		}
		if err != nil {
			return err
		}
		for _, p := range res.Topics[topic] {
			if p.Error != nil {
				return fmt.Errorf("%s/%d: %w", topic, p.Partition, p.Error)
			}
			found[int32(p.Partition)] = Committed{Offset: p.CommittedOffset, Metadata: p.Metadata} //nolint:gosec // a partition number
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group, err)
	}
	for _, p := range partitions {
		if _, ok := found[p]; !ok {
			found[p] = Committed{Offset: NoOffset}
		}
	}
	return found, nil
}

// Commit commits offsets for a group without members ("simple consumer"). It
// retries until ctx ends.
func (c *Cluster) Commit(ctx context.Context, group, topic string, offsets map[int32]Committed) error {
	return c.commit(ctx, kafkago.OffsetCommitRequest{GroupID: group, GenerationID: -1}, topic, offsets)
}

// ErrFenced says that a commit came from a generation that is over: somebody
// else answers for the partition now.
var ErrFenced = errors.New("the generation of the group is over")

func (c *Cluster) commit(ctx context.Context, req kafkago.OffsetCommitRequest, topic string, offsets map[int32]Committed) error {
	list := make([]kafkago.OffsetCommit, 0, len(offsets))
	for p, o := range offsets {
		list = append(list, kafkago.OffsetCommit{Partition: int(p), Offset: o.Offset, Metadata: o.Metadata})
	}
	req.Topics = map[string][]kafkago.OffsetCommit{topic: list}
	err := c.retry(ctx, "offset_commit", func(ctx context.Context) error {
		res, err := c.client.OffsetCommit(ctx, &req)
		if err != nil {
			return err //nolint:wrapcheck // wrapped by attempt
		}
		for _, p := range res.Topics[topic] {
			if p.Error != nil {
				return fmt.Errorf("%s/%d: %w", topic, p.Partition, p.Error)
			}
		}
		return nil
	})
	for _, fenced := range []error{kafkago.IllegalGeneration, kafkago.UnknownMemberId, kafkago.RebalanceInProgress, kafkago.FencedInstanceID} {
		if errors.Is(err, fenced) {
			return fmt.Errorf("group %s: %w: %w", req.GroupID, ErrFenced, err)
		}
	}
	if err != nil {
		return fmt.Errorf("group %s: %w", req.GroupID, err)
	}
	return nil
}
