package delivery_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/delivery"
	"pushgate/internal/push"
)

const modeMetric = "pushgate_routing_called"

// note of a committed position.
func (r *rig) note(partition int32) string {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.log.committed[partition].Note
}

func (r *rig) epoch() string { return strconv.FormatInt(r.log.receipts(0)[0].Epoch, 10) }

func (r *rig) readers() int {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.log.open
}

func last(list []receipt) receipt { return list[len(list)-1] }

func TestAGatewayThatIsCalledReadsNothingAndSaysSo(t *testing.T) {
	bubble(t, 2, func(t *testing.T, r *rig) {
		r.start()
		assert.InDelta(t, 0, r.counter(modeMetric), 0)
		user := at(0, 2, 0)
		phone := &device{says: []push.Status{push.Done}}
		r.connect(user, phone.take)
		r.log.add(0, request(user, "a"))
		pass(2 * time.Second)
		before := len(r.log.receipts(0))
		r.gateway.SetCalled(true)
		pass(2 * time.Second)
		assert.Zero(t, r.readers())
		said := all(r.log.receipts(0)[before:])
		assert.Equal(t, []push.Binding{{User: user, Type: push.AllTypes}}, said.Connected, "all open sessions, at their home")
		assert.Empty(t, all(r.log.receipts(1)[before:]).Connected)
		for p := range int32(2) {
			assert.True(t, last(r.log.receipts(p)).Called)
			assert.Zero(t, last(r.log.receipts(p)).ReadThrough)
			assert.Equal(t, r.epoch()+" called", r.note(p))
		}
		assert.InDelta(t, 1, r.counter(modeMetric), 0)
		r.log.add(0, request(user, "b"))
		n := len(r.log.receipts(0))
		pass(10 * time.Second)
		assert.Equal(t, []string{"a"}, phone.wrote)
		assert.GreaterOrEqual(t, len(r.log.receipts(0)), n+9, "it is alive")
		assert.InDelta(t, 1, r.counter("pushgate_requests_read_total"), 0)
	})
}

func TestAGatewayThatIsCalledNamesSessionsWhenTheyCanBeFound(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		b := push.Binding{User: "user", Type: push.AllTypes}
		before := r.count()
		r.gateway.Found(b)
		assert.Empty(t, r.since(before).Connected, "it reads: who connects was named then")
		r.gateway.SetCalled(true)
		before = r.count()
		r.gateway.Connected(b)
		assert.Empty(t, r.since(before).Connected)
		r.gateway.Found(b)
		assert.Equal(t, []push.Binding{b}, r.since(before).Connected)
	})
}

func TestAGatewayThatReadsAgainBeginsWhereTheCustodiansAre(t *testing.T) {
	for name, row := range map[string]struct {
		custodians int64 // negative: nothing committed
		want       int64
	}{
		"where they have settled everything below": {35, 35},
		"they have settled everything":             {50, 50},
		"they have committed nothing":              {-1, 10},
		"what they had settled is trimmed":         {4, 10},
		"the topic was made anew and is shorter":   {51, 10},
		"further back than is caught up with":      {11, 11},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, r *rig) {
				r.config.MaxCatchUp = 5
				r.log.fill(0, 50)
				r.log.trim(0, 10)
				if row.custodians >= 0 {
					r.log.custodians = map[int32]int64{0: row.custodians}
				}
				r.start()
				r.hub.open("user", delivers)
				r.gateway.SetCalled(true)
				before := r.count()
				r.log.perRead = 0 // nothing is brought by a read
				r.gateway.SetCalled(false)
				said := r.since(before)
				assert.Equal(t, fmt.Sprintf("read %s/0 from %d", requests, row.want), last2(r.log.events(), "read "))
				assert.False(t, last(r.log.receipts(0)).Called)
				assert.Equal(t, row.want, said.ReadThrough)
				assert.Equal(t, []push.Binding{{User: "user", Type: push.AllTypes}}, said.Connected)
				assert.Equal(t, row.want, r.log.position(0))
				assert.Equal(t, r.epoch(), r.note(0))
				assert.InDelta(t, 0, r.counter(modeMetric), 0)
				r.log.set(func(l *fakeLog) { l.perRead = 100 })
				pass(2 * time.Second)
				assert.Equal(t, int64(50), last(r.log.receipts(0)).ReadThrough)
				assert.Equal(t, int64(50), r.log.position(0))
			})
		})
	}
}

// last2 returns the last event that begins so.
func last2(events []string, prefix string) (found string) {
	for _, e := range events {
		if len(e) > len(prefix) && e[:len(prefix)] == prefix {
			found = e
		}
	}
	return found
}

