package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"pushgate/internal/push"
)

// maxRequest bounds the bytes of records sent in one request. A larger record
// goes alone.
const maxRequest = 512 << 10

// Produce writes records to a partition, in order, and returns their offsets
// when all replicas that are in sync have them. It retries until ctx ends. An
// attempt that timed out may have been written all the same: a record may then
// stand in the log twice, the offset returned being the last one.
//
// A *push.RejectedError means that the broker refuses a record for good; the
// records before it may have been written, those after it have not.
func (c *Cluster) Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error) {
	offsets := make([]int64, 0, len(records))
	for len(records) > 0 {
		n := fits(records)
		base, err := c.produce(ctx, topic, partition, records[:n])
		if err != nil {
			return offsets, err
		}
		for i := range n {
			offsets = append(offsets, base+int64(i))
		}
		records = records[n:]
	}
	return offsets, nil
}

// fits returns how many records go into one request, at least one.
func fits(records []push.Record) int {
	const framing = 32 // of one record, roughly
	size := 0
	for i := range records {
		size += records[i].Size() + framing
		if size > maxRequest && i > 0 {
			return i
		}
	}
	return len(records)
}

func (c *Cluster) produce(ctx context.Context, topic string, partition int32, records []push.Record) (base int64, err error) {
	err = c.retry(ctx, "produce", func(ctx context.Context) error {
		res, err := c.client.Produce(ctx, &kafkago.ProduceRequest{
			Addr: c.client.Addr, Topic: topic, Partition: int(partition),
			RequiredAcks: kafkago.RequireAll,
			Records:      protocol.NewRecordReader(toProtocol(records)...),
		})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return fmt.Errorf("writing to %s/%d: %w", topic, partition, err)
		}
		base = res.BaseOffset
		return nil
	})
	if err != nil && ctx.Err() == nil && permanent(err) {
		return 0, &push.RejectedError{Topic: topic, Partition: partition, Err: err}
	}
	return base, err
}

func toProtocol(records []push.Record) []protocol.Record {
	list := make([]protocol.Record, len(records))
	for i := range records {
		r := &records[i]
		p := protocol.Record{Time: r.Time, Key: protocol.NewBytes(r.Key), Value: protocol.NewBytes(r.Value)}
		if p.Time.IsZero() {
			p.Time = time.Now()
		}
		for key, value := range r.Headers.All() {
			p.Headers = append(p.Headers, protocol.Header{Key: string(key), Value: value})
		}
		list[i] = p
	}
	return list
}

// errNotRunning is returned to publishers once nobody writes for them any more.
var errNotRunning = errors.New("shutting down")
