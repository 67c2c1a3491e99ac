package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/delivery"
	"pushgate/internal/push"
)

// rig is a gateway on fakes, inside a bubble of synctest: its time is not ours.
type rig struct {
	t          *testing.T
	log        *fakeLog
	hub        *fakeHub
	config     delivery.Config
	partitions atomic.Int32
	registry   *prometheus.Registry
	gateway    *delivery.Gateway
	cancel     context.CancelFunc
	ended      chan error
}

func bubble(t *testing.T, partitions int32, test func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			t: t, log: newFakeLog(), hub: &fakeHub{users: map[string]func(*push.Message, push.Reporter) bool{}},
			config: delivery.DefaultConfig(), registry: prometheus.NewRegistry(),
		}
		r.partitions.Store(partitions)
		t.Cleanup(func() {
			if r.cancel != nil {
				r.stop()
			}
		})
		test(t, r)
	})
}

// start runs the gateway until the end of the test, and waits until it has
// nothing to do for the moment.
func (r *rig) start() {
	r.gateway = delivery.New(delivery.Params{
		Config: r.config, Limits: push.Limits{MaxBytes: 1 << 10, DefaultTTL: time.Hour}, Node: "a",
		Requests: requests, Receipts: receipts, Partitions: r.partitions.Load,
		Log: r.log, Positions: r.log, Hub: r.hub, Users: r.hub.count, Sessions: r.hub.sessions,
		Logger: zaptest.NewLogger(r.t), Metrics: delivery.NewMetrics(r.registry),
	})
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- r.gateway.Run(ctx) }()
	synctest.Wait()
}

func (r *rig) stop() {
	r.cancel()
	require.NoError(r.t, <-r.ended)
	r.cancel = nil
}

// pass lets time go by, and all that is due happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// connect opens a session as a hub would.
func (r *rig) connect(user string, take func(*push.Message, push.Reporter) bool) {
	r.hub.open(user, take)
	r.gateway.Connected(push.Binding{User: user, Type: push.AllTypes})
}

func (r *rig) counter(name string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	require.NoError(r.t, err)
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		found = true
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	require.True(r.t, found, "no metric %s", name)
	return sum
}

// at returns a user whose home is that partition; n tells them apart.
func at(partition, partitions int32, n int) string {
	for i := 0; ; i++ {
		user := fmt.Sprint("user", i)
		if push.Home(user, partitions) == partition {
			if n == 0 {
				return user
			}
			n--
		}
	}
}

func request(user, id string, headers ...push.Header) push.Record {
	h := push.NewHeaders(headers...)
	h.AddText(push.HeaderID, id)
	return push.Record{Key: []byte(user), Value: []byte("x"), Headers: h}
}

// requestsOf returns n requests of a user, whose ids are 0, 1 and so on.
func requestsOf(user string, n int) []push.Record {
	list := make([]push.Record, 0, n)
	for i := range n {
		list = append(list, request(user, fmt.Sprint(i)))
	}
	return list
}

func header(key, value string) push.Header { return push.Header{Key: key, Value: []byte(value)} }

// all joins what receipts say.
func all(list []receipt) push.Receipt {
	var sum push.Receipt
	for _, r := range list {
		sum.ReadThrough = max(sum.ReadThrough, r.ReadThrough)
		sum.Delivered = append(sum.Delivered, r.Delivered...)
		sum.Held = append(sum.Held, r.Held...)
		sum.Queued = append(sum.Queued, r.Queued...)
		sum.Failed = append(sum.Failed, r.Failed...)
		sum.Connected = append(sum.Connected, r.Connected...)
	}
	return sum
}

