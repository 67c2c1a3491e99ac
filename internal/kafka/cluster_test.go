package kafka_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pushgate/internal/freeport"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/push"
)

const requests = "push.requests"

func record(key, value string) push.Record {
	return push.Record{Key: []byte(key), Value: []byte(value), Headers: push.NewHeaders(push.Header{Key: "ce_id", Value: []byte(value)})}
}

// readUntil reads until n records have come, and returns copies.
func readUntil(t *testing.T, r *kafka.Reader, n int) []push.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []push.Record
	for len(all) < n {
		b, err := r.Read(ctx)
		require.NoError(t, err)
		for i := range b.Records {
			all = append(all, b.Records[i].Clone())
		}
	}
	return all
}

func TestWhatIsWrittenIsReadInOrderWithItsOffsets(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 3)
	offsets, err := c.Produce(t.Context(), requests, 1, []push.Record{record("u", "a"), record("u", "b"), {Key: []byte("u")}})
	require.NoError(t, err)
	assert.Equal(t, []int64{0, 1, 2}, offsets)

	got := readUntil(t, c.NewReader(requests, 1, 0), 3)
	assert.Equal(t, "a", string(got[0].Value))
	assert.Equal(t, "b", got[1].Headers.Text("ce_id"))
	assert.Nil(t, got[2].Value, "null stays null")
	assert.Equal(t, int32(1), got[2].Partition)
	assert.WithinDuration(t, time.Now(), got[0].Time, time.Minute)
	assert.Len(t, readUntil(t, c.NewReader(requests, 1, 2), 1), 1, "a read starts in the middle of a batch")
}

func TestAReaderHoldsOnToNothingOfEarlierReads(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	var many []push.Record
	for i := range 100 {
		many = append(many, record("u", fmt.Sprint(i)))
	}
	_, err := c.Produce(t.Context(), requests, 0, many)
	require.NoError(t, err)
	reader := c.NewReader(requests, 0, 0)
	readUntil(t, reader, len(many))
	_, err = c.Produce(t.Context(), requests, 0, many[:1])
	require.NoError(t, err)
	reader.SeekTo(int64(len(many)))
	b, err := reader.Read(t.Context())
	require.NoError(t, err)
	require.Len(t, b.Records, 1)
	reused := b.Records[:cap(b.Records)]
	require.GreaterOrEqual(t, len(reused), len(many), "it reads into the same memory")
	for i := range reused[1:] {
		require.Zero(t, reused[1+i])
	}
}

func TestFewPartitionsBringAsMuchInOneReadAsEight(t *testing.T) {
	_, b := kafkatest.Cluster(t, 1)
	const size = 10 << 10
	c := kafkatest.Open(t, b.Addresses(), func(c *kafka.Config) { c.FetchMaxBytes = 4 * size })
	for range 100 {
		_, err := c.Produce(t.Context(), requests, 0, []push.Record{{Key: []byte("u"), Value: make([]byte, size)}})
		require.NoError(t, err)
	}
	for among, most := range map[int32]int{1: 32, 3: 10, 8: 4, 24: 4} {
		batch, err := c.NewReader(requests, 0, 0).Among(among).Read(t.Context())
		require.NoError(t, err)
		assert.InDelta(t, most, len(batch.Records), 1, "of %d partitions", among)
	}
}

func TestAnEmptyPartitionIsReadAsCaughtUp(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	b, err := c.NewReader(requests, 0, 0).Read(t.Context())
	require.NoError(t, err)
	assert.Empty(t, b.Records)
	assert.Equal(t, b.HighWatermark, b.Next)
}

func TestEveryCompressionIsRead(t *testing.T) {
	c, b := kafkatest.Cluster(t, 1)
	codecs := []kgo.CompressionCodec{
		kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.NoCompression(),
	}
	for i, codec := range codecs {
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...), kgo.ProducerBatchCompression(codec))
		require.NoError(t, err)
		for n := range 20 {
			rec := &kgo.Record{Topic: requests, Key: []byte("u"), Value: fmt.Appendf(nil, "%d-%d", i, n)}
			client.Produce(t.Context(), rec, func(_ *kgo.Record, err error) { assert.NoError(t, err) })
		}
		require.NoError(t, client.Flush(t.Context()))
		client.Close()
	}
	got := readUntil(t, c.NewReader(requests, 0, 0), 20*len(codecs))
	for i, rec := range got {
		assert.Equal(t, fmt.Sprintf("%d-%d", i/20, i%20), string(rec.Value))
		assert.Equal(t, int64(i), rec.Offset)
	}
}

