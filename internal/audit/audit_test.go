package audit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/audit"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/push"
)

const partitions = 2

// rig writes into the topics of a real broker what gateways and custodians would.
type rig struct {
	*testing.T
	c       *kafka.Cluster
	settled map[int32]int64
}

func newRig(t *testing.T) *rig {
	c, _ := kafkatest.Cluster(t, partitions)
	return &rig{T: t, c: c, settled: map[int32]int64{}}
}

func (r *rig) NewReader(topic string, partition int32, offset int64) audit.Reader {
	return r.c.NewReader(topic, partition, offset)
}

func (r *rig) Partitions(ctx context.Context, topic string) (int32, error) {
	return r.c.Partitions(ctx, topic)
}

func (r *rig) Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error) {
	return r.c.Bounds(ctx, topic, partition)
}

func (r *rig) OffsetAt(ctx context.Context, topic string, partition int32, at time.Time) (int64, error) {
	return r.c.OffsetAt(ctx, topic, partition, at)
}

func (r *rig) Settled(context.Context, []int32) (map[int32]int64, error) { return r.settled, nil }

func (r *rig) write(topic string, partition int32, rec push.Record) int64 {
	r.Helper()
	offsets, err := r.c.Produce(r.Context(), topic, partition, []push.Record{rec})
	require.NoError(r, err)
	return offsets[0]
}

// send writes what a producer does, and counts it as settled.
func (r *rig) send(user, id string) (push.Record, int64) {
	r.Helper()
	rec := push.Record{Key: []byte(user), Value: []byte("{}"), Headers: push.NewHeaders(push.Header{Key: push.HeaderID, Value: []byte(id)})}
	home := push.Home(user, partitions)
	at := r.write("push.requests", home, rec)
	r.settled[home] = at + 1
	records, err := r.c.Find(r.Context(), "push.requests", home, []int64{at})
	require.NoError(r, err)
	require.Len(r, records, 1)
	return records[0], at
}

func (r *rig) offer(src push.Record, endsWait int64) int64 {
	r.Helper()
	m, err := push.ParseRequest(&src, "push.requests", push.Limits{DefaultTTL: time.Hour})
	require.NoError(r, err)
	l := m.Lineage()
	l.Attempt++
	home := push.Home(src.Key, partitions)
	at := r.write("push.requests", home, push.OfferRecord(&src, l, endsWait))
	r.settled[home] = at + 1
	return at
}

func (r *rig) receipt(user string, delivered ...int64) {
	r.Helper()
	receipt := push.Receipt{Node: "a", Epoch: 1, Delivered: delivered, ReadThrough: 100}
	r.write("push.receipts", push.Home(user, partitions), push.Record{Value: receipt.AppendBinary(nil)})
}

func (r *rig) wait(src push.Record, origin int64) {
	r.Helper()
	m, _ := push.ParseRequest(&src, "push.requests", push.Limits{DefaultTTL: time.Hour})
	r.write("push.retry", push.Home(src.Key, partitions), push.WaitRecord(&src, push.Wait{
		Lineage: m.Lineage(), Origin: origin, Reason: push.Offline, Due: time.Now().Add(time.Hour),
	}))
}

func (r *rig) die(src push.Record, origin int64, reason push.Reason) {
	r.Helper()
	m, _ := push.ParseRequest(&src, "push.requests", push.Limits{DefaultTTL: time.Hour})
	home := push.Home(src.Key, partitions)
	r.write("push.dead-letter", home, push.DeadLetterRecord(&src, push.Death{
		Lineage: m.Lineage(), Reason: reason, OriginTopic: "push.requests", OriginPartition: home, OriginOffset: origin, At: time.Now(), Node: "a",
	}))
}

func (r *rig) audit(change ...func(*audit.Params)) audit.Ledger {
	r.Helper()
	p := audit.Params{
		Log: r, Limits: push.Limits{DefaultTTL: time.Hour}, Since: time.Now().Add(-time.Hour),
		Topics: audit.Topics{Requests: "push.requests", Retry: "push.retry", DeadLetter: "push.dead-letter", Receipts: "push.receipts"},
	}
	for _, c := range change {
		c(&p)
	}
	l, err := audit.Run(r.Context(), p)
	require.NoError(r, err)
	return l
}

func TestEveryFateIsCounted(t *testing.T) {
	r := newRig(t)
	_, at := r.send("delivered", "a")
	r.receipt("delivered", at)
	src, at := r.send("waits", "b")
	r.wait(src, at)
	src, at = r.send("dead", "c")
	r.die(src, at, push.Exhausted)
	src, at = r.send("expired", "d")
	r.die(src, at, push.TimeToLive)
	src, at = r.send("offered again", "e")
	r.wait(src, at)
	again := r.offer(src, at)
	r.write("push.retry", push.Home("offered again", partitions), push.EndRecord("offered again", at))
	r.receipt("offered again", again)

	l := r.audit()
	assert.Equal(t, audit.Ledger{Messages: 5, Delivered: 2, Expired: 1, DeadLettered: 1, Waiting: 1, Offerings: 6}, l)
}