func TestWhereAPartitionIsReadFrom(t *testing.T) {
	for name, row := range map[string]struct {
		committed int64 // negative: none
		want      int64
		lost      float64
	}{
		"a new node owned nobody so far":          {-1, 50, 0},
		"a node that comes back goes on":          {30, 30, 0},
		"nothing was missed":                      {50, 50, 0},
		"the first offset is held":                {10, 50, 0},
		"as far behind as is caught up with":      {40, 40, 0},
		"what was to be read is not held":         {9, 50, 1},
		"the topic was made anew and is shorter":  {51, 50, 1},
		"too far behind, nobody was connected":    {11, 50, 0},
		"the furthest behind that is caught up":   {20, 20, 0},
		"one further behind than is caught up to": {19, 50, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, r *rig) {
				r.config.MaxCatchUp = 30
				r.log.fill(0, 50)
				r.log.trim(0, 10)
				if row.committed >= 0 {
					r.log.committed[0] = delivery.Position{Offset: row.committed}
				}
				r.start()
				require.NoError(t, r.gateway.Ready())
				assert.Equal(t, []string{
					fmt.Sprintf("commit 0 at %d", row.want),
					fmt.Sprintf("receipt 0 presence %d through %d", push.Announce, row.want),
					fmt.Sprintf("read %s/0 from %d", requests, row.want),
				}, r.log.events()[:3], "fixed, then announced, then read")
				assert.InDelta(t, row.lost, r.counter("pushgate_delivery_offsets_lost_total"), 0)
			})
		})
	}
}

func TestAGatewayIsReadyOnlyWhenItsAnnouncementIsDurableOnEveryPartition(t *testing.T) {
	bubble(t, 3, func(t *testing.T, r *rig) {
		release := make(chan struct{})
		r.log.hold = release
		r.start()
		pass(time.Minute)
		require.Error(t, r.gateway.Ready())
		assert.Zero(t, r.log.position(2), "the position is committed before")
		close(release)
		synctest.Wait()
		require.NoError(t, r.gateway.Ready())
		for p := range int32(3) {
			require.NotEmpty(t, r.log.receipts(p))
			assert.Equal(t, push.Announce, r.log.receipts(p)[0].Presence)
		}
	})
}

func TestAGatewayIsNotReadyWhileTheRequestTopicIsNotKnown(t *testing.T) {
	bubble(t, 0, func(t *testing.T, r *rig) {
		r.start()
		pass(10 * time.Second)
		require.Error(t, r.gateway.Ready(), "a client could connect to a gateway that reads nothing")
		r.gateway.Connected(push.Binding{User: "early", Type: push.AllTypes})
		r.partitions.Store(2)
		pass(2 * time.Second)
		require.NoError(t, r.gateway.Ready())
	})
}

func TestALaterLifeHasAGreaterEpochAlsoWhenTheClockWasSetBack(t *testing.T) {
	bubble(t, 2, func(t *testing.T, r *rig) {
		future := time.Now().Add(24 * time.Hour).UnixMilli()
		r.log.committed[0] = delivery.Position{Note: strconv.FormatInt(future, 10)}
		r.log.committed[1] = delivery.Position{Note: "somebody else's note"}
		r.start()
		for p := range int32(2) {
			assert.Equal(t, future+1, r.log.receipts(p)[0].Epoch)
			assert.Equal(t, strconv.FormatInt(future+1, 10), r.log.committed[p].Note, "for the life after this one")
		}
		r.stop()
		r.registry = prometheus.NewRegistry()
		r.start()
		last := r.log.receipts(0)[len(r.log.receipts(0))-1]
		assert.Equal(t, future+2, last.Epoch)
	})
}

func TestARequestIsDeliveredToItsOwnerAndTheOthersAreDropped(t *testing.T) {
	bubble(t, 4, func(t *testing.T, r *rig) {
		r.start()
		here := at(2, 4, 0)
		var got []string
		r.connect(here, func(m *push.Message, rep push.Reporter) bool {
			got = append(got, fmt.Sprint(m.ID, " at ", m.Partition, "/", m.Offset, ": ", string(m.Data)))
			return delivers(m, rep)
		})
		r.log.add(2, request(here, "one"), request(at(2, 4, 1), "not ours"), request(here, "two"))
		pass(2 * time.Second)
		assert.Equal(t, []string{"one at 2/0: x", "two at 2/2: x"}, got)
		said := all(r.log.receipts(2))
		assert.Equal(t, []int64{0, 2}, said.Delivered)
		assert.Equal(t, int64(3), said.ReadThrough)
		assert.Equal(t, []push.Binding{{User: here, Type: push.AllTypes, Saw: 3}}, said.Connected, "at its home, before what was read")
		assert.Equal(t, int64(3), r.log.position(2))
		assert.InDelta(t, 3, r.counter("pushgate_requests_read_total"), 0)
		assert.InDelta(t, 1, r.counter("pushgate_requests_dropped_total"), 0)
		for p := range int32(4) {
			if p != 2 {
				assert.Empty(t, all(r.log.receipts(p)).Connected)
			}
		}
	})
}

