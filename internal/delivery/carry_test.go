package delivery_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

// called is a rig whose gateway is called, with one partition.
func called(t *testing.T, test func(*testing.T, *rig)) {
	t.Helper()
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		r.gateway.SetCalled(true)
		pass(time.Second)
		test(t, r)
	})
}

// carriage brings requests that begin at an offset.
func carriage(from int64, records ...push.Record) *push.Carriage {
	c := &push.Carriage{Records: records}
	for i := range c.Records {
		c.Records[i].Offset = from + int64(i)
		if c.Records[i].Time.IsZero() {
			c.Records[i].Time = time.Now()
		}
	}
	return c
}

// carry brings it.
func (r *rig) carry(c *push.Carriage) push.Receipt {
	r.t.Helper()
	answer, err := r.gateway.Carry(r.t.Context(), c)
	require.NoError(r.t, err)
	return answer
}

// since returns what receipts say beyond the first n.
func (r *rig) since(n int) push.Receipt {
	pass(2 * time.Second)
	return all(r.log.receipts(0)[n:])
}

func (r *rig) count() int {
	pass(2 * time.Second)
	return len(r.log.receipts(0))
}

// carried is how many messages custodians were told that of.
func (r *rig) carried(result string) int {
	r.t.Helper()
	families, err := r.registry.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "pushgate_carried_total" && m.GetLabel()[0].GetValue() == result {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	require.Fail(r.t, "no result "+result)
	return 0
}

// says is a session that reports that at once, of each message.
func says(words ...push.Status) func(*push.Message, push.Reporter) bool {
	return func(m *push.Message, r push.Reporter) bool {
		for _, s := range words {
			reason := push.ReasonNone
			if s == push.Failed {
				reason = push.SlowConsumer
			}
			r.Report(m, s, reason)
		}
		return true
	}
}

func TestTheAnswerToACallIsTheReceipt(t *testing.T) {
	called(t, func(t *testing.T, r *rig) {
		r.hub.open("written", says(push.Done))
		r.hub.open("acknowledges", says(push.Held))
		r.hub.open("acknowledged", says(push.Held, push.Done))
		r.hub.open("slow", says(push.Failed))
		r.hub.open("late", says(push.Failed, push.Done))
		r.hub.open("silent", says())
		r.hub.open("other type", func(*push.Message, push.Reporter) bool { return false })
		expired := request("written", "f", header(push.HeaderExpires, time.Now().Add(-time.Second).Format(time.RFC3339)))
		invalid := request("written", "g", header(push.HeaderTime, "noon"))
		before := r.count()
		answer := r.carry(carriage(10,
			request("written", "a"), request("acknowledges", "b"), request("acknowledged", "c"), request("slow", "d"), request("silent", "e"),
			request("nobody", "h"), request("other type", "i"), expired, invalid, request("late", "j")))
		assert.Equal(t, push.Receipt{
			Node: "a", Epoch: r.log.receipts(0)[0].Epoch, Called: true,
			Delivered: []int64{10, 12, 19}, Held: []int64{11}, Queued: []int64{14}, Failed: []push.Failure{
				{Offset: 17, Reason: push.WriteError}, {Offset: 18, Reason: push.WriteError}, {Offset: 13, Reason: push.SlowConsumer},
			},
		}, answer, "left out is only what has no session here that takes it")
		said := r.since(before)
		assert.Equal(t, push.Receipt{
			Delivered: []int64{10, 12, 19}, Held: []int64{11, 12},
			Failed: []push.Failure{{Offset: 13, Reason: push.SlowConsumer}, {Offset: 19, Reason: push.SlowConsumer}},
		}, said, "the log has it, too")
		for result, n := range map[string]int{"delivered": 3, "held": 1, "queued": 1, "failed": 3, "absent": 2} {
			assert.Equal(t, n, r.carried(result), result)
		}
		assert.InDelta(t, 1, r.counter("pushgate_carriages_total"), 0)
		assert.InDelta(t, 3, r.counter("pushgate_delivered_total"), 0)
		assert.InDelta(t, 2, r.counter("pushgate_held_total"), 0)
		assert.InDelta(t, 2, r.counter("pushgate_failed_total"), 0)
		assert.InDelta(t, 2, r.counter("pushgate_unsettled"), 0, "one is held, one has had no word")
		assert.InDelta(t, 0, r.counter("pushgate_requests_dropped_total"), 0, "nothing was read in vain")
	})
}

func TestACallIsAnsweredAsSoonAsEveryMessageHasHadItsFirstWord(t *testing.T) {
	called(t, func(t *testing.T, r *rig) {
		phone := &slow{}
		r.hub.open("user", phone.take)
		var after time.Duration
		done := make(chan push.Receipt)
		begun := time.Now()
		go func() {
			answer := r.carry(carriage(0, request("user", "a"), request("user", "b")))
			after = time.Since(begun)
			done <- answer
		}()
		synctest.Wait()
		<-time.After(3 * time.Millisecond)
		phone.goOn(push.Held, push.ReasonNone)
		answer := <-done
		assert.Equal(t, []int64{0, 1}, answer.Held)
		assert.Equal(t, 3*time.Millisecond, after)
	})
}

func TestWhatHasNoWordWithinTheBoundIsQueuedAndItsWordFollowsInAReceipt(t *testing.T) {
	for name, row := range map[string]struct {
		says []push.Status
		want push.Receipt
	}{
		"delivered":            {[]push.Status{push.Done}, push.Receipt{Delivered: []int64{5}}},
		"held, then delivered": {[]push.Status{push.Held, push.Done}, push.Receipt{Held: []int64{5}, Delivered: []int64{5}}},
		"failed":               {[]push.Status{push.Failed}, push.Receipt{Failed: []push.Failure{{Offset: 5, Reason: push.AckTimeout}}}},
	} {
		t.Run(name, func(t *testing.T) {
			called(t, func(t *testing.T, r *rig) {
				var report func(push.Status)
				r.hub.open("user", func(m *push.Message, to push.Reporter) bool {
					report = func(s push.Status) { to.Report(m, s, push.AckTimeout) }
					return true
				})
				before, begun := r.count(), time.Now()
				answer := r.carry(carriage(5, request("user", "a")))
				assert.Equal(t, 5*time.Millisecond, time.Since(begun))
				assert.Equal(t, []int64{5}, answer.Queued)
				for _, s := range row.says {
					report(s)
				}
				said := r.since(before)
				assert.Equal(t, row.want, said)
				for _, rec := range r.log.receipts(0)[before:] {
					assert.True(t, rec.Called)
					assert.Zero(t, rec.ReadThrough)
				}
			})
		})
	}
}

func TestWhatIsHeldInAnAnswerHasItsLastWordInAReceipt(t *testing.T) {
	called(t, func(t *testing.T, r *rig) {
		var report func(push.Status, push.Reason)
		r.hub.open("user", func(m *push.Message, to push.Reporter) bool {
			report = func(s push.Status, reason push.Reason) { to.Report(m, s, reason) }
			to.Report(m, push.Held, push.ReasonNone)
			return true
		})
		before := r.count()
		assert.Equal(t, []int64{3}, r.carry(carriage(3, request("user", "a"))).Held)
		report(push.Failed, push.AckTimeout)
		assert.Equal(t, push.Receipt{Held: []int64{3}, Failed: []push.Failure{{Offset: 3, Reason: push.AckTimeout}}}, r.since(before))
		before = r.count()
		report(push.Done, push.ReasonNone)
		assert.Equal(t, push.Receipt{Delivered: []int64{3}}, r.since(before), "a late acknowledgement")
		assert.InDelta(t, 1, r.counter("pushgate_delivered_total"), 0)
	})
}

func TestAMessageThatWasDeliveredIsAnsweredAndNotWrittenAgain(t *testing.T) {
	called(t, func(t *testing.T, r *rig) {
		phone := &device{says: []push.Status{push.Done}}
		r.hub.open("user", phone.take)
		rec := written("user", "a")
		assert.Equal(t, []int64{0}, r.carry(carriage(0, rec)).Delivered)
		assert.Equal(t, []int64{0}, r.carry(carriage(0, rec)).Delivered, "the answer did not get through")
		assert.Equal(t, []int64{8}, r.carry(carriage(8, offeredAgain(t, rec))).Delivered, "nor did the receipt")
		assert.Equal(t, []string{"a"}, phone.wrote)
		assert.InDelta(t, 2, r.counter(repeatsDropped), 0)
	})
}

// joins is a session that joins offerings of one message while it is not settled.
type joins struct {
	mu    sync.Mutex
	wrote []string
	open  map[string][]func(push.Status)
}

func (j *joins) take(m *push.Message, r push.Reporter) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open == nil {
		j.open = map[string][]func(push.Status){}
	}
	if len(j.open[m.ID]) == 0 {
		j.wrote = append(j.wrote, m.ID)
	}
	j.open[m.ID] = append(j.open[m.ID], func(s push.Status) { r.Report(m, s, push.AckTimeout) })
	return true
}

