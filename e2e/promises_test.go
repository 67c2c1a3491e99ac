package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestMessagesOfAUserArriveInOrder(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		c := connect(t, n, "42")
		list, ids := messages("42", "m", 500)
		d.send(list...)
		c.waitFor(20*time.Second, ids...)
		assert.Equal(t, ids, c.ids())
		for _, f := range c.got() {
			assert.Equal(t, 1, f.Attempt)
			assert.JSONEq(t, fmt.Sprintf(`{"id":%q}`, f.ID), string(f.Data))
		}
	})
}

func TestEachDeviceOfAUserGetsTheMessagesOfItsType(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		all := connect(t, n, "42")
		orders, err := dial(t, "ws://"+n.gateway+"/websocket/order/42")
		require.NoError(t, err)
		d.send(message{id: "o", user: "42", kind: "order"}, message{id: "c", user: "42", kind: "chat"})
		all.waitFor(10*time.Second, "o", "c")
		orders.waitFor(10*time.Second, "o")
		assert.Equal(t, []string{"o"}, orders.ids())
	})
}

func TestWhoWasOfflineGetsTheMessageOnConnecting(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		list, ids := messages("42", "m", 20)
		d.send(list...)
		waits := d.read("retry", 10*time.Second, func(all []*kgo.Record) bool { return len(all) >= len(ids) })
		require.Len(t, waits, len(ids), "they wait")
		assert.Equal(t, "offline", header(waits[0], "pushgate-reason"))

		began := time.Now()
		c := connect(t, n, "42")
		c.waitFor(10*time.Second, ids...)
		t.Logf("%d waiting messages arrived %s after connecting began", len(ids), time.Since(began).Round(time.Millisecond))
		assert.Greater(t, c.got()[0].Attempt, 1, "the frame says that it was offered before")
	})
}

func TestAUserWhoMovesFromNodeToNodeMissesNothing(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		a, b := d.node("a"), d.node("b")
		r := roam(t, "42", a, b)
		var ids []string
		for i := range 60 {
			id := fmt.Sprintf("m-%d", i)
			d.send(message{id: id, user: "42"})
			ids = append(ids, id)
			if i%10 == 5 {
				r.hop()
			}
		}
		require.True(t, poll(20*time.Second, func() bool { return len(r.missing(ids)) == 0 }), "missing: %v", r.missing(ids))
		t.Logf("repeats: %d", r.repeats())
	})
}

func TestASlowClientDoesNotDelayItsNeighbours(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a", with("PUSHGATE_RETRY_BACKOFF_INITIAL", "30s"), with("PUSHGATE_RETRY_BACKOFF_MAX", "30s"))
		// A client that never reads, and a neighbour on the same partition.
		stuck := stall(t, n, "42")
		defer stuck()
		neighbour := sameHome("42")
		c := connect(t, n, neighbour)
		big := fmt.Sprintf(`{"x":%q}`, string(slices.Repeat([]byte("y"), 40_000)))
		var flood []message
		for i := range 200 {
			flood = append(flood, message{id: fmt.Sprintf("big-%d", i), user: "42", data: big})
		}
		go d.trySend(flood...)
		var slowest time.Duration
		for i := range 50 {
			id := fmt.Sprintf("n-%d", i)
			began := time.Now()
			d.send(message{id: id, user: neighbour})
			c.waitFor(10*time.Second, id)
			slowest = max(slowest, time.Since(began))
		}
		t.Logf("slowest of the neighbour's messages: %s", slowest.Round(time.Millisecond))
		assert.Less(t, slowest, 2*time.Second)
		require.True(t, poll(15*time.Second, func() bool {
			return n.metric("pushgate_failed_total", "slow_consumer") > 0
		}), "what the slow client did not take was handed over")
	})
}

