package embedded_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"pushgate/internal/kafka/embedded"
)

func TestTheTimeOfARecordIsWhenTheBrokerTookIt(t *testing.T) {
	b, err := embedded.Start(t.Context(), embedded.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	for name, codec := range map[string]kgo.CompressionCodec{"plain": kgo.NoCompression(), "compressed": kgo.ZstdCompression()} {
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...), kgo.ConsumeTopics(name), kgo.ProducerBatchCompression(codec),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
		require.NoError(t, err)
		_, err = kadm.NewClient(client).CreateTopics(t.Context(), 1, 1, nil, name)
		require.NoError(t, err)
		before := time.Now().Add(-time.Second)
		old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		for _, at := range []time.Time{old, time.Now().Add(time.Hour)} {
			require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: name, Value: make([]byte, 500), Timestamp: at}).FirstErr())
		}
		var got []*kgo.Record
		for len(got) < 2 {
			fetches := client.PollFetches(t.Context())
			require.NoError(t, fetches.Err())
			got = append(got, fetches.Records()...)
		}
		for _, r := range got {
			assert.WithinRange(t, r.Timestamp, before, time.Now().Add(time.Second), name)
		}
		client.Close()
	}
}

// A producer that could not reach the broker for a while sends records of seconds in one
// batch: none of them may seem to be written later than it is.
func TestNoRecordOfABatchIsFromTheFuture(t *testing.T) {
	for name, codec := range map[string]kgo.CompressionCodec{
		"plain": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) { noneIsFromTheFuture(t, codec) })
	}
}

func noneIsFromTheFuture(t *testing.T, codec kgo.CompressionCodec) {
	t.Helper()
	b, err := embedded.Start(t.Context(), embedded.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...), kgo.ConsumeTopics("t"), kgo.ProducerLinger(200*time.Millisecond), kgo.ProducerBatchCompression(codec),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopics(t.Context(), 1, 1, nil, "t")
	require.NoError(t, err)
	began := time.Now().Truncate(time.Millisecond)
	records := []*kgo.Record{
		{Topic: "t", Timestamp: began.Add(-10 * time.Second), Value: bytes.Repeat([]byte("a"), 1000)},
		{Topic: "t", Timestamp: began.Add(-5 * time.Second), Key: []byte("k"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}},
		{Topic: "t", Timestamp: began},
	}
	require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
	ended := time.Now()
	var got []*kgo.Record
	for len(got) < len(records) {
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		got = append(got, fetches.Records()...)
	}
	for i, r := range got {
		assert.Equal(t, [][]byte{records[i].Key, records[i].Value}, [][]byte{r.Key, r.Value})
		assert.Equal(t, records[i].Headers, r.Headers)
		assert.WithinRange(t, r.Timestamp, began, ended)
		assert.Equal(t, got[0].Timestamp, r.Timestamp, "they were written together")
	}
	at, err := admin.ListOffsetsAfterMilli(t.Context(), got[0].Timestamp.UnixMilli(), "t")
	require.NoError(t, err)
	assert.Zero(t, at["t"][0].Offset)
	at, err = admin.ListOffsetsAfterMilli(t.Context(), got[0].Timestamp.UnixMilli()+1, "t")
	require.NoError(t, err)
	assert.EqualValues(t, len(records), at["t"][0].Offset)
}
