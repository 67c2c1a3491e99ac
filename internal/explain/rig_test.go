package explain_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/explain"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/embedded"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/operations"
	"pushgate/internal/push"
)

const partitions = 2

// rig writes into the topics of a real broker what gateways and custodians would.
type rig struct {
	*testing.T
	broker    *embedded.Broker
	c         *kafka.Cluster
	journal   *operations.Log
	committed map[string]map[int32]int64 // by topic
	limits    push.Limits
}

func newRig(t *testing.T) *rig {
	c, broker := kafkatest.Cluster(t, partitions)
	return &rig{
		T: t, c: c, broker: broker, journal: operations.New(records{c}, "push.operations"), committed: map[string]map[int32]int64{},
		limits: push.Limits{DefaultTTL: time.Hour},
	}
}

type records struct{ *kafka.Cluster }

func (l records) NewReader(topic string, partition int32, offset int64) operations.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

// log is the rig in the words of the package: a method of its own name would hide
// those of the test.
type log struct{ r *rig }

func (l log) NewReader(topic string, partition int32, offset int64) explain.Reader {
	return l.r.c.NewReader(topic, partition, offset)
}

func (l log) Partitions(ctx context.Context, topic string) (int32, error) {
	return l.r.c.Partitions(ctx, topic)
}

func (l log) Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error) {
	return l.r.c.Bounds(ctx, topic, partition)
}

func (l log) OffsetAt(ctx context.Context, topic string, partition int32, at time.Time) (int64, error) {
	return l.r.c.OffsetAt(ctx, topic, partition, at)
}

func (l log) Find(ctx context.Context, topic string, partition int32, offsets []int64) ([]push.Record, error) {
	return l.r.c.Find(ctx, topic, partition, offsets)
}

func (l log) Committed(_ context.Context, topic string, asked []int32) (map[int32]int64, error) {
	found := maps.Clone(l.r.committed[topic])
	if found == nil {
		found = map[int32]int64{}
	}
	for _, p := range asked {
		if _, ok := found[p]; !ok {
			found[p] = -1
		}
	}
	return found, nil
}

func home(user string) int32 { return push.Home(user, partitions) }

func elsewhere(user string) int32 { return 1 - home(user) }

func (r *rig) write(topic string, partition int32, rec push.Record) int64 {
	r.Helper()
	offsets, err := r.c.Produce(r.Context(), topic, partition, []push.Record{rec})
	require.NoError(r, err)
	return offsets[0]
}

// request is what a producer writes.
func request(user, id string, headers ...push.Header) push.Record {
	rec := push.Record{Key: []byte(user), Value: []byte("{}")}
	if id != "" {
		rec.Headers.AddText(push.HeaderID, id)
	}
	for _, h := range headers {
		rec.Headers.Add(h.Key, h.Value)
	}
	return rec
}

// sendTo writes a request to a partition and returns it as it stands there.
func (r *rig) sendTo(partition int32, rec push.Record) push.Record {
	r.Helper()
	at := r.write("push.requests", partition, rec)
	found, err := r.c.Find(r.Context(), "push.requests", partition, []int64{at})
	require.NoError(r, err)
	require.Len(r, found, 1)
	return found[0]
}

func (r *rig) send(user, id string, headers ...push.Header) push.Record {
	r.Helper()
	return r.sendTo(home(user), request(user, id, headers...))
}

func (r *rig) lineage(src push.Record, attempt, failures int) push.Lineage {
	r.Helper()
	m, _ := push.ParseRequest(&src, "push.requests", r.limits)
	l := m.Lineage()
	l.Attempt, l.Failures = attempt, failures
	return l
}

func (r *rig) offer(src push.Record, attempt int, endsWait int64) int64 {
	r.Helper()
	return r.write("push.requests", home(string(src.Key)), push.OfferRecord(&src, r.lineage(src, attempt, 0), endsWait))
}

func (r *rig) receipt(user string, receipt push.Receipt) {
	r.Helper()
	if receipt.Node == "" {
		receipt.Node = "a"
	}
	receipt.Epoch = max(receipt.Epoch, 1)
	r.write("push.receipts", home(user), push.Record{Value: receipt.AppendBinary(nil)})
}

func (r *rig) wait(src push.Record, origin int64, attempt int, reason push.Reason) int64 {
	r.Helper()
	failures := 0
	if reason.UsesAttempt() {
		failures = 1
	}
	return r.write("push.retry", home(string(src.Key)), push.WaitRecord(&src, push.Wait{
		Lineage: r.lineage(src, attempt, failures), Origin: origin, Reason: reason, Due: time.Now().Add(15 * time.Minute),
	}))
}

func (r *rig) end(user string, origin int64) int64 {
	r.Helper()
	return r.write("push.retry", home(user), push.EndRecord(user, origin))
}

func (r *rig) die(src push.Record, reason push.Reason, text string) int64 {
	r.Helper()
	l := r.lineage(src, 1, 0)
	return r.write("push.dead-letter", src.Partition, push.DeadLetterRecord(&src, push.Death{
		Lineage: l, Reason: reason, Error: text, OriginTopic: "push.requests", OriginPartition: src.Partition,
		OriginOffset: src.Offset, At: time.Now(), Node: "custodian-1",
	}))
}

func (r *rig) story(ask explain.Ask, change ...func(*explain.Params)) explain.Story {
	r.Helper()
	p := explain.Params{
		Log: log{r}, Operations: r.journal, Limits: r.limits,
		Topics: explain.Topics{
			Requests: "push.requests", Retry: "push.retry", DeadLetter: "push.dead-letter", Receipts: "push.receipts", Outcomes: "push.outcomes",
		},
	}
	for _, c := range change {
		c(&p)
	}
	s, err := explain.New(p).Story(r.Context(), ask)
	require.NoError(r, err)
	return s
}

// only is the one message that a story must have.
func (r *rig) only(ask explain.Ask, change ...func(*explain.Params)) explain.MessageStory {
	r.Helper()
	s := r.story(ask, change...)
	require.Len(r, s.Messages, 1, "%+v", s)
	return s.Messages[0]
}

func kinds(m explain.MessageStory) []explain.Kind {
	var all []explain.Kind
	for _, e := range m.Events {
		all = append(all, e.Kind)
	}
	return all
}

// event is the first of a kind.
func (r *rig) event(m explain.MessageStory, kind explain.Kind) explain.Event {
	r.Helper()
	i := slices.IndexFunc(m.Events, func(e explain.Event) bool { return e.Kind == kind })
	require.GreaterOrEqual(r, i, 0, "no event %s in %v", kind, m.Events)
	return m.Events[i]
}

func (r *rig) gap(s explain.Story, part string) {
	r.Helper()
	assert.True(r, slices.ContainsFunc(s.Gaps, func(g string) bool { return strings.Contains(g, part) }), "no gap %q in %q", part, s.Gaps)
}

func (r *rig) noGap(s explain.Story, part string) {
	r.Helper()
	assert.False(r, slices.ContainsFunc(s.Gaps, func(g string) bool { return strings.Contains(g, part) }), "a gap %q in %q", part, s.Gaps)
}

// tick lets a millisecond pass, so that times differ.
func tick() { <-time.After(3 * time.Millisecond) }
