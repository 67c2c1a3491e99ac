package app

import (
	"context"

	"pushgate/internal/custody"
	"pushgate/internal/delivery"
	"pushgate/internal/kafka"
	"pushgate/internal/push"
)

// The Kafka side in the words of those who use it: Go's interfaces do not vary
// in what their methods return.

type deliveryLog struct {
	*kafka.Cluster

	partitions func() int32
}

func (l deliveryLog) NewReader(topic string, partition int32, offset int64) delivery.Reader {
	return l.Cluster.NewReader(topic, partition, offset).Among(l.partitions())
}

// gatewayPositions are those of a gateway's own group, which has no members.
type gatewayPositions struct {
	cluster      *kafka.Cluster
	group, topic string
	// custodians is the group that the custodians share.
	custodians string
}

func (p gatewayPositions) Bounds(ctx context.Context, partition int32) (start, end int64, err error) {
	return p.cluster.Bounds(ctx, p.topic, partition)
}

func (p gatewayPositions) Committed(ctx context.Context, partitions []int32) (map[int32]delivery.Position, error) {
	committed, err := p.cluster.Committed(ctx, p.group, p.topic, partitions)
	if err != nil {
		return nil, err
	}
	positions := make(map[int32]delivery.Position, len(committed))
	for number, c := range committed {
		positions[number] = delivery.Position{Offset: c.Offset, Note: c.Metadata}
	}
	return positions, nil
}

func (p gatewayPositions) Commit(ctx context.Context, positions map[int32]delivery.Position) error {
	offsets := make(map[int32]kafka.Committed, len(positions))
	for number, position := range positions {
		offsets[number] = kafka.Committed{Offset: position.Offset, Metadata: position.Note}
	}
	return p.cluster.Commit(ctx, p.group, p.topic, offsets)
}

func (p gatewayPositions) Custodians(ctx context.Context, partitions []int32) (map[int32]int64, error) {
	return offsetsOf(p.cluster.Committed(ctx, p.custodians, p.topic, partitions))
}

// offsetsOf leaves out the notes.
func offsetsOf(committed map[int32]kafka.Committed, err error) (map[int32]int64, error) {
	if err != nil {
		return nil, err
	}
	offsets := make(map[int32]int64, len(committed))
	for number, c := range committed {
		offsets[number] = c.Offset
	}
	return offsets, nil
}

type custodyLog struct{ *kafka.Cluster }

func (l custodyLog) NewReader(topic string, partition int32, offset int64) custody.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

type assignment struct{ generation *kafka.Generation }

func (a assignment) Partitions() []int32 { return a.generation.Partitions }

func (a assignment) Committed(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error) {
	return offsetsOf(a.generation.Committed(ctx, topic, partitions))
}

func (a assignment) Commit(ctx context.Context, topic string, offsets map[int32]int64) error {
	committed := make(map[int32]kafka.Committed, len(offsets))
	for number, offset := range offsets {
		committed[number] = kafka.Committed{Offset: offset}
	}
	return a.generation.Commit(ctx, topic, committed)
}

// requestPublisher is where the gateway produces what is posted over HTTP.
type requestPublisher struct{ *kafka.Publisher }

func (p requestPublisher) Publish(ctx context.Context, rec push.Record) error {
	_, _, err := p.Publisher.Publish(ctx, rec)
	return err
}