func TestRecordsOfAbortedTransactionsAreNotRead(t *testing.T) {
	c, b := kafkatest.Cluster(t, 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...), kgo.TransactionalID("shop"))
	require.NoError(t, err)
	defer client.Close()
	for i, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		require.NoError(t, client.BeginTransaction())
		for n := range 3 {
			rec := &kgo.Record{Topic: requests, Key: []byte("u"), Value: fmt.Appendf(nil, "%d-%d", i, n)}
			require.NoError(t, client.ProduceSync(t.Context(), rec).FirstErr())
		}
		require.NoError(t, client.EndTransaction(t.Context(), end))
	}
	got := readUntil(t, c.NewReader(requests, 0, 0), 6)
	var values []string
	for _, rec := range got {
		values = append(values, string(rec.Value))
	}
	assert.Equal(t, []string{"1-0", "1-1", "1-2", "3-0", "3-1", "3-2"}, values)
}

func TestAnOffsetTheLogDoesNotHoldIsSaidWithItsBounds(t *testing.T) {
	c, b := kafkatest.Cluster(t, 1)
	_, err := c.Produce(t.Context(), requests, 0, []push.Record{record("u", "a"), record("u", "b"), record("u", "c")})
	require.NoError(t, err)
	require.NoError(t, b.DeleteRecords(requests, 0, 2))
	for _, offset := range []int64{0, 9} {
		_, err = c.NewReader(requests, 0, offset).Read(t.Context())
		var lost *push.OffsetLostError
		require.ErrorAs(t, err, &lost)
		assert.Equal(t, push.OffsetLostError{Topic: requests, Offset: offset, LogStart: 2, HighWatermark: 3}, *lost)
	}
}

func TestFindReturnsWhatIsThereAndLeavesOutWhatIsNot(t *testing.T) {
	c, b := kafkatest.Cluster(t, 1)
	var list []push.Record
	for n := range 300 {
		list = append(list, record("u", fmt.Sprint(n)))
	}
	_, err := c.Produce(t.Context(), requests, 0, list)
	require.NoError(t, err)
	require.NoError(t, b.DeleteRecords(requests, 0, 10))
	got, err := c.Find(t.Context(), requests, 0, []int64{3, 10, 11, 150, 299, 4000})
	require.NoError(t, err)
	var values []string
	for _, rec := range got {
		values = append(values, string(rec.Value))
	}
	assert.Equal(t, []string{"10", "11", "150", "299"}, values)
}

func TestAPassingErrorOfAWriteIsRetried(t *testing.T) {
	c, b := kafkatest.Cluster(t, 1)
	failures := 3
	b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if failures == 0 {
			return nil, nil, false
		}
		failures--
		b.KeepControl()
		return refuse(req, kerr.NotLeaderForPartition.Code), nil, true
	})
	offsets, err := c.Produce(t.Context(), requests, 0, []push.Record{record("u", "a")})
	require.NoError(t, err)
	assert.Equal(t, []int64{0}, offsets)
}

// refuse answers a produce request with an error for every partition.
func refuse(req kmsg.Request, code int16) kmsg.Response {
	produce, _ := req.(*kmsg.ProduceRequest)
	res, _ := produce.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range produce.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = topic.Topic
		for _, p := range topic.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
	}
	return res
}

func TestARecordTheBrokerNeverTakesIsRefusedAndNotRetried(t *testing.T) {
	c, b := kafkatest.Cluster(t, 1)
	b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return refuse(req, kerr.MessageTooLarge.Code), nil, true
	})
	_, err := c.Produce(t.Context(), requests, 0, []push.Record{record("u", "a")})
	var refused *push.RejectedError
	require.ErrorAs(t, err, &refused)
}

func TestManyPublishersShareRequestsAndEachLearnsItsOffset(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 4)
	p := c.NewPublisher(requests)
	defer p.Close()
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for n := range 200 {
		all.Go(func() {
			partition, offset, err := p.Publish(t.Context(), record(fmt.Sprint(n), "v"))
			assert.NoError(t, err)
			assert.Equal(t, push.Home(fmt.Sprint(n), 4), partition)
			mu.Lock()
			defer mu.Unlock()
			seen[fmt.Sprint(partition, "/", offset)] = true
		})
	}
	all.Wait()
	assert.Len(t, seen, 200)
}

func TestCommittedOffsetsOfASimpleConsumerAreKept(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	got, err := c.Committed(t.Context(), "g", requests, []int32{0, 1})
	require.NoError(t, err)
	assert.Equal(t, kafka.NoOffset, got[0].Offset)
	require.NoError(t, c.Commit(t.Context(), "g", requests, map[int32]kafka.Committed{1: {Offset: 7, Metadata: "epoch 3"}}))
	got, err = c.Committed(t.Context(), "g", requests, []int32{0, 1})
	require.NoError(t, err)
	assert.Equal(t, kafka.Committed{Offset: 7, Metadata: "epoch 3"}, got[1])
}