func TestWhatIsNotForThisGatewayIsLeftToTheCustodian(t *testing.T) {
	bubble(t, 2, func(t *testing.T, r *rig) {
		user, foreign := at(0, 2, 0), at(1, 2, 0)
		r.start()
		r.connect(user, delivers)
		r.connect(foreign, delivers)
		untaken := at(0, 2, 1)
		r.hub.open(untaken, func(*push.Message, push.Reporter) bool { return false })
		big := request(user, "too large")
		big.Value = make([]byte, 2<<10)
		old := request(user, "older than its time to live")
		old.Time = time.Now().Add(-2 * time.Hour)
		r.log.add(0,
			request(foreign, "outside its home"),
			request(user, "invalid", header(push.HeaderContentType, "application/json")),
			request(user, "expired", header(push.HeaderExpiryTime, time.Now().UTC().Format(time.RFC3339Nano))),
			request(user, "no time", header(push.HeaderTime, "yesterday")),
			big, old,
			request(untaken, "a type nobody takes here"),
			request("", "nobody"),
			request(user, "good"),
		)
		pass(2 * time.Second)
		said := all(r.log.receipts(0))
		assert.Equal(t, []int64{8}, said.Delivered, "it goes on behind what it leaves")
		assert.Empty(t, said.Queued)
		assert.Empty(t, said.Failed)
		assert.Equal(t, int64(9), said.ReadThrough)
		assert.Equal(t, int64(9), r.log.position(0))
	})
}

func TestAnOffsetIsCommittedOnlyWhenItsReceiptIsDurable(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		r.connect("user", delivers)
		release := make(chan struct{})
		r.log.set(func(l *fakeLog) { l.hold = release })
		r.log.add(0, request("nobody", "0"), request("user", "1"), request("nobody", "2"))
		pass(time.Minute)
		assert.Equal(t, int64(1), r.log.position(0), "what is not owned is settled, what is owned is not")
		close(release)
		pass(2 * time.Second)
		assert.Equal(t, int64(3), r.log.position(0))
	})
}

func TestASlowUserHoldsUpTheCommitAndNothingElse(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		var snail slow
		r.connect("snail", snail.take)
		r.connect("hare", delivers)
		r.log.add(0, request("hare", "0"), request("snail", "1"), request("hare", "2"))
		pass(5 * time.Second)
		said := all(r.log.receipts(0))
		assert.Equal(t, []int64{0, 2}, said.Delivered)
		assert.Equal(t, []int64{1}, said.Queued, "owned, so that nobody takes the user for absent")
		assert.Equal(t, int64(3), said.ReadThrough)
		assert.Equal(t, int64(1), r.log.position(0))
		assert.InDelta(t, 1, r.counter("pushgate_unsettled"), 0)
		snail.goOn(push.Failed, push.SlowConsumer)
		pass(2 * time.Second)
		assert.Equal(t, []push.Failure{{Offset: 1, Reason: push.SlowConsumer}}, all(r.log.receipts(0)).Failed)
		assert.Equal(t, int64(3), r.log.position(0))
	})
}

func TestAMessageThatWaitsForItsClientDoesNotKeepItsBatchInMemory(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		var kept *push.Message
		r.connect("user", func(m *push.Message, _ push.Reporter) bool { kept = m; return true })
		r.log.add(0, request("user", "a"))
		pass(time.Second)
		assert.Nil(t, kept.Data)
		assert.Equal(t, "a", kept.ID)
	})
}

