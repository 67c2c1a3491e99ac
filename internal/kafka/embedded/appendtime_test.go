package embedded_test

import (
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
