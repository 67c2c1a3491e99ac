package waiting_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pushgate/internal/kafka"
	"pushgate/internal/kafka/embedded"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/operations"
	"pushgate/internal/push"
	"pushgate/internal/waiting"
)

const partitions = 3

// rig writes into the topics of a real broker what custodians would.
type rig struct {
	*testing.T
	broker  *embedded.Broker
	c       *kafka.Cluster
	journal *operations.Log
	store   *waiting.Store

	mu        sync.Mutex
	committed map[int32]int64
}

func newRig(t *testing.T) *rig {
	c, broker := kafkatest.Cluster(t, partitions)
	r := &rig{T: t, c: c, broker: broker, committed: map[int32]int64{}}
	r.journal = operations.New(records{c}, "push.operations")
	r.store = waiting.New(waiting.Params{
		Log: r, Journal: r.journal, Topics: waiting.Topics{Retry: "push.retry", Receipts: "push.receipts"},
	})
	return r
}

type records struct{ *kafka.Cluster }

func (l records) NewReader(topic string, partition int32, offset int64) operations.Reader {
	return l.Cluster.NewReader(topic, partition, offset)
}

func (r *rig) NewReader(topic string, partition int32, offset int64) waiting.Reader {
	return r.c.NewReader(topic, partition, offset)
}

func (r *rig) Partitions(ctx context.Context, topic string) (int32, error) {
	return r.c.Partitions(ctx, topic)
}

func (r *rig) Bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error) {
	return r.c.Bounds(ctx, topic, partition)
}

func (r *rig) Find(ctx context.Context, topic string, partition int32, offsets []int64) ([]push.Record, error) {
	return r.c.Find(ctx, topic, partition, offsets)
}

func (r *rig) Produce(ctx context.Context, topic string, partition int32, list []push.Record) ([]int64, error) {
	return r.c.Produce(ctx, topic, partition, list)
}

func (r *rig) Committed(context.Context, string, []int32) (map[int32]int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.committed), nil
}

func (r *rig) write(topic string, partition int32, list ...push.Record) int64 {
	r.Helper()
	offsets, err := r.c.Produce(r.Context(), topic, partition, list)
	require.NoError(r, err)
	return offsets[0]
}

func home(user string) int32 { return push.Home(user, partitions) }

// source is what a producer wrote.
func source(user, id, kind, data string) push.Record {
	rec := push.Record{Key: []byte(user), Value: []byte(data), Time: time.Now().Truncate(time.Millisecond)}
	rec.Headers.AddText(push.HeaderID, id)
	rec.Headers.AddText(push.HeaderType, kind)
	return rec
}

// waitRecord is a wait of a message with that id.
func waitRecord(user, id string, origin int64, change ...func(*push.Wait)) push.Record {
	rec := source(user, id, "order", `{"n":1}`)
	w := push.Wait{
		Lineage: push.Lineage{ID: id, Attempt: 1, FirstSeen: rec.Time, Expires: rec.Time.Add(time.Hour)},
		Origin:  origin, Reason: push.Offline, Due: rec.Time.Add(15 * time.Minute),
	}
	for _, c := range change {
		c(&w)
	}
	return push.WaitRecord(&rec, w)
}

func (r *rig) wait(user, id string, origin int64, change ...func(*push.Wait)) int64 {
	r.Helper()
	return r.write("push.retry", home(user), waitRecord(user, id, origin, change...))
}

func (r *rig) end(user string, origin int64) {
	r.Helper()
	r.write("push.retry", home(user), push.EndRecord(user, origin))
}

func (r *rig) page(f waiting.Filter) []waiting.Wait {
	r.Helper()
	page, err := r.store.Page(r.Context(), f, 1000, "")
	require.NoError(r, err)
	require.True(r, page.Complete)
	return page.Waits
}

func ids(waits []waiting.Wait) []string {
	found := []string{}
	for _, w := range waits {
		found = append(found, w.ID)
	}
	return found
}

// custodian ends the waits that commands name, until the test ends. It returns what it
// was asked.
func (r *rig) custodian(partition int32) *asked {
	r.Helper()
	ctx, stop := context.WithCancel(context.Background())
	a := &asked{}
	done := make(chan struct{})
	r.Cleanup(func() { stop(); <-done })
	reader := r.c.NewReader("push.receipts", partition, 0)
	go func() {
		defer close(done)
		for {
			batch, err := reader.Read(ctx)
			if err != nil {
				return
			}
			for i := range batch.Records {
				c, err := push.DecodeCommand(batch.Records[i].Value)
				if err != nil {
					continue
				}
				a.add(c)
				var list []push.Record
				for _, w := range c.Waits {
					list = append(list, push.EndRecord(w.User, w.Origin))
				}
				if _, err := r.c.Produce(ctx, "push.retry", partition, list); err != nil {
					return
				}
			}
		}
	}()
	return a
}

type asked struct {
	mu       sync.Mutex
	commands []push.Command
}

func (a *asked) add(c push.Command) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.commands = append(a.commands, c)
}

func (a *asked) all() []push.Command {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.commands
}
