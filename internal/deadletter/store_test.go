package deadletter_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/deadletter"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// log is the real adapter on an embedded broker. What a test is about may go wrong
// in it.
type log struct {
	*kafka.Cluster
	produce func(topic string) error // nil: nothing goes wrong
	reads   func()
}

func (l *log) NewReader(topic string, partition int32, offset int64) operations.Reader {
	r := l.Cluster.NewReader(topic, partition, offset)
	if l.reads == nil {
		return r
	}
	return &slowReader{Reader: r, read: l.reads}
}

type slowReader struct {
	operations.Reader
	read func()
}

func (r *slowReader) Read(ctx context.Context) (push.Batch, error) {
	r.read()
	return r.Reader.Read(ctx)
}

func (l *log) Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error) {
	if l.produce != nil {
		if err := l.produce(topic); err != nil {
			return nil, err
		}
	}
	return l.Cluster.Produce(ctx, topic, partition, records)
}

// The topics of the embedded broker.
const (
	topic           = "push.dead-letter"
	requestTopic    = "push.requests"
	operationsTopic = "push.operations"
)

// open opens the store as a process of its own does.
func open(l *log) (*deadletter.Store, *operations.Log) {
	ops := operations.New(l, operationsTopic)
	return deadletter.New(deadletter.Params{
		Log: l, Topics: deadletter.Topics{DeadLetter: topic, Requests: requestTopic}, Operations: ops,
		Limits: push.Limits{MaxBytes: 1000, DefaultTTL: time.Hour},
	}), ops
}

// letter is a dead letter to be.
type letter struct {
	user, id, kind string
	reason         push.Reason
	payload        string
	at             time.Time // of death; zero: now
	expires        time.Time // zero: in an hour
	contentType    string
	replay         string // the mark of a replay
}

func (l *letter) record(partition int32) push.Record {
	if l.reason == push.ReasonNone {
		l.reason = push.Overflow
	}
	if l.at.IsZero() {
		l.at = time.Now()
	}
	if l.expires.IsZero() {
		l.expires = l.at.Add(time.Hour)
	}
	if l.payload == "" {
		l.payload = `{"order":991}`
	}
	if l.kind == "" {
		l.kind = "order"
	}
	headers := []push.Header{
		{Key: push.HeaderID, Value: []byte(l.id)},
		{Key: push.HeaderType, Value: []byte(l.kind)},
		{Key: "x-producer", Value: []byte("shop")},
	}
	if l.contentType != "" {
		headers = append(headers, push.Header{Key: push.HeaderContentType, Value: []byte(l.contentType)})
	}
	if l.replay != "" {
		headers = append(headers, push.Header{Key: push.HeaderReplay, Value: []byte(l.replay)})
	}
	src := push.Record{Key: []byte(l.user), Value: []byte(l.payload), Headers: push.NewHeaders(headers...)}
	return push.DeadLetterRecord(&src, push.Death{
		Lineage: push.Lineage{ID: l.id, Attempt: 3, Failures: 2, FirstSeen: l.at, Expires: l.expires}, Reason: l.reason, Error: "why",
		OriginTopic: requestTopic, OriginPartition: partition, OriginOffset: 7, At: l.at, Node: "a",
	})
}

func bury(t *testing.T, c *kafka.Cluster, partition int32, letters ...letter) {
	t.Helper()
	var records []push.Record
	for _, l := range letters {
		records = append(records, l.record(partition))
	}
	_, err := c.Produce(t.Context(), topic, partition, records)
	require.NoError(t, err)
}