func TestWhoReadsGetsABacklogLargerThanTheBuffer(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		big := fmt.Sprintf(`{"x":%q}`, strings.Repeat("y", 1000))
		const many = 600 // six times the buffer
		var ids []string
		var backlog, burst []message
		for i := range many {
			backlog = append(backlog, message{id: fmt.Sprint("waits-", i), user: "42", data: big})
			burst = append(burst, message{id: fmt.Sprint("burst-", i), user: "43", data: big})
			ids = append(ids, backlog[i].id)
		}
		d.send(backlog...)
		require.True(t, poll(10*time.Second, func() bool { return n.metric("pushgate_waiting") == many }), "they wait")
		began := time.Now()
		connect(t, n, "42").waitFor(20*time.Second, ids...)
		t.Logf("%d waiting messages of 1 KB arrived within %s of connecting", many, time.Since(began).Round(time.Millisecond))

		c := connect(t, n, "43")
		began = time.Now()
		d.send(burst...)
		ids = ids[:0]
		for _, m := range burst {
			ids = append(ids, m.id)
		}
		c.waitFor(20*time.Second, ids...)
		t.Logf("a burst of %d messages of 1 KB arrived within %s", many, time.Since(began).Round(time.Millisecond))
		assert.Zero(t, n.metric("pushgate_dead_lettered_total"), "a burst uses up nobody's attempts")
	})
}

func TestAMissingAcknowledgementIsOfferedAgainUntilTheAttemptsRunOut(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a", with("PUSHGATE_SESSION_ACK_TIMEOUT", "300ms"), with("PUSHGATE_RETRY_MAX_ATTEMPTS", "3"))
		c := connect(t, n, "42", silent)
		d.send(message{id: "m", user: "42", data: `{"order": 991 }`})
		dead := d.read("dead-letter", 30*time.Second, func(all []*kgo.Record) bool { return len(all) > 0 })
		require.Len(t, dead, 1)
		assert.Equal(t, "exhausted", header(dead[0], "pushgate-reason"))
		assert.Equal(t, "m", header(dead[0], "pushgate-id"))
		assert.Equal(t, `{"order": 991 }`, string(dead[0].Value), "the bytes are untouched")
		assert.Equal(t, "42", string(dead[0].Key))
		assert.Equal(t, "/e2e", header(dead[0], "ce_source"))
		var attempts []int
		for _, f := range c.got() {
			attempts = append(attempts, f.Attempt)
		}
		require.Len(t, attempts, 3, "offered as often as configured")
		// The first may be a later offering: one that found nobody, as the directory did not
		// have the session yet, was written to none and used nothing up.
		assert.Equal(t, []int{attempts[0], attempts[0] + 1, attempts[0] + 2}, attempts)
	})
}

func TestAnAcknowledgementAtLastEndsTheOfferings(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a", with("PUSHGATE_SESSION_ACK_TIMEOUT", "300ms"))
		c := connect(t, n, "42", silent)
		d.send(message{id: "m", user: "42"})
		require.True(t, poll(15*time.Second, func() bool { return len(c.got()) >= 2 }), "offered again")
		c.leave()
		good := connect(t, n, "42")
		good.waitFor(15*time.Second, "m")
		require.True(t, poll(10*time.Second, func() bool {
			return n.metric("pushgate_outcomes_total", `outcome="delivered"`) == 1 && n.metric("pushgate_waiting") == 0
		}))
	})
}

func TestAPoisonRecordIsDeadLetteredOnceAndTheNextPasses(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		c := connect(t, n, "42")
		home := homeOf("42")
		poison := []*kgo.Record{
			{Value: []byte("no key")},
			{Key: []byte{0xff, 0xfe}, Value: []byte("key is not UTF-8")},
			{Key: []byte("42"), Value: []byte("{"), Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/json")}}},
			{Key: []byte("42"), Value: make([]byte, 70_000)},
			{Key: []byte("42"), Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: "ce_expirytime", Value: []byte("soon")}}},
		}
		d.sendTo(home, poison...)
		d.send(message{id: "next", user: "42"})
		c.waitFor(10*time.Second, "next")
		dead := d.read("dead-letter", 10*time.Second, func(all []*kgo.Record) bool { return len(all) >= len(poison) })
		require.Len(t, dead, len(poison))
		var reasons []string
		for i, r := range dead {
			reasons = append(reasons, header(r, "pushgate-reason"))
			assert.Equal(t, poison[i].Key, r.Key)
			assert.Equal(t, poison[i].Value, r.Value, "untouched")
			assert.NotEmpty(t, header(r, "pushgate-error"))
		}
		assert.Equal(t, []string{"invalid", "invalid", "invalid", "too_large", "invalid"}, reasons)
		again := d.read("dead-letter", time.Second, func(all []*kgo.Record) bool { return len(all) > len(poison) })
		assert.Len(t, again, len(poison), "once each")
	})
}