func TestReceiptsComeSoonAndNotMoreOftenThanThereIsSomethingToSay(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.config.HeartbeatInterval = time.Hour
		r.start()
		r.connect("user", delivers)
		pass(time.Second)
		before := len(r.log.receipts(0))

		began := time.Now()
		r.log.add(0, request("user", "0"), request("nobody", "1"))
		pass(time.Second)
		list := r.log.receipts(0)
		require.Len(t, list, before+1, "one says what was delivered and how far was read")
		assert.Equal(t, r.config.ReceiptInterval, list[before].at.Sub(began))

		began = time.Now()
		r.log.fill(0, 3)
		pass(time.Second)
		list = r.log.receipts(0)
		require.Len(t, list, before+2)
		assert.Equal(t, 5*r.config.ReceiptInterval, list[before+1].at.Sub(began), "how far was read is less urgent")
		assert.Equal(t, int64(5), list[before+1].ReadThrough)

		r.log.fill(0, 1)
		pass(r.config.ReceiptInterval)
		began = time.Now()
		r.log.add(0, request("user", "6"))
		pass(time.Second)
		list = r.log.receipts(0)
		require.Len(t, list, before+3, "something urgent takes along what is not")
		assert.LessOrEqual(t, list[before+2].at.Sub(began), r.config.ReceiptInterval)
	})
}

func TestAnIdleGatewayShowsThatItIsAlive(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		pass(10*r.config.HeartbeatInterval + time.Millisecond)
		list := r.log.receipts(0)
		require.Len(t, list, 11)
		for _, beat := range list[1:] {
			assert.True(t, beat.Empty())
			assert.Equal(t, "a", beat.Node)
		}
	})
}

func TestManySessionsAreNamedAtOnceInSeveralReceipts(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.config.HeartbeatInterval = time.Hour
		r.start()
		connect := func(n int) {
			for i := range n {
				r.gateway.Connected(push.Binding{User: fmt.Sprint("u", i), Type: push.AllTypes})
			}
		}
		// One receipt is under way while the others of another node come over.
		release := make(chan struct{})
		r.log.set(func(l *fakeLog) { l.hold = release })
		connect(1)
		pass(time.Second)
		before := len(r.log.receipts(0))
		connect(2500)
		close(release)
		began := time.Now()
		synctest.Wait()
		var named []int
		for _, p := range r.log.receipts(0)[before:] {
			named = append(named, len(p.Connected))
			assert.Equal(t, began, p.at, "a lot to say is said at once")
		}
		assert.Equal(t, []int{1, 1000, 1000, 500}, named)
	})
}

func TestReadingSlowsDownWhileTooMuchIsUnderWay(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.config.MaxUnsettled = 2 // and eight for the only user of the only partition
		r.log.perRead = 5
		r.start()
		var snail slow
		r.connect("snail", snail.take)
		r.log.add(0, requestsOf("snail", 100)...)
		pass(time.Minute)
		assert.Equal(t, 10, snail.count(), "the batch that passes the limit is the last one")
		for i := range 100 {
			if all(r.log.receipts(0)).ReadThrough == 100 {
				break
			}
			assert.LessOrEqual(t, snail.count(), 10, "round %d", i)
			snail.goOn(push.Done, push.ReasonNone)
			pass(time.Second)
		}
		snail.goOn(push.Done, push.ReasonNone)
		pass(2 * time.Second)
		assert.Equal(t, int64(100), r.log.position(0))
	})
}

func TestALargeBatchIsNoReasonToHaveMoreUnderWay(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.config.MaxUnsettled = 10
		const many = 3500
		r.log.perRead = many
		r.start()
		var snail slow
		r.connect("snail", snail.take)
		r.log.add(0, requestsOf("snail", many)...)
		pass(2 * time.Second)
		for _, read := range []int64{1000, 2000, 3000, many} {
			assert.Equal(t, read, all(r.log.receipts(0)).ReadThrough)
			snail.goOn(push.Done, push.ReasonNone)
			pass(2 * time.Second)
		}
		assert.Equal(t, int64(many), r.log.position(0))
	})
}

func TestAPartitionOfManyHasNoMoreUnderWayThanItMay(t *testing.T) {
	bubble(t, 8, func(t *testing.T, r *rig) {
		r.config.MaxUnsettled = 2
		r.log.perRead = 5
		r.start()
		var snail slow
		r.connect("snail", snail.take)
		home := push.Home([]byte("snail"), 8)
		const reads = 10
		r.log.add(home, requestsOf("snail", 5*reads)...) // at once: a reader that looks in between finds smaller batches
		pass(time.Minute)
		for range reads {
			assert.Equal(t, 5, snail.count())
			snail.goOn(push.Done, push.ReasonNone)
			pass(2 * time.Second)
		}
		assert.Equal(t, int64(5*reads), r.log.position(home))
	})
}

