package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"pushgate/internal/kafka/recordbatch"
	"pushgate/internal/push"
)

// Reader reads one partition in order. It holds no connection and no goroutine
// between calls. Not safe for concurrent use.
type Reader struct {
	cluster   *Cluster
	topic     string
	partition int32
	next      int64
	maxBytes  int
	records   []push.Record // reused from read to read
}

// NewReader reads a partition from an offset on.
func (c *Cluster) NewReader(topic string, partition int32, offset int64) *Reader {
	return &Reader{cluster: c, topic: topic, partition: partition, next: offset, maxBytes: c.config.FetchMaxBytes}
}

// Among says that the reader is one of several, one for each partition, that read at
// once. Few of them bring as much together as eight: one that is far behind reads larger
// batches, in which a user has more messages. Partitions that are added later change
// nothing for it.
func (r *Reader) Among(partitions int32) *Reader {
	const (
		full   = 8
		shared = 32 << 20 // no more than that for the sake of few partitions
	)
	each := r.cluster.config.FetchMaxBytes
	r.maxBytes = max(each, min(full*each/max(int(partitions), 1), shared))
	return r
}

// SeekTo makes the next Read start at offset.
func (r *Reader) SeekTo(offset int64) { r.next = offset }

// Close does nothing yet: a reader holds nothing between calls.
func (r *Reader) Close() {}

// Read returns what comes next: at once when records are there, else after at
// most Config.MaxWait, then maybe empty. Records of transactions that were
// aborted or are still open are not returned. Passing errors are retried until
// ctx ends; Read returns its error, or a *push.OffsetLostError when the log does
// not hold the offset. The batch is valid until the next Read.
func (r *Reader) Read(ctx context.Context) (push.Batch, error) {
	for wait := r.cluster.newBackoff(); ; {
		batch, err := r.read(ctx)
		var lost *push.OffsetLostError
		if err == nil || errors.As(err, &lost) || wait.exhausted() {
			return batch, err
		}
		if ctx.Err() != nil {
			return push.Batch{}, fmt.Errorf("reading %s/%d: %w", r.topic, r.partition, context.Cause(ctx))
		}
		if err := wait.next(ctx); err != nil {
			return push.Batch{}, fmt.Errorf("reading %s/%d: %w", r.topic, r.partition, err)
		}
	}
}

func (r *Reader) read(ctx context.Context) (push.Batch, error) {
	var batch push.Batch
	// The broker answers within MaxWait; beyond that and a margin it is stuck.
	err := r.cluster.attemptWithin(ctx, "fetch", r.cluster.config.MaxWait+r.cluster.config.RequestTimeout, func(ctx context.Context) error {
		res, err := r.fetch(ctx)
		if err != nil {
			return err
		}
		batch, err = r.decode(res)
		return err
	})
	if errors.Is(err, kafkago.OffsetOutOfRange) {
		start, end, err := r.cluster.Bounds(ctx, r.topic, r.partition)
		if err != nil {
			return batch, err
		}
		if r.next < start || r.next > end {
			return batch, &push.OffsetLostError{
				Topic: r.topic, Partition: r.partition, Offset: r.next, LogStart: start, HighWatermark: end,
			}
		}
		return batch, fmt.Errorf("offset %d of %s/%d is out of range for now", r.next, r.topic, r.partition)
	}
	return batch, err
}