func (j *joins) say(id string, s push.Status) {
	j.mu.Lock()
	list := append([]func(push.Status){}, j.open[id]...)
	j.mu.Unlock()
	for _, report := range list {
		report(s)
	}
}

func TestTwoCallsOfTheSameOffsetAtOnceAreBothToldAndCountOnce(t *testing.T) {
	for _, end := range []push.Status{push.Done, push.Failed} {
		t.Run(end.String(), func(t *testing.T) {
			called(t, func(t *testing.T, r *rig) {
				phone := &joins{}
				r.hub.open("user", phone.take)
				before := r.count()
				rec := written("user", "a")
				first := r.carry(carriage(4, rec))
				assert.Equal(t, []int64{4}, first.Queued)
				second := make(chan push.Receipt)
				go func() { second <- r.carry(carriage(4, rec)) }()
				synctest.Wait()
				phone.say("a", end)
				answer, said := <-second, r.since(before)
				if end == push.Done {
					assert.Equal(t, []int64{4}, answer.Delivered)
					assert.Equal(t, push.Receipt{Delivered: []int64{4}}, said)
				} else {
					assert.Equal(t, []push.Failure{{Offset: 4, Reason: push.AckTimeout}}, answer.Failed)
					assert.Equal(t, push.Receipt{Failed: append(answer.Failed, answer.Failed...)}, said)
				}
				assert.Equal(t, []string{"a"}, phone.wrote)
				assert.InDelta(t, 1, r.counter("pushgate_delivered_total")+r.counter("pushgate_failed_total"), 0)
				assert.InDelta(t, 0, r.counter("pushgate_unsettled"), 0, "nothing is left over")
			})
		})
	}
}