func TestTheLastWordsAreGoodbyeAndThePositionIsCommitted(t *testing.T) {
	bubble(t, 3, func(t *testing.T, r *rig) {
		r.start()
		var snail slow
		hare := at(1, 3, 0)
		r.connect(hare, delivers)
		r.connect(at(1, 3, 1), snail.take)
		pass(time.Second)
		r.log.add(1, request(hare, "0"), request(at(1, 3, 1), "1"))
		synctest.Wait()
		r.stop()
		for p := range int32(3) {
			list := r.log.receipts(p)
			assert.Equal(t, push.Goodbye, list[len(list)-1].Presence)
		}
		list := r.log.receipts(1)
		last := list[len(list)-1]
		assert.Equal(t, []int64{0}, last.Delivered)
		assert.Equal(t, []int64{1}, last.Queued)
		assert.Equal(t, int64(1), r.log.position(1), "the end does not make settled what is not")
		events := r.log.events()
		assert.Equal(t, "commit 1 at 1", events[len(events)-1])
		require.Error(t, r.gateway.Ready())
		assert.Zero(t, r.log.open, "every reader is closed")
	})
}

func TestTheOlderOfTwoProcessesWithOneNodeIDLeavesAndSaysSo(t *testing.T) {
	bubble(t, 2, func(t *testing.T, r *rig) {
		r.start()
		r.log.add(0, request(at(0, 2, 0), "0"))
		later := time.Now().Add(time.Second).UnixMilli()
		r.log.set(func(l *fakeLog) { l.committed[0] = delivery.Position{Offset: 0, Note: fmt.Sprint(later)} })
		var superseded *delivery.SupersededError
		require.ErrorAs(t, <-r.ended, &superseded)
		r.cancel = nil
		assert.Equal(t, later, superseded.Later)
		assert.ErrorContains(t, superseded, "give each node an id of its own")
		assert.Equal(t, int64(0), r.log.position(0), "the position is the later one's")
		require.Error(t, r.gateway.Ready())
		assert.InDelta(t, 1, r.counter("pushgate_node_id_conflicts_total"), 0)
	})
}

func TestTheLaterOfTwoProcessesWithOneNodeIDStaysAndCommitsAgain(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		r.log.set(func(l *fakeLog) { l.committed[0] = delivery.Position{Offset: 0, Note: "1"} })
		pass(2 * time.Second)
		require.NoError(t, r.gateway.Ready())
		r.log.set(func(l *fakeLog) { assert.NotEqual(t, "1", l.committed[0].Note) })
		assert.InDelta(t, 1, r.counter("pushgate_node_id_conflicts_total"), 0)
	})
}

func TestAReceiptThatIsUnderWayAtTheEndIsSaidWithTheGoodbye(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		r.connect("user", delivers)
		pass(time.Second)
		r.log.set(func(l *fakeLog) { l.hold = make(chan struct{}) })
		r.log.add(0, request("user", "0"))
		pass(time.Second)
		r.log.set(func(l *fakeLog) { l.hold = nil }) // for those that come now
		r.stop()
		list := r.log.receipts(0)
		assert.Equal(t, push.Goodbye, list[len(list)-1].Presence)
		assert.Equal(t, []int64{0}, list[len(list)-1].Delivered)
		assert.Equal(t, int64(1), r.log.position(0))
	})
}

func TestTheEndIsBoundedWhenNothingCanBeWrittenAnyMore(t *testing.T) {
	bubble(t, 2, func(t *testing.T, r *rig) {
		r.start()
		r.connect(at(0, 2, 0), delivers)
		r.log.set(func(l *fakeLog) { l.hold = make(chan struct{}) })
		r.log.add(0, request(at(0, 2, 0), "0"))
		pass(time.Second)
		began := time.Now()
		r.stop()
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.Zero(t, r.log.position(0), "what could not be said is not settled")
	})
}