func TestOffsetsAreFoundByTime(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	before := time.Now().Add(-time.Minute)
	_, err := c.Produce(t.Context(), requests, 0, []push.Record{record("u", "a")})
	require.NoError(t, err)
	at, err := c.OffsetAt(t.Context(), requests, 0, before)
	require.NoError(t, err)
	assert.Zero(t, at)
	at, err = c.OffsetAt(t.Context(), requests, 0, time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, int64(1), at)
}

// member is a member of the shared group that says what it was given.
type member struct {
	stop  context.CancelFunc
	ended chan struct{}
	given chan []int32
	gen   chan *kafka.Generation
}

func join(t *testing.T, c *kafka.Cluster) *member {
	ctx, stop := context.WithCancel(t.Context())
	m := &member{stop: stop, ended: make(chan struct{}), given: make(chan []int32, 100), gen: make(chan *kafka.Generation, 100)}
	go func() {
		defer close(m.ended)
		assert.NoError(t, c.RunGroup(ctx, kafka.GroupParams{Group: "custodians", Topic: requests, OnGeneration: func(ctx context.Context, g *kafka.Generation) error {
			m.given <- g.Partitions
			m.gen <- g
			<-ctx.Done()
			return nil
		}}))
	}()
	t.Cleanup(func() { stop(); <-m.ended })
	return m
}

func (m *member) waitFor(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		select {
		case got := <-m.given:
			return len(got) == n
		default:
			return false
		}
	}, 15*time.Second, 5*time.Millisecond, "never got %d partitions", n)
}

func TestPartitionsAreSharedOutAndHandedOverWhenAMemberLeaves(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 4)
	a := join(t, c)
	a.waitFor(t, 4)
	b := join(t, c)
	b.waitFor(t, 2)
	a.waitFor(t, 2)
	began := time.Now()
	b.stop()
	<-b.ended
	a.waitFor(t, 4)
	assert.Less(t, time.Since(began), 3*time.Second)
}

func TestACommitOfAnOldGenerationIsFenced(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	a := join(t, c)
	a.waitFor(t, 2)
	old := <-a.gen
	require.NoError(t, old.Commit(t.Context(), requests, map[int32]kafka.Committed{0: {Offset: 1}}))
	require.NoError(t, old.Commit(t.Context(), "push.retry", map[int32]kafka.Committed{0: {Offset: 2}}), "co-partitioned topics too")
	b := join(t, c)
	b.waitFor(t, 1)
	err := old.Commit(t.Context(), requests, map[int32]kafka.Committed{0: {Offset: 0}})
	require.ErrorIs(t, err, kafka.ErrFenced)
}

func TestAClusterThatIsAwayAtStartIsWaitedFor(t *testing.T) {
	address := freeport.Address(t)
	c := kafkatest.Open(t, []string{address})
	running, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()
	defer func() { stop(); require.NoError(t, <-ended) }()
	require.Eventually(t, func() bool { return c.Ready() != nil }, 5*time.Second, 10*time.Millisecond)

	read := make(chan error, 1)
	go func() {
		_, err := c.NewReader(requests, 0, 0).Read(t.Context())
		read <- err
	}()
	_, port, _ := net.SplitHostPort(address)
	var number int
	_, _ = fmt.Sscan(port, &number)
	kafkatest.Broker(t, kfake.Ports(number), kfake.SeedTopics(1, requests))
	require.NoError(t, <-read)
	require.Eventually(t, func() bool { return c.Ready() == nil }, 10*time.Second, 10*time.Millisecond)
}

func TestReadingEndsWithItsContext(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.NewReader(requests, 0, 0).Read(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestTopicsAreAppliedOnceAndCheckedAfter(t *testing.T) {
	b := kafkatest.Broker(t)
	c := kafkatest.Open(t, b.Addresses())
	config := kafka.DefaultConfig()
	specs := config.TopicSpecs(4, 1, 1<<16)
	err := c.CheckTopics(t.Context(), specs)
	require.ErrorContains(t, err, "push.requests is missing")
	require.ErrorContains(t, err, "pushgate topics apply")
	require.NoError(t, c.ApplyTopics(t.Context(), specs))
	require.NoError(t, c.CheckTopics(t.Context(), specs))
	require.NoError(t, c.ApplyTopics(t.Context(), specs), "applying again changes nothing")
	more := config.TopicSpecs(6, 1, 1<<16)
	require.ErrorContains(t, c.CheckTopics(t.Context(), more), "partitions is 4, should be 6")
	require.NoError(t, c.ApplyTopics(t.Context(), more))
	require.Eventually(t, func() bool { return c.CheckTopics(t.Context(), more) == nil }, 5*time.Second, 50*time.Millisecond)
}