func TestTheModeMayChangeBackAndForthAndNothingIsLostOrWrittenTwice(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		phone := &device{says: []push.Status{push.Done}}
		r.connect("user", phone.take)
		var want []string
		for i := range 20 {
			id := fmt.Sprint(i)
			rec := written("user", id)
			want = append(want, id)
			r.log.set(func(l *fakeLog) { l.custodians = map[int32]int64{0: max(int64(i)-3, 0)} })
			r.gateway.SetCalled(i%2 == 0)
			if i%3 == 0 {
				r.gateway.SetCalled(i%2 == 1)
				r.gateway.SetCalled(i%2 == 0)
			}
			pass(2 * time.Second)
			r.log.add(0, rec)
			if i%2 == 0 {
				answer := r.carry(carriage(int64(i), rec))
				assert.Equal(t, []int64{int64(i)}, answer.Delivered)
				assert.True(t, answer.Called)
			}
			pass(2 * time.Second)
			assert.Equal(t, want, phone.wrote)
			assert.Equal(t, i%2 == 0, last(r.log.receipts(0)).Called)
		}
		said := all(r.log.receipts(0))
		for i := range 20 {
			if i%2 == 1 {
				assert.Contains(t, said.Delivered, int64(i))
			}
		}
	})
}

func TestWhatIsUnderWayWhenTheModeChangesHasItsWord(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		phone := &slow{}
		r.connect("user", phone.take)
		r.log.add(0, request("user", "a"))
		pass(time.Second)
		r.gateway.SetCalled(true)
		pass(time.Second)
		assert.Equal(t, []int64{0}, all(r.log.receipts(0)).Queued)
		before := r.count()
		phone.goOn(push.Done, push.ReasonNone)
		assert.Equal(t, push.Receipt{Delivered: []int64{0}}, r.since(before))
		assert.Equal(t, []int64{1}, r.carry(carriage(1, request("user", "b"))).Queued)
		r.log.set(func(l *fakeLog) { l.custodians = map[int32]int64{0: 1} })
		r.gateway.SetCalled(false)
		before = r.count()
		phone.goOn(push.Done, push.ReasonNone)
		said := r.since(before)
		assert.Equal(t, []int64{1}, said.Delivered, "carried then, said in the receipt of one that reads")
	})
}

func TestAGatewayIsCalledUntilItIsKnownWhereToReadFrom(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		r.gateway.SetCalled(true)
		pass(time.Second)
		r.log.set(func(l *fakeLog) { l.custodiansErr = errAway })
		r.gateway.SetCalled(false)
		pass(10 * time.Second)
		assert.True(t, last(r.log.receipts(0)).Called)
		assert.InDelta(t, 1, r.counter(modeMetric), 0)
		r.gateway.SetCalled(true) // and gives up
		pass(2 * time.Second)
		r.gateway.SetCalled(false)
		pass(2 * time.Second)
		r.log.set(func(l *fakeLog) { l.custodiansErr = nil })
		pass(3 * time.Second)
		assert.False(t, last(r.log.receipts(0)).Called)
		assert.Equal(t, 1, r.readers())
	})
}

func TestAGatewayThatWasCalledInAnEarlierLifeStartsAtTheEndOfTheLog(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.log.fill(0, 5)
		r.start()
		r.gateway.SetCalled(true)
		pass(2 * time.Second)
		earlier := r.log.receipts(0)[0].Epoch
		r.log.fill(0, 50)
		r.stop()
		assert.True(t, last(r.log.receipts(0)).Called)
		r.registry = prometheus.NewRegistry()
		before := len(r.log.receipts(0))
		r.start()
		first := r.log.receipts(0)[before]
		assert.Equal(t, int64(55), first.ReadThrough, "all it had read was settled long ago")
		assert.False(t, first.Called, "it begins as one that reads")
		assert.Greater(t, first.Epoch, earlier)
	})
}

func TestThePositionOfAGatewayThatIsCalledFollowsTheLog(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		r.gateway.SetCalled(true)
		pass(2 * time.Second)
		r.log.fill(0, 50)
		commits := r.log.commitCount()
		pass(2 * time.Minute)
		assert.Equal(t, int64(50), r.log.position(0), "who watches its group sees no lag")
		assert.LessOrEqual(t, r.log.commitCount(), commits+2)
	})
}

func TestOfTwoProcessesWithOneNodeIDTheOlderLeavesAlsoWhenTheyAreCalled(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		r.gateway.SetCalled(true)
		pass(2 * time.Second)
		later := r.log.receipts(0)[0].Epoch + 5
		r.log.set(func(l *fakeLog) {
			l.committed[0] = delivery.Position{Note: strconv.FormatInt(later, 10) + " called"}
		})
		var superseded *delivery.SupersededError
		require.ErrorAs(t, <-r.ended, &superseded)
		assert.Equal(t, later, superseded.Later)
		r.cancel = nil
	})
}

func TestAPartitionThatIsAddedToAGatewayThatIsCalledIsCalled(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		user := at(1, 2, 0)
		r.start()
		r.hub.open(user, says(push.Done))
		r.gateway.SetCalled(true)
		pass(2 * time.Second)
		r.partitions.Store(2)
		pass(2 * time.Second)
		require.NotEmpty(t, r.log.receipts(1))
		assert.Equal(t, push.Announce, r.log.receipts(1)[0].Presence)
		assert.True(t, r.log.receipts(1)[0].Called)
		assert.Zero(t, r.readers())
		assert.Contains(t, all(r.log.receipts(1)).Connected, push.Binding{User: user, Type: push.AllTypes}, "who was named in another one before")
		_, err := r.gateway.Carry(t.Context(), &push.Carriage{Partition: 1})
		require.NoError(t, err)
	})
}
