package operations

import (
	"context"
	"fmt"
)

// AbsentError says that the topic is not there, or has fewer partitions than the dead
// letters. Nothing is known to be handled then, and nothing can be done that has to be
// recorded: nodes run without the topic, operators do not.
type AbsentError struct {
	Topic     string
	Partition int32
}

func (e *AbsentError) Error() string {
	return fmt.Sprintf("there is no partition %d of topic %s, where what operators do is recorded: create it with pushgate topics apply", e.Partition, e.Topic)
}

// has says whether the topic has a partition. A broker is asked only while it has not.
func (l *Log) has(ctx context.Context, partition int32) (bool, error) {
	l.mu.Lock()
	known := l.count
	l.mu.Unlock()
	if partition < known {
		return true, nil
	}
	count, err := l.records.PresentPartitions(ctx, l.topic)
	if err != nil {
		return false, fmt.Errorf("looking for topic %s: %w", l.topic, err)
	}
	l.mu.Lock()
	l.count = max(l.count, count)
	l.mu.Unlock()
	return partition < count, nil
}

// need returns an *AbsentError where a partition is not there to be written to.
func (l *Log) need(ctx context.Context, partition int32) error {
	there, err := l.has(ctx, partition)
	if err == nil && !there {
		err = &AbsentError{Topic: l.topic, Partition: partition}
	}
	return err
}