// buryMany buries letters named by prefix and number, over the partitions in turn.
func buryMany(t *testing.T, c *kafka.Cluster, partitions int32, prefix string, count int, like letter) []string {
	t.Helper()
	var names []string
	lots := make([][]letter, partitions)
	for i := range count {
		l := like
		l.id = fmt.Sprintf("%s-%d", prefix, i)
		if l.user == "" {
			l.user = fmt.Sprint("user-", i)
		}
		names = append(names, l.id)
		lots[i%int(partitions)] = append(lots[i%int(partitions)], l)
	}
	for p, lot := range lots {
		if len(lot) > 0 {
			bury(t, c, int32(p), lot...)
		}
	}
	return names
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

// pages reads all pages of a search.
func pages(t *testing.T, s *deadletter.Store, q deadletter.Query) []string {
	t.Helper()
	var list []string
	for {
		page, err := s.Page(t.Context(), q)
		require.NoError(t, err)
		for i := range page.Letters {
			list = append(list, page.Letters[i].ID)
		}
		if page.Next == "" {
			return list
		}
		q.Cursor = page.Next
	}
}

func reversed(list []string) []string {
	var back []string
	for _, l := range slices.Backward(list) {
		back = append(back, l)
	}
	return back
}

// pause lets the clock of the broker go on, which counts milliseconds.
func pause(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(3 * time.Millisecond):
	case <-t.Context().Done():
	}
}

func TestLettersOfAllPartitionsComeInTheOrderOfTheirDeaths(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 3)
	var want []string
	for i := range 9 {
		id := fmt.Sprint("m-", i)
		bury(t, c, int32(i%3), letter{user: "42", id: id, reason: push.Exhausted})
		want = append(want, id)
		pause(t)
	}
	s, _ := open(&log{Cluster: c})
	assert.Equal(t, want, ids(t, s, deadletter.Filter{}))
	for limit := 1; limit <= 10; limit++ {
		assert.Equal(t, want, pages(t, s, deadletter.Query{Order: deadletter.OldestFirst, Limit: limit}), limit)
		assert.Equal(t, reversed(want), pages(t, s, deadletter.Query{Limit: limit}), limit)
	}
}

func TestALetterHasWhatTheProducerWroteAndWhyItDied(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	bury(t, c, 0, letter{user: "42", id: "m", reason: push.Exhausted, replay: "2 exhausted op-1"})
	s, _ := open(&log{Cluster: c})
	l, err := s.Get(t.Context(), deadletter.Place{})
	require.NoError(t, err)
	assert.Equal(t, "42", l.User)
	assert.Equal(t, push.Exhausted, l.Reason)
	assert.JSONEq(t, `{"order":991}`, string(l.Data))
	assert.Equal(t, int64(7), l.OriginOffset)
	assert.Equal(t, 3, l.Attempt)
	assert.Equal(t, operations.Open, l.State)
	assert.Equal(t, 2, l.Replay.Count)
	assert.True(t, l.Again)
	assert.Contains(t, l.Headers, push.Header{Key: "x-producer", Value: []byte("shop")})
}

func TestAPlaceWithoutALetterIsNotFound(t *testing.T) {
	c, b := kafkatest.Cluster(t, 2)
	buryMany(t, c, 1, "m", 5, letter{})
	_ = b
	s, _ := open(&log{Cluster: c})
	for _, at := range []deadletter.Place{{Partition: 0, Offset: 5}, {Partition: 1}, {Partition: 2}, {Partition: -1}, {Offset: -1}} {
		_, err := s.Get(t.Context(), at)
		require.ErrorIs(t, err, deadletter.ErrNotFound, "%+v", at)
	}
}

