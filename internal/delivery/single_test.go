package delivery_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

func single(id, data string) *push.Message {
	return &push.Message{ID: id, User: "user", Type: "order", Data: []byte(data)}
}

func TestAPushedMessageIsDeliveredAndItsEndIsWaitedFor(t *testing.T) {
	for name, row := range map[string]struct {
		take   func(*push.Message, push.Reporter) bool
		status push.Status
		reason push.Reason
		here   bool
	}{
		"written":         {says(push.Done), push.Done, push.ReasonNone, true},
		"acknowledged":    {says(push.Held, push.Done), push.Done, push.ReasonNone, true},
		"failed":          {says(push.Held, push.Failed), push.Failed, push.SlowConsumer, true},
		"held only":       {says(push.Held), push.Held, push.ReasonNone, true},
		"no word":         {says(), 0, push.ReasonNone, true},
		"another type":    {func(*push.Message, push.Reporter) bool { return false }, 0, push.ReasonNone, false},
		"delivered, late": {says(push.Failed, push.Done), push.Done, push.ReasonNone, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, r *rig) {
				r.start()
				r.hub.open("user", row.take)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				before := r.count()
				status, reason, here := r.gateway.Push(ctx, single("a", "1"))
				assert.Equal(t, []any{row.status, row.reason, row.here}, []any{status, reason, here})
				said := r.since(before)
				assert.True(t, said.Empty(), "no receipt knows of it")
			})
		})
	}
}

func TestAMessageThatIsPushedAgainIsWrittenOnce(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		phone := &device{says: []push.Status{push.Done}}
		r.hub.open("user", phone.take)
		push1 := func(m *push.Message) push.Status {
			status, _, here := r.gateway.Push(t.Context(), m)
			assert.True(t, here)
			return status
		}
		assert.Equal(t, push.Done, push1(single("a", "1")))
		pass(time.Hour)
		assert.Equal(t, push.Done, push1(single("a", "1")))
		assert.Equal(t, []string{"a"}, phone.wrote)
		push1(single("a", "2"))
		timed := single("a", "1")
		timed.Time = time.Now()
		push1(timed)
		again := *timed
		pass(time.Hour)
		push1(&again)
		assert.Equal(t, []string{"a", "a", "a"}, phone.wrote, "other content, and another time of the event, is another message")
		assert.InDelta(t, 2, r.counter(repeatsDropped), 0)
	})
}

func TestAMessageThatFailedIsWrittenAgainWhenItIsPushedAgain(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		phone := &device{says: []push.Status{push.Failed}}
		r.hub.open("user", phone.take)
		for range 2 {
			status, _, _ := r.gateway.Push(t.Context(), single("a", "1"))
			assert.Equal(t, push.Failed, status)
		}
		assert.Len(t, phone.wrote, 2)
	})
}
