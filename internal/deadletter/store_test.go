package deadletter_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/deadletter"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/push"
)

// log is the real adapter on an embedded broker.
type log struct{ *kafka.Cluster }

func (l log) NewReader(topic string, partition int32, offset int64) deadletter.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

const topic = "push.dead-letter"

func bury(t *testing.T, c *kafka.Cluster, partition int32, user, id, kind string, reason push.Reason) time.Time {
	t.Helper()
	at := time.Now()
	src := push.Record{Key: []byte(user), Value: []byte(`{"order":991}`), Headers: push.NewHeaders(
		push.Header{Key: push.HeaderID, Value: []byte(id)}, push.Header{Key: push.HeaderType, Value: []byte(kind)},
	)}
	rec := push.DeadLetterRecord(&src, push.Death{
		Lineage: push.Lineage{ID: id, Attempt: 3, Failures: 2, FirstSeen: at}, Reason: reason, Error: "why",
		OriginTopic: "push.requests", OriginPartition: partition, OriginOffset: 7, At: at, Node: "a",
	})
	_, err := c.Produce(t.Context(), topic, partition, []push.Record{rec})
	require.NoError(t, err)
	return at
}

func ids(t *testing.T, s *deadletter.Store, f deadletter.Filter) []string {
	t.Helper()
	var list []string
	for l, err := range s.Letters(t.Context(), f) {
		require.NoError(t, err)
		list = append(list, l.ID)
	}
	return list
}

func TestLettersOfAllPartitionsComeInTheOrderOfTheirDeaths(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 3)
	var want []string
	for i := range 9 {
		id := fmt.Sprint("m-", i)
		bury(t, c, int32(i%3), "42", id, "order", push.Exhausted)
		want = append(want, id)
	}
	assert.ElementsMatch(t, want, ids(t, deadletter.New(log{c}, topic), deadletter.Filter{}))
}

func TestALetterHasWhatTheProducerWroteAndWhyItDied(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	bury(t, c, 0, "42", "m", "order", push.Exhausted)
	for l, err := range deadletter.New(log{c}, topic).Letters(t.Context(), deadletter.Filter{}) {
		require.NoError(t, err)
		assert.Equal(t, "42", l.User)
		assert.Equal(t, push.Exhausted, l.Reason)
		assert.JSONEq(t, `{"order":991}`, string(l.Data))
		assert.Equal(t, int64(7), l.OriginOffset)
		assert.Equal(t, 3, l.Attempt)
	}
}

func TestFiltersChoose(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	bury(t, c, 0, "42", "a", "order", push.Exhausted)
	bury(t, c, 1, "43", "b", "chat", push.Invalid)
	later := bury(t, c, 1, "42", "c", "chat", push.Invalid)
	s := deadletter.New(log{c}, topic)
	for _, row := range []struct {
		filter deadletter.Filter
		want   []string
	}{
		{deadletter.Filter{User: "42"}, []string{"a", "c"}},
		{deadletter.Filter{Type: "chat"}, []string{"b", "c"}},
		{deadletter.Filter{Reason: push.Exhausted}, []string{"a"}},
		{deadletter.Filter{ID: "b"}, []string{"b"}},
		{deadletter.Filter{Since: later}, []string{"c"}},
		{deadletter.Filter{User: "42", Type: "chat"}, []string{"c"}},
		{deadletter.Filter{User: "none"}, nil},
	} {
		assert.ElementsMatch(t, row.want, ids(t, s, row.filter), "%+v", row.filter)
	}
}

func TestARecordThatIsNoDeadLetterDoesNotHideTheOthers(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	_, err := c.Produce(t.Context(), topic, 0, []push.Record{{Key: []byte("42"), Value: []byte("x")}})
	require.NoError(t, err)
	bury(t, c, 0, "42", "m", "order", push.Invalid)
	var good []string
	bad := 0
	for l, err := range deadletter.New(log{c}, topic).Letters(t.Context(), deadletter.Filter{}) {
		var malformed *deadletter.MalformedError
		if err != nil {
			require.ErrorAs(t, err, &malformed)
			bad++
			continue
		}
		good = append(good, l.ID)
	}
	assert.Equal(t, 1, bad)
	assert.Equal(t, []string{"m"}, good)
}