func TestFiltersChooseInStreamsAndPages(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	home := push.Home("42", 2)
	old := time.Now().Add(-time.Hour)
	bury(t, c, home, letter{user: "42", id: "a", reason: push.Exhausted, at: old})
	bury(t, c, 1-home, letter{user: "43", id: "b", kind: "chat", reason: push.Invalid, payload: `{"text":"Größe"}`})
	bury(t, c, home, letter{user: "42", id: "c", kind: "chat", reason: push.Invalid, replay: "1 invalid op"})
	bury(t, c, 1-home, letter{user: "42", id: "elsewhere", reason: push.Exhausted, replay: "1 overflow op"})
	s, _ := open(&log{Cluster: c})
	yes, no := true, false
	middle := time.Now().Add(-time.Minute)
	for _, row := range []struct {
		filter deadletter.Filter
		want   []string
	}{
		{deadletter.Filter{}, []string{"a", "b", "c", "elsewhere"}},
		{deadletter.Filter{User: "42"}, []string{"a", "c"}},
		{deadletter.Filter{User: "42", Everywhere: true}, []string{"a", "c", "elsewhere"}},
		{deadletter.Filter{Type: "chat"}, []string{"b", "c"}},
		{deadletter.Filter{Reason: push.Exhausted}, []string{"a", "elsewhere"}},
		{deadletter.Filter{NotReason: push.Exhausted}, []string{"b", "c"}},
		{deadletter.Filter{NotReason: push.Exhausted, ID: "a"}, nil},
		{deadletter.Filter{ID: "b"}, []string{"b"}},
		{deadletter.Filter{Since: middle}, []string{"b", "c", "elsewhere"}},
		{deadletter.Filter{Until: middle}, []string{"a"}},
		{deadletter.Filter{Since: old.Add(-time.Second), Until: middle}, []string{"a"}},
		{deadletter.Filter{Text: "Größe"}, []string{"b"}},
		{deadletter.Filter{Text: "991", Type: "chat"}, []string{"c"}},
		{deadletter.Filter{User: "42", Type: "chat"}, []string{"c"}},
		{deadletter.Filter{Again: &yes}, []string{"c"}},
		{deadletter.Filter{Again: &no}, []string{"a", "b", "elsewhere"}},
		{deadletter.Filter{User: "none"}, nil},
		{deadletter.Filter{State: deadletter.Replayed}, nil},
		{deadletter.Filter{State: deadletter.All, ID: "a"}, []string{"a"}},
	} {
		assert.ElementsMatch(t, row.want, ids(t, s, row.filter), "%+v", row.filter)
		assert.ElementsMatch(t, row.want, pages(t, s, deadletter.Query{Filter: row.filter, Limit: 1}), "%+v", row.filter)
		assert.ElementsMatch(t, row.want, pages(t, s, deadletter.Query{Filter: row.filter, Order: deadletter.OldestFirst}), "%+v", row.filter)
	}
}

func TestAnIDThatTellsItsTimeIsFoundSinceThen(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	id := push.NewID(time.Now())
	bury(t, c, 1, letter{user: "42", id: id}, letter{user: "42", id: "other"})
	s, _ := open(&log{Cluster: c})
	assert.Equal(t, []string{id}, ids(t, s, deadletter.Filter{ID: id}))
	assert.Equal(t, []string{id}, pages(t, s, deadletter.Query{Filter: deadletter.Filter{ID: id}}))
}

func TestARecordThatIsNoDeadLetterDoesNotHideTheOthers(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	_, err := c.Produce(t.Context(), topic, 0, []push.Record{{Key: []byte("42"), Value: []byte("x")}})
	require.NoError(t, err)
	bury(t, c, 0, letter{user: "42", id: "m", reason: push.Invalid})
	s, _ := open(&log{Cluster: c})
	var good []string
	bad := 0
	for l, err := range s.Letters(t.Context(), deadletter.Filter{}) {
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
	page, err := s.Page(t.Context(), deadletter.Query{})
	require.NoError(t, err)
	assert.Len(t, page.Letters, 1)
	assert.Equal(t, 1, page.Malformed)
	_, err = s.Get(t.Context(), deadletter.Place{})
	var malformed *deadletter.MalformedError
	require.ErrorAs(t, err, &malformed)
	plan, err := s.PlanReplay(t.Context(), deadletter.ReplayParams{})
	require.NoError(t, err)
	assert.Equal(t, 1, plan.Malformed)
}