func TestAStartThatIsInterruptedEndsAtOnce(t *testing.T) {
	bubble(t, 2, func(t *testing.T, r *rig) {
		r.log.hold = make(chan struct{})
		r.start()
		began := time.Now()
		r.stop()
		assert.Zero(t, time.Since(began))
		assert.Empty(t, r.log.said)
	})
}

func TestPartitionsThatAreAddedAreReadFromTheirBeginning(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		user := at(1, 2, 0)
		r.connect(user, delivers)
		r.log.add(1, request(user, "0"), request(user, "1"))
		r.log.add(0, request(user, "after the addition, at its old home"))
		r.partitions.Store(2)
		pass(5 * time.Second)
		list := r.log.receipts(1)
		assert.Equal(t, push.Announce, list[0].Presence)
		assert.Zero(t, list[0].ReadThrough)
		assert.Equal(t, []int64{0, 1}, all(list).Delivered)
		assert.Equal(t, r.log.receipts(0)[0].Epoch, list[0].Epoch, "one life, one epoch")
		assert.Equal(t, int64(2), r.log.position(1))
		require.NoError(t, r.gateway.Ready())

		r.connect(user, delivers)
		pass(time.Second)
		assert.Equal(t, []push.Binding{{User: user, Type: push.AllTypes}}, all(r.log.receipts(1)).Connected, "named at its new home")
		r.stop()
		list = r.log.receipts(1)
		assert.Equal(t, push.Goodbye, list[len(list)-1].Presence)
	})
}

func TestAnOffsetThatIsLostWhileReadingIsCountedAndReadingGoesOn(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.config.MaxUnsettled = 1
		r.log.perRead = 1
		r.start()
		var snail slow
		r.connect("snail", snail.take)
		for i := range 8 {
			r.log.add(0, request("snail", fmt.Sprint(i)))
		}
		pass(time.Second) // reading stands still
		r.log.fill(0, 20)
		r.log.trim(0, 15)
		r.connect("hare", delivers)
		r.log.add(0, request("hare", "28"))
		snail.goOn(push.Done, push.ReasonNone)
		pass(2 * time.Second)
		assert.InDelta(t, 1, r.counter("pushgate_delivery_offsets_lost_total"), 0)
		said := all(r.log.receipts(0))
		assert.Equal(t, []int64{0, 1, 2, 3, 4, 5, 6, 7, 28}, said.Delivered)
		assert.Equal(t, int64(29), said.ReadThrough, "nobody waits for what is not there")
		assert.Equal(t, int64(29), r.log.position(0))
	})
}

func TestACommitThatFailsIsMadeUpForByTheNext(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		r.connect("user", delivers)
		r.log.set(func(l *fakeLog) { l.commitErr = errAway })
		r.log.add(0, request("user", "0"))
		pass(10 * time.Second)
		assert.Zero(t, r.log.position(0))
		assert.Equal(t, []int64{0}, all(r.log.receipts(0)).Delivered, "delivery goes on")
		r.log.set(func(l *fakeLog) { l.commitErr = nil })
		pass(2 * time.Second)
		assert.Equal(t, int64(1), r.log.position(0))
	})
}

func TestAnIdlePositionIsCommittedAgainBeforeItExpires(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		r.log.fill(0, 3)
		pass(10 * time.Second)
		before := r.log.commitCount()
		pass(30 * time.Minute)
		assert.Equal(t, before, r.log.commitCount(), "what has not moved is not committed all the time")
		pass(40 * time.Minute)
		assert.Equal(t, before+1, r.log.commitCount())
		assert.Equal(t, int64(3), r.log.position(0))
	})
}

func TestAStartPositionThatCannotBeCommittedEndsTheStart(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.log.commitErr = errAway
		r.start()
		err := <-r.ended
		require.ErrorIs(t, err, errAway)
		require.ErrorContains(t, err, "start position")
		r.cancel()
		r.cancel = nil
		require.Error(t, r.gateway.Ready())
		assert.Empty(t, r.log.said)
	})
}