func TestAMessageOfWhichNothingIsKnownIsNamed(t *testing.T) {
	r := newRig(t)
	_, at := r.send("42", "lost")
	l := r.audit()
	require.Len(t, l.Unexplained, 1)
	assert.Equal(t, "lost", l.Unexplained[0].ID)
	assert.Equal(t, "42", l.Unexplained[0].User)
	assert.Equal(t, at, l.Unexplained[0].Offset)

	r.settled = map[int32]int64{}
	l = r.audit()
	assert.Empty(t, l.Unexplained)
	assert.Equal(t, 1, l.UnderWay, "nobody says that it is settled")
}

func TestAWaitThatEndedWithoutAnythingAfterItIsUnexplained(t *testing.T) {
	r := newRig(t)
	src, at := r.send("42", "m")
	r.wait(src, at)
	r.write("push.retry", push.Home("42", partitions), push.EndRecord("42", at))
	assert.Len(t, r.audit().Unexplained, 1)
}

func TestADeliveryTooManyIsARepeatAndNotAMessage(t *testing.T) {
	r := newRig(t)
	src, at := r.send("42", "m")
	again := r.offer(src, push.NoWait)
	r.receipt("42", at, again)
	l := r.audit()
	assert.Equal(t, 1, l.Messages)
	assert.Equal(t, 1, l.Repeats)
}

func TestTwoMessagesWithOneIDAreTwoMessages(t *testing.T) {
	r := newRig(t)
	_, at := r.send("42", "m")
	r.receipt("42", at)
	<-time.After(5 * time.Millisecond) // they differ in when they were written
	r.send("42", "m")
	l := r.audit()
	assert.Equal(t, 2, l.Messages)
	assert.Len(t, l.Unexplained, 1)
}

func TestAMessageThatWasMovedHomeIsOneMessageAndOneThatDidNotArriveIsNamed(t *testing.T) {
	r := newRig(t)
	elsewhere := func(user string) int32 { return 1 - push.Home(user, partitions) }
	for _, user := range []string{"arrives", "vanishes"} {
		rec := push.Record{Key: []byte(user), Value: []byte("{}"), Headers: push.NewHeaders(push.Header{Key: push.HeaderID, Value: []byte("m")})}
		at := r.write("push.requests", elsewhere(user), rec)
		r.settled[elsewhere(user)] = max(r.settled[elsewhere(user)], at+1)
		if user == "vanishes" {
			continue
		}
		found, err := r.c.Find(t.Context(), "push.requests", elsewhere(user), []int64{at})
		require.NoError(t, err)
		m, err := push.ParseRequest(&found[0], "push.requests", push.Limits{DefaultTTL: time.Hour})
		require.NoError(t, err)
		home := push.Home(user, partitions)
		at = r.write("push.requests", home, push.OfferRecord(&found[0], m.Lineage(), push.NoWait))
		r.settled[home] = max(r.settled[home], at+1)
		r.receipt(user, at)
	}
	l := r.audit()
	assert.Equal(t, 2, l.Messages)
	assert.Equal(t, 2, l.Rehomed)
	assert.Equal(t, 1, l.Delivered)
	require.Len(t, l.Unexplained, 1)
	assert.Equal(t, "vanishes", l.Unexplained[0].User)
}

func TestWhatIsWrittenLaterThanUntilIsLeftOut(t *testing.T) {
	r := newRig(t)
	for i := range 3 {
		_, at := r.send("42", fmt.Sprint(i))
		r.receipt("42", at)
	}
	assert.Zero(t, r.audit(func(p *audit.Params) { p.Until = time.Now().Add(-time.Minute) }).Messages)
	assert.Equal(t, 3, r.audit().Messages)
}

func TestAMessageThatWasDeliveredBeforeItsHomeChangedIsExplained(t *testing.T) {
	r := newRig(t)
	user := "42"
	before := 1 - push.Home(user, partitions) // where it lived with fewer partitions
	rec := push.Record{Key: []byte(user), Value: []byte("{}"), Headers: push.NewHeaders(push.Header{Key: push.HeaderID, Value: []byte("m")})}
	first := r.write("push.requests", before, rec)
	found, err := r.c.Find(t.Context(), "push.requests", before, []int64{first})
	require.NoError(t, err)
	m, err := push.ParseRequest(&found[0], "push.requests", push.Limits{DefaultTTL: time.Hour})
	require.NoError(t, err)
	l := m.Lineage()
	l.Attempt++
	again := r.write("push.requests", before, push.OfferRecord(&found[0], l, first))
	r.settled[before] = again + 1
	receipt := push.Receipt{Node: "a", Epoch: 1, Delivered: []int64{again}, ReadThrough: 100}
	r.write("push.receipts", before, push.Record{Value: receipt.AppendBinary(nil)})
	assert.Equal(t, audit.Ledger{Messages: 1, Delivered: 1, Offerings: 2}, r.audit())
}