func TestAMessageThatExpiresWhileItsUserIsAwayIsNotDelivered(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		d.send(message{id: "m", user: "42", ttl: 500 * time.Millisecond})
		dead := d.read("dead-letter", 10*time.Second, func(all []*kgo.Record) bool { return len(all) > 0 })
		require.Len(t, dead, 1)
		assert.Equal(t, "expired", header(dead[0], "pushgate-reason"))
		c := connect(t, n, "42")
		d.send(message{id: "later", user: "42"})
		c.waitFor(10*time.Second, "later")
		assert.Equal(t, []string{"later"}, c.ids())
	})
}

func TestAnyPartitionerIsServed(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		other, err := kgo.NewClient(kgo.SeedBrokers(d.brokers...), kgo.RecordPartitioner(librdkafkaPartitioner()))
		require.NoError(t, err)
		defer other.Close()
		var clients []*client
		for i := range 12 {
			clients = append(clients, connect(t, n, fmt.Sprint("user-", i)))
		}
		var records []*kgo.Record
		for i := range 12 {
			user := fmt.Sprint("user-", i)
			records = append(records, d.record(message{id: "of-" + user, user: user}))
		}
		require.NoError(t, other.ProduceSync(t.Context(), records...).FirstErr())
		for i, c := range clients {
			c.waitFor(10*time.Second, fmt.Sprint("of-user-", i))
		}
		assert.Positive(t, n.metric("pushgate_rehomed_total"), "some were found outside their home, and counted")
		for _, c := range clients {
			assert.Len(t, c.got(), 1, "once each")
		}
	})
}

func TestKillingAGatewayLosesNothing(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		a, b := d.node("a"), d.node("b")
		load := startLoad(t, d, 30, a, b)
		load.during(2*time.Second, func() {
			a.kill()
		})
		load.complete(40 * time.Second)
	})
}

func TestRestartingEveryNodeLosesNothing(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		a, b := d.node("a"), d.node("b")
		load := startLoad(t, d, 30, a, b)
		load.during(2*time.Second, func() {
			a.kill()
			b.kill()
			a.again(d).ready(30 * time.Second)
			b.again(d).ready(30 * time.Second)
		})
		load.complete(40 * time.Second)
	})
}

func TestARestartWithAStableNodeIDIsReadyInTwoSeconds(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		a := d.node("a")
		d.node("b") // somebody else keeps the group alive
		c := connect(t, a, "42")
		list, ids := messages("42", "m", 50)
		d.send(list...)
		c.waitFor(10*time.Second, ids...)
		a.kill()
		began := time.Now()
		a = a.again(d)
		a.ready(10 * time.Second)
		took := time.Since(began)
		t.Logf("ready after %s", took.Round(time.Millisecond))
		assert.Less(t, took, 2*time.Second)
		c = connect(t, a, "42")
		d.send(message{id: "after", user: "42"})
		c.waitFor(15*time.Second, "after")
	})
}

func TestAFloodForUnknownUsersDoesNotStarveOwners(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		c := connect(t, n, "42")
		var flood []message
		for i := range 5000 {
			flood = append(flood, message{id: fmt.Sprint("f-", i), user: fmt.Sprint("nobody-", i)})
		}
		go d.trySend(flood...)
		var slowest time.Duration
		for i := range 30 {
			id := fmt.Sprint("m-", i)
			began := time.Now()
			d.send(message{id: id, user: "42"})
			c.waitFor(10*time.Second, id)
			slowest = max(slowest, time.Since(began))
		}
		t.Logf("slowest of the owner's messages: %s", slowest.Round(time.Millisecond))
		assert.Less(t, slowest, 3*time.Second)
	})
}

func TestSIGTERMDrainsInOrderAndExitsZero(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		a, b := d.node("a"), d.node("b")
		load := startLoad(t, d, 10, a, b)
		c := connect(t, a, "42")
		load.during(time.Second, func() {
			a.signal(syscall.SIGTERM)
			require.True(t, poll(3*time.Second, func() bool {
				code, _, err := get(t.Context(), "http://"+a.admin+"/readyz")
				return err != nil || code == 503
			}), "not ready while draining")
			assert.Zero(t, a.exit(15*time.Second))
		})
		<-c.ended
		assert.Equal(t, websocket.StatusGoingAway, c.closing, "sessions are told to go elsewhere")
		load.complete(30 * time.Second)
	})
}