func TestAReceiptThatIsRefusedStallsItsPartitionUntilTheTopicTakesIt(t *testing.T) {
	bubble(t, 2, func(t *testing.T, r *rig) {
		r.start()
		user := at(1, 2, 0)
		r.connect(user, delivers)
		pass(time.Second)
		refused := &push.RejectedError{Topic: receipts, Partition: 1, Err: errors.New("not authorized")}
		r.log.set(func(l *fakeLog) { l.refuse = refused })
		r.log.add(1, request(user, "0"))
		pass(10 * time.Second)
		assert.Zero(t, r.log.position(1), "it is not passed over")
		require.ErrorContains(t, r.gateway.Stalled(), "partition 1 has been trying to write to "+receipts)
		require.NoError(t, r.gateway.Ready(), "sessions are taken all the same")
		r.log.set(func(l *fakeLog) { l.refuse = nil })
		pass(10 * time.Second)
		require.NoError(t, r.gateway.Stalled())
		assert.Equal(t, int64(1), r.log.position(1))
	})
}

func TestAGatewayWhoseAnnouncementIsRefusedDoesNotStart(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		refused := &push.RejectedError{Topic: receipts, Err: errors.New("not authorized")}
		r.log.set(func(l *fakeLog) { l.refuse = refused })
		r.start()
		require.ErrorIs(t, <-r.ended, refused)
		require.Error(t, r.gateway.Ready())
		r.cancel()
		r.cancel = nil
	})
}

func TestSessionsMayReportFromAnywhereAtAnyTime(t *testing.T) {
	bubble(t, 4, func(t *testing.T, r *rig) {
		r.start()
		users := make([]string, 40)
		for i := range users {
			users[i] = fmt.Sprint("user", i)
			r.connect(users[i], func(m *push.Message, rep push.Reporter) bool {
				go func() {
					rep.Report(m, push.Held, push.ReasonNone)
					<-time.After(time.Duration(len(m.ID)) * time.Millisecond)
					if strings.HasSuffix(m.ID, "7") {
						rep.Report(m, push.Failed, push.AckTimeout)
						return
					}
					rep.Report(m, push.Done, push.ReasonNone)
				}()
				return true
			})
		}
		want := map[int32]int{}
		for i := range 2000 {
			user := users[i%len(users)]
			p := push.Home(user, 4)
			r.log.add(p, request(user, fmt.Sprint(i)))
			want[p]++
		}
		pass(5 * time.Second)
		for p, n := range want {
			said := all(r.log.receipts(p))
			slices.Sort(said.Held)
			assert.Len(t, slices.Compact(said.Held), n)
			assert.Len(t, said.Held, n, "each is held once")
			assert.Equal(t, n, len(said.Delivered)+len(said.Failed))
			assert.Equal(t, int64(n), r.log.position(p))
		}
	})
}

func TestEveryValueThatCannotWorkIsRefusedByItsName(t *testing.T) {
	require.NoError(t, delivery.DefaultConfig().Validate())
	for says, change := range map[string]func(*delivery.Config){
		"delivery.receipt_interval is 0s":        func(c *delivery.Config) { c.ReceiptInterval = 0 },
		"delivery.receipt_interval is 2s":        func(c *delivery.Config) { c.ReceiptInterval = 2 * time.Second },
		"delivery.heartbeat_interval is 1ms":     func(c *delivery.Config) { c.HeartbeatInterval = time.Millisecond },
		"delivery.commit_interval is -1s":        func(c *delivery.Config) { c.CommitInterval = -time.Second },
		"delivery.max_unsettled is 0":            func(c *delivery.Config) { c.MaxUnsettled = 0 },
		"delivery.max_catch_up is -1":            func(c *delivery.Config) { c.MaxCatchUp = -1 },
		"delivery.repeat_window is -1":           func(c *delivery.Config) { c.RepeatWindow = -1 },
		"delivery.repeat_window is 1025":         func(c *delivery.Config) { c.RepeatWindow = 1025 },
		"must be at least 10ms\ndelivery.commit": func(c *delivery.Config) { c.HeartbeatInterval, c.CommitInterval = 0, 0 },
	} {
		c := delivery.DefaultConfig()
		change(&c)
		assert.ErrorContains(t, c.Validate(), says)
	}
}
