package kafka_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pushgate/internal/kafka"
	"pushgate/internal/kafka/embedded"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/push"
)

// lag answers the next fetches as a broker does that has just become the leader:
// it has the records and does not show them yet.
func lag(b *embedded.Broker, n int32) {
	var left atomic.Int32
	left.Store(n)
	b.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		if left.Add(-1) < 0 {
			return nil, nil, false
		}
		fetch, _ := req.(*kmsg.FetchRequest)
		res, _ := fetch.ResponseKind().(*kmsg.FetchResponse)
		for _, topic := range fetch.Topics {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = p.Partition, 0, 0, 0
				rt.Partitions = append(rt.Partitions, rp)
			}
			res.Topics = append(res.Topics, rt)
		}
		return res, nil, true
	})
}

func TestFindDoesNotGiveUpWhatANewLeaderDoesNotShowYet(t *testing.T) {
	c, b := kafkatest.Cluster(t, 1)
	_, err := c.Produce(t.Context(), requests, 0, []push.Record{record("u", "a"), record("u", "b")})
	require.NoError(t, err)
	lag(b, 2)
	got, err := c.Find(t.Context(), requests, 0, []int64{1})
	require.NoError(t, err)
	require.Len(t, got, 1, "it was there before, and is still there")
}

func TestABatchThatInflatesWithoutMeasureDoesNotStopThePartition(t *testing.T) {
	c, b := kafkatest.Cluster(t, 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...), kgo.ProducerBatchCompression(kgo.ZstdCompression()),
		kgo.ProducerBatchMaxBytes(100<<20), kgo.BrokerMaxWriteBytes(200<<20), kgo.ProducerLinger(time.Second), kgo.MaxBufferedRecords(10_000))
	require.NoError(t, err)
	defer client.Close()
	zeros := make([]byte, 60<<10)
	for range 1200 {
		client.Produce(t.Context(), &kgo.Record{Topic: requests, Key: []byte("u"), Value: zeros}, func(_ *kgo.Record, err error) {
			assert.NoError(t, err)
		})
	}
	require.NoError(t, client.Flush(t.Context()))
	_, end, err := c.Bounds(t.Context(), requests, 0)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := c.NewReader(requests, 0, 0)
	for next := int64(0); next < end; {
		batch, err := r.Read(ctx)
		require.NoError(t, err, "at %d of %d", next, end)
		next = batch.Next
	}
}

func TestAnAssignmentThatFailsAtOnceIsNotTakenUpAgainWithoutAPause(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var times atomic.Int32
	require.NoError(t, c.RunGroup(ctx, kafka.GroupParams{
		Group: "g", Topic: requests, OnGeneration: func(context.Context, *kafka.Generation) error {
			times.Add(1)
			return errors.New("the topic is broken")
		},
	}))
	assert.Less(t, times.Load(), int32(10), "each of them is a rebalance for every member")
}
