package custody_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

func TestInStrictOrderASuccessorDoesNotDeadLetterWhatWasDelivered(t *testing.T) {
	const messages = 30
	p := policy()
	strict(&p)
	p.Custody.MaxInFlight, p.Waiting.MaxPerUser = 20, 5
	end := int64(1 + 2*messages)
	o := &inOrder{bench: &bench{T: t, now: noon, Machine: custody.NewMachine(custody.Start{Policy: p, Now: noon, RequestsEnd: end})}}
	o.say(push.Receipt{Node: "A", Epoch: 1, Presence: push.Announce})
	var delivered []int64
	for at := end - messages; at < end; at++ {
		delivered = append(delivered, at)
	}
	o.say(push.Receipt{ReadThrough: end, Delivered: delivered})
	offered := func(user string, order int64) custody.Request {
		return custody.Request{User: user, Type: "order", Attempt: 1, Order: order, EndsWait: push.NoWait, Expires: noon.Add(time.Hour)}
	}
	o.read(offered("slow", 1)) // is held, and keeps the position back
	for range messages {
		o.send("42")
	}
	var written []custody.ActionKind
	for i := range int64(messages) {
		o.read(offered("42", i+2))
		if i == 0 {
			written = kinds(o.write())
		}
	}
	o.Restored()
	written = append(written, kinds(o.write())...)
	assert.NotContains(t, written, custody.DeadLetter)
}

func TestInStrictOrderOneFailureDoesNotKillTheQueueOfAConnectedUser(t *testing.T) {
	const messages = 3000
	o := newInOrder(t)
	o.heardFirst = true
	for range messages {
		o.send("42")
	}
	o.carry()
	o.failed(push.AckTimeout)
	assert.NotContains(t, kinds(o.Actions()), custody.DeadLetter, "they are safe in the request log")
}

func TestInStrictOrderTheFirstOfTheQueueIsNotTheOneThatOverflows(t *testing.T) {
	o := newInOrder(t, func(p *custody.Policy) { p.Waiting.MaxPerUser = 3 })
	o.heardFirst = true
	o.send("42", "42", "42")
	o.carry()
	o.away()
	o.carry()
	o.connect()
	o.carry() // the first is offered
	offered := o.last()
	o.send("42")
	o.carry() // waits in the place that is free now
	o.say(push.Receipt{ReadThrough: o.last() + 1, Failed: []push.Failure{{Offset: offered, Reason: push.AckTimeout}}})
	for _, a := range o.Actions() {
		assert.False(t, a.Kind == custody.DeadLetter && a.Order == 1, a.Text)
	}
}

func TestInStrictOrderWhatWaitsMovesHomeInOrder(t *testing.T) {
	o := newInOrder(t)
	o.heardFirst = true
	o.send("42", "42")
	o.carry()
	o.away() // the first waits as an offering, under a later name than the second
	o.carry()
	o.Rehome(func(string) (int32, bool) { return 1, true })
	var origins []int64
	for _, a := range o.Actions() {
		origins = append(origins, a.Origin)
	}
	require.Len(t, origins, 2)
	assert.Equal(t, int64(2), origins[0], "the first message")
	assert.False(t, slices.IsSorted(origins))
}

func TestInStrictOrderOnlyAFirstOfferingIsTakenForThatOfAQueuedMessage(t *testing.T) {
	o := newInOrder(t)
	o.heardFirst = true
	o.send("42", "42") // the second is queued
	o.carry()
	before := o.Stats().InFlight
	o.read(custody.Request{User: "42", Type: "order", Attempt: 2, Order: 2, EndsWait: push.NoWait, Expires: noon.Add(time.Hour)})
	assert.Equal(t, before+1, o.Stats().InFlight, "the queued message is still there")
}
