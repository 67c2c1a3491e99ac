package delivery_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

const repeatsDropped = "pushgate_repeats_dropped_total"

// written is a request as the log has it.
func written(user, id string) push.Record {
	rec := request(user, id)
	rec.Time = time.Now().Truncate(time.Millisecond)
	return rec
}

// offeredAgain is how a custodian offers a request once more.
func offeredAgain(t *testing.T, rec push.Record) push.Record {
	t.Helper()
	m, err := push.ParseRequest(&rec, requests, push.Limits{DefaultTTL: time.Hour})
	require.NoError(t, err)
	l := m.Lineage()
	l.Attempt++
	return push.OfferRecord(&rec, l, push.NoWait)
}

// device is a session that counts what is written to it, and reports as it is
// told.
type device struct {
	wrote []string
	says  []push.Status
}

func (d *device) take(m *push.Message, r push.Reporter) bool {
	d.wrote = append(d.wrote, m.ID)
	for _, s := range d.says {
		r.Report(m, s, push.AckTimeout)
	}
	return true
}

func TestAMessageThatWasDeliveredIsNotWrittenAgainWhenItIsOfferedAgain(t *testing.T) {
	for name, says := range map[string][]push.Status{
		"written, where the client does not acknowledge": {push.Done},
		"acknowledged":            {push.Held, push.Done},
		"acknowledged, but late":  {push.Held, push.Failed, push.Done},
		"acknowledged by another": {push.Failed, push.Done},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, r *rig) {
				r.start()
				phone := &device{says: says}
				r.connect("user", phone.take)
				rec := written("user", "a")
				r.log.add(0, rec)
				pass(time.Second)
				r.log.add(0, offeredAgain(t, rec))
				pass(time.Second)
				r.hub.open("user", func(*push.Message, push.Reporter) bool { return false })
				r.log.add(0, offeredAgain(t, rec))
				pass(2 * time.Second)
				assert.Equal(t, []string{"a"}, phone.wrote)
				said := all(r.log.receipts(0))
				assert.Equal(t, []int64{0, 1, 2}, said.Delivered, "its outcome is known, whatever sessions the user has by now")
				assert.Empty(t, said.Queued)
				assert.Equal(t, int64(3), r.log.position(0))
				assert.InDelta(t, 2, r.counter(repeatsDropped), 0)
				assert.InDelta(t, 0, r.counter("pushgate_requests_dropped_total"), 0)
			})
		})
	}
}

func TestWhatWasNotDeliveredIsWrittenAgain(t *testing.T) {
	for name, says := range map[string][]push.Status{
		"it has failed":                  {push.Held, push.Failed},
		"its acknowledgement is awaited": {push.Held},
		"it is not written yet":          nil,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, r *rig) {
				r.start()
				phone := &device{says: says}
				r.connect("user", phone.take)
				rec := written("user", "a")
				r.log.add(0, rec)
				pass(time.Second)
				r.log.add(0, offeredAgain(t, rec))
				pass(time.Second)
				assert.Equal(t, []string{"a", "a"}, phone.wrote, "handed to the session, which joins it to what is under way")
				assert.InDelta(t, 0, r.counter(repeatsDropped), 0)
			})
		})
	}
}

func TestAnotherMessageWithTheSameIDIsDelivered(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.start()
		phone := &device{says: []push.Status{push.Done}}
		r.connect("user", phone.take)
		first := written("user", "a")
		batch := first // its producer gives every message the same id, and Kafka a batch the same time
		batch.Value = []byte("y")
		later := first
		later.Time = first.Time.Add(time.Millisecond)
		r.log.add(0, first, batch, later)
		pass(time.Second)
		assert.Equal(t, []string{"a", "a", "a"}, phone.wrote)
		r.log.add(0, offeredAgain(t, later), offeredAgain(t, batch), offeredAgain(t, first))
		pass(time.Second)
		assert.Len(t, phone.wrote, 3, "each is known")
		assert.InDelta(t, 3, r.counter(repeatsDropped), 0)
	})
}

func TestRepeatsAreKnownAsFarBackAsTheWindowReaches(t *testing.T) {
	for window, want := range map[int][]string{
		0: {"0", "1", "2", "3", "0", "1", "2", "3"},
		1: {"0", "1", "2", "3", "0", "1", "2"},
		2: {"0", "1", "2", "3", "0", "1"},
		4: {"0", "1", "2", "3"},
	} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, r *rig) {
				r.config.RepeatWindow = window
				r.start()
				phone := &device{says: []push.Status{push.Done}}
				r.connect("user", phone.take)
				var again []push.Record
				for i := range 4 {
					rec := written("user", fmt.Sprint(i))
					r.log.add(0, rec)
					again = append(again, offeredAgain(t, rec))
				}
				pass(time.Second)
				r.log.add(0, again[4-window:]...)
				pass(time.Second)
				assert.Len(t, phone.wrote, 4, "the latest")
				r.log.add(0, again[:4-window]...)
				pass(time.Second)
				assert.Equal(t, want, phone.wrote)
				assert.InDelta(t, window, r.counter(repeatsDropped), 0)
			})
		})
	}
}