func TestASessionThatEndsDuringACallFailsItsMessages(t *testing.T) {
	called(t, func(t *testing.T, r *rig) {
		phone := &slow{}
		r.hub.open("user", phone.take)
		got := make(chan push.Receipt)
		go func() { got <- r.carry(carriage(0, request("user", "a"), request("user", "b"))) }()
		synctest.Wait()
		r.hub.close("user")
		phone.goOn(push.Failed, push.Offline)
		assert.Equal(t, []push.Failure{{Offset: 0, Reason: push.Offline}, {Offset: 1, Reason: push.Offline}}, (<-got).Failed)
	})
}

func TestACallWhoseCallerIsGoneIsCutShortAndLosesNoWord(t *testing.T) {
	called(t, func(t *testing.T, r *rig) {
		phone := &slow{}
		r.hub.open("user", phone.take)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		before, begun := r.count(), time.Now()
		answer, err := r.gateway.Carry(ctx, carriage(0, request("user", "a")))
		require.NoError(t, err)
		assert.Zero(t, time.Since(begun))
		assert.Equal(t, []int64{0}, answer.Queued)
		phone.goOn(push.Done, push.ReasonNone)
		assert.Equal(t, push.Receipt{Delivered: []int64{0}}, r.since(before))
	})
}

func TestMessagesOfACallReachTheirUserInOrder(t *testing.T) {
	called(t, func(t *testing.T, r *rig) {
		phone := &device{says: []push.Status{push.Done}}
		r.hub.open("user", phone.take)
		var records []push.Record
		var want []string
		for i := range 100 {
			records = append(records, request("user", fmt.Sprint(i)), request("nobody", fmt.Sprint(i)))
			want = append(want, fmt.Sprint(i))
		}
		assert.Len(t, r.carry(carriage(0, records...)).Delivered, 100)
		assert.Equal(t, want, phone.wrote)
	})
}

func TestNothingIsCarriedToAGatewayThatIsNotPreparedOrDoesNotKnowThePartition(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		release := make(chan struct{})
		r.log.hold = release
		r.start()
		_, err := r.gateway.Carry(t.Context(), carriage(0, request("user", "a")))
		require.ErrorContains(t, err, "waiting for kafka")
		close(release)
		pass(time.Second)
		for _, partition := range []int32{-1, 1} {
			_, err = r.gateway.Carry(t.Context(), &push.Carriage{Partition: partition})
			require.ErrorContains(t, err, "is not known here")
		}
		r.hub.open("user", says(push.Done))
		answer := r.carry(carriage(0, request("user", "a")))
		assert.Equal(t, []int64{0}, answer.Delivered, "one that reads takes it all the same: the caller has not heard yet")
		assert.False(t, answer.Called)
		r.stop()
		_, err = r.gateway.Carry(t.Context(), carriage(0, request("user", "a")))
		require.ErrorContains(t, err, "stopped")
	})
}

func TestWhereOrderIsStrictWhatNobodyHasOfferedIsNotTaken(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.config.Order = "strict"
		r.start()
		r.hub.open("user", says(push.Done))
		rec := written("user", "a")
		answer := r.carry(carriage(0, rec, offeredAgain(t, rec)))
		assert.Equal(t, []int64{1}, answer.Delivered)
	})
}