func (r *Reader) fetch(ctx context.Context) (*rawFetchPartition, error) {
	const readCommitted = 1
	m, err := r.cluster.transport.RoundTrip(ctx, r.cluster.client.Addr, &fetch.Request{
		ReplicaID: -1, MinBytes: 1, SessionEpoch: -1, SessionID: 0, IsolationLevel: readCommitted,
		MaxWaitTime: int32(r.cluster.config.MaxWait / time.Millisecond), //nolint:gosec // validated to be small
		MaxBytes:    int32(r.maxBytes),                                  //nolint:gosec // as above
		Topics: []fetch.RequestTopic{{
			Topic: r.topic,
			Partitions: []fetch.RequestPartition{{
				Partition: r.partition, CurrentLeaderEpoch: -1, FetchOffset: r.next, LogStartOffset: -1,
				PartitionMaxBytes: int32(r.maxBytes), //nolint:gosec // as above
			}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s/%d: %w", r.topic, r.partition, err)
	}
	res, ok := m.(*rawFetchResponse)
	switch {
	case !ok:
		return nil, fmt.Errorf("unexpected answer %T to a fetch", m)
	case res.ErrorCode != 0:
		return nil, fmt.Errorf("reading %s/%d: %w", r.topic, r.partition, kafkago.Error(res.ErrorCode))
	case len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1:
		return nil, errors.New("the answer to a fetch is not about the partition asked for")
	}
	p := &res.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return nil, fmt.Errorf("reading %s/%d: %w", r.topic, r.partition, kafkago.Error(p.ErrorCode))
	}
	return p, nil
}

func (r *Reader) decode(p *rawFetchPartition) (push.Batch, error) {
	aborted := make([]recordbatch.Aborted, 0, len(p.AbortedTransactions))
	for _, t := range p.AbortedTransactions {
		aborted = append(aborted, recordbatch.Aborted{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset})
	}
	records, next, err := recordbatch.Decode(r.records[:0], recordbatch.Fetched{
		Partition: r.partition, Raw: p.RecordSet.bytes, From: r.next, Aborted: aborted,
	})
	if err != nil {
		return push.Batch{}, fmt.Errorf("decoding %s/%d at %d: %w", r.topic, r.partition, r.next, err)
	}
	r.cluster.metrics.fetched.Add(float64(len(p.RecordSet.bytes)))
	if n := len(records); n < len(r.records) {
		// Each record holds on to the whole batch it was in: after reading up, what
		// a reader needs no more would stay for as long as it lives.
		clear(r.records[n:])
	}
	r.records, r.next = records, next
	// What an open transaction holds back is not there to be read yet.
	end := p.HighWatermark
	if p.LastStableOffset >= 0 {
		end = min(end, p.LastStableOffset)
	}
	return push.Batch{Records: records, Next: next, LogStart: p.LogStartOffset, HighWatermark: max(end, next)}, nil
}

// Find returns copies of the records at the given offsets, which must be in
// ascending order. What the log does not hold any more is left out. It reads
// the stretches the offsets lie in, a few at a time, and returns when all are
// found or ctx ends.
func (c *Cluster) Find(ctx context.Context, topic string, partition int32, offsets []int64) ([]push.Record, error) {
	const (
		stretch    = 64 // offsets closer than this are read together
		concurrent = 4
	)
	var groups [][]int64
	for i, o := range offsets {
		if i == 0 || o-offsets[i-1] > stretch {
			groups = append(groups, nil)
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], o)
	}
	found := make([][]push.Record, len(groups))
	errs := make([]error, len(groups))
	slots := make(chan struct{}, concurrent)
	var all sync.WaitGroup
	for i, group := range groups {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			found[i], errs[i] = c.findNear(ctx, topic, partition, group)
		})
	}
	all.Wait()
	var records []push.Record
	for _, f := range found {
		records = append(records, f...)
	}
	return records, errors.Join(errs...)
}

// findNear reads offsets that lie close together.
func (c *Cluster) findNear(ctx context.Context, topic string, partition int32, offsets []int64) ([]push.Record, error) {
	const perRecord = 4 << 10
	r := c.NewReader(topic, partition, offsets[0])
	r.maxBytes = min(c.config.FetchMaxBytes, perRecord*int(offsets[len(offsets)-1]-offsets[0]+1))
	var records []push.Record
	for wait := c.newBackoff(); len(offsets) > 0; {
		r.SeekTo(max(r.next, offsets[0]))
		batch, err := r.Read(ctx)
		if lost, ok := errors.AsType[*push.OffsetLostError](err); ok {
			if offsets = after(offsets, lost.LogStart); lost.Offset >= lost.HighWatermark {
				break
			}
			continue
		}
		if err != nil {
			return records, err
		}
		records, offsets = pick(records, batch, offsets)
		if len(batch.Records) > 0 || batch.Next < batch.HighWatermark || len(offsets) == 0 {
			continue
		}
		// Nothing comes. A broker that has just become the leader has records that
		// it does not show yet: only what lies outside of the log is not there.
		start, end, err := c.Bounds(ctx, topic, partition)
		if err != nil {
			return records, err
		}
		if offsets = after(offsets, start); len(offsets) == 0 || offsets[0] >= end {
			break
		}
		if err := wait.next(ctx); err != nil {
			return records, fmt.Errorf("reading %s/%d: %w", topic, partition, err)
		}
	}
	return records, nil
}

// pick appends copies of the records of a batch that are looked for, and returns
// what is still looked for.
func pick(records []push.Record, batch push.Batch, offsets []int64) (found []push.Record, left []int64) {
	for i := range batch.Records {
		rec := &batch.Records[i]
		if offsets = after(offsets, rec.Offset); len(offsets) > 0 && rec.Offset == offsets[0] {
			records = append(records, rec.Clone())
		}
	}
	return records, after(offsets, batch.Next)
}

// after drops the offsets below at.
func after(offsets []int64, at int64) []int64 {
	for len(offsets) > 0 && offsets[0] < at {
		offsets = offsets[1:]
	}
	return offsets
}