func TestTheOlderOfTwoProcessesWithOneNodeIDLeavesAndNothingIsLost(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		old, other := d.node("a"), d.node("b")
		load := startLoad(t, d, 10, old, other)
		load.during(time.Second, func() {
			young := d.node("a")
			assert.Equal(t, 1, old.exit(20*time.Second))
			assert.Contains(t, old.out.String(), "give each node an id of its own")
			assert.Zero(t, young.metric("pushgate_dead_lettered_total"))
			young.ready(10 * time.Second)
		})
		load.complete(40 * time.Second)
	})
}

func TestAProducerCanAwaitWhatBecameOfItsMessages(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a", with("PUSHGATE_OUTCOMES_ENABLED", "true"))
		c := connect(t, n, "42")
		said := finished(t, 0, d.env(), "send", "--user", "42", "--count", "5", "--wait")
		assert.Equal(t, 5, strings.Count(said, " delivered after "), said)
		assert.Len(t, c.ids(), 5)
		said = finished(t, 1, d.env(), "send", "--user", "43", "--ttl", "300ms", "--wait")
		assert.Contains(t, said, " expired after ")

		d.send(message{id: "m", user: "44"})
		require.True(t, poll(10*time.Second, func() bool { return n.metric("pushgate_waiting") == 1 }))
		connect(t, n, "44").waitFor(10*time.Second, "m")
		outcomes := d.read("outcomes", 10*time.Second, func(all []*kgo.Record) bool { return len(all) >= 7 })
		require.Len(t, outcomes, 7, "one a message")
		for _, r := range outcomes {
			if header(r, "pushgate-id") == "m" {
				assert.Equal(t, "44", string(r.Key))
				assert.Contains(t, string(r.Value), `"outcome":"delivered"`)
				assert.Contains(t, string(r.Value), `"attempts":2`)
				assert.NotContains(t, string(r.Value), "may_repeat")
			}
		}
	})
}

func TestASecondSignalExitsNow(t *testing.T) {
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		n := d.node("a", with("PUSHGATE_DRAIN_TIMEOUT", "60s"))
		for i := range 20 {
			connect(t, n, fmt.Sprint("u", i))
		}
		n.signal(syscall.SIGTERM)
		require.True(t, poll(5*time.Second, func() bool {
			_, body, err := get(t.Context(), "http://"+n.admin+"/readyz")
			return err != nil || contains(body, "draining: connect")
		}))
		n.signal(syscall.SIGTERM)
		assert.NotZero(t, n.exit(3*time.Second))
	})
}

func TestANodeRefusesToRunOnWrongTopicsAndSaysWhatToType(t *testing.T) {
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		n := d.start("a", with("PUSHGATE_KAFKA_TOPICS_RETRY", d.topic("absent")))
		assert.Equal(t, 1, n.exit(30*time.Second))
		assert.Contains(t, n.out.String(), "pushgate topics apply")
	})
}

func TestTwoNodesShareTheCustodyAndTakeItOver(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		a, b := d.node("a"), d.node("b")
		require.True(t, poll(20*time.Second, func() bool {
			return answersFor(a) == partitions/2 && answersFor(b) == partitions/2
		}), "two each")
		list, ids := messages("42", "m", 10)
		d.send(list...)
		require.True(t, poll(10*time.Second, func() bool { return a.metric("pushgate_waiting")+b.metric("pushgate_waiting") == 10 }))
		a.kill()
		require.True(t, poll(30*time.Second, func() bool { return answersFor(b) == partitions }), "b takes over all")
		c := connect(t, b, "42")
		c.waitFor(10*time.Second, ids...)
	})
}

func answersFor(n *node) int {
	_, body, err := get(n.t.Context(), "http://"+n.admin+"/metrics")
	if err != nil {
		return -1
	}
	count := 0
	for p := range partitions {
		if contains(body, fmt.Sprintf(`pushgate_custody_in_flight{partition="%d"}`, p)) {
			count++
		}
	}
	return count
}

func TestALoadOfOrdersReachesTheUserThroughHTTPToo(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		c := connect(t, n, "42")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		id := post(ctx, t, "http://"+n.gateway+"/v1/users/42/messages?ttl=1h", `{"order":991}`)
		c.waitFor(10*time.Second, id)
	})
}
