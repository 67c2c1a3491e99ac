package custody

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

func TestAUserWhoComesAndGoesAllDayCostsNoMoreThanOnce(t *testing.T) {
	m := NewMachine(Start{Now: time.Now()})
	for at := range int64(1000) {
		// A gateway is always a little ahead of its custodian.
		m.Receipt(at, &push.Receipt{
			Node: "A", Epoch: 1, ReadThrough: at + 10, Connected: []push.Binding{{User: "42", Type: push.AllTypes}},
		})
		m.RequestsRead(at)
	}
	assert.Len(t, m.earlyBound["42"], 1)
}

// BenchmarkReceiptsWhileMuchIsJudgedAgain: a gateway that held many messages has
// ended, and another one is far behind.
func BenchmarkReceiptsWhileMuchIsJudgedAgain(b *testing.B) {
	const messages, gateways = 50_000, 30
	m := NewMachine(Start{Policy: Policy{Custody: DefaultConfig(), Waiting: DefaultWaitingConfig()}, Now: time.Now()})
	m.Restored()
	at := int64(0)
	say := func(r push.Receipt) {
		m.Receipt(at, &r)
		at++
	}
	say(push.Receipt{Node: "behind", Epoch: 1})
	for n := range gateways {
		say(push.Receipt{Node: fmt.Sprint(n), Epoch: 1, ReadThrough: messages})
	}
	held := make([]int64, messages)
	for o := range held {
		held[o] = int64(o)
		m.Request(Request{Offset: int64(o), User: fmt.Sprint(o), Expires: time.Now().Add(time.Hour), EndsWait: push.NoWait})
	}
	say(push.Receipt{Node: "ends", Epoch: 1, ReadThrough: messages, Held: held})
	say(push.Receipt{Node: "ends", Epoch: 1, ReadThrough: messages, Presence: push.Goodbye})
	b.ResetTimer()
	for b.Loop() {
		say(push.Receipt{Node: "0", Epoch: 1, ReadThrough: messages})
	}
}
