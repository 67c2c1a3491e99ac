package repeats_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
	"pushgate/internal/repeats"
)

const topic = "push.requests"

func request(headers ...push.Header) push.Record {
	return push.Record{
		Partition: 3, Offset: 17, Time: time.UnixMilli(1_790_000_000_123), Key: []byte("42"), Value: []byte(`{"order":991}`),
		Headers: push.NewHeaders(headers...),
	}
}

func parse(t *testing.T, rec push.Record) push.Message {
	t.Helper()
	m, err := push.ParseRequest(&rec, topic, push.Limits{DefaultTTL: time.Hour})
	require.NoError(t, err)
	return m
}

func TestAMessageHasOneKeyHoweverOftenItIsOffered(t *testing.T) {
	w := repeats.New(64, 100)
	text := func(k, v string) push.Header { return push.Header{Key: k, Value: []byte(v)} }
	for name, rec := range map[string]push.Record{
		"bare": request(),
		"with everything a producer may say": request(
			text(push.HeaderID, "order-991"), text(push.HeaderType, "order"), text(push.HeaderSource, "/shop"),
			text(push.HeaderTime, "2026-11-24T20:03:23.725123456+01:00"), text(push.HeaderContentType, "application/json"),
			text(push.HeaderExpiryTime, "2126-11-24T20:03:23Z"), text(push.HeaderTraceParent, "00-4b-f9-01"), text("other", "x")),
	} {
		t.Run(name, func(t *testing.T) {
			first := parse(t, rec)
			key := w.Key(&first)
			again := func(rec push.Record) push.Record {
				rec.Offset += 1000
				rec.Time = rec.Time.Add(time.Hour)
				return rec
			}
			moved := first.Lineage()
			home := again(push.OfferRecord(&rec, moved, push.NoWait))
			home.Partition = 5
			atHome := parse(t, home)
			assert.Equal(t, key, w.Key(&atHome), "moved to its user's home")

			l := atHome.Lineage()
			l.Failures++
			wait := again(push.WaitRecord(&home, push.Wait{Lineage: l, Origin: home.Offset, Reason: push.AckTimeout, Due: home.Time}))
			waits := parse(t, wait)
			assert.Equal(t, key, w.Key(&waits), "waiting")

			l = waits.Lineage()
			l.Attempt++
			l.MayRepeat = true
			second := parse(t, again(push.OfferRecord(&wait, l, home.Offset)))
			assert.Equal(t, key, w.Key(&second), "offered again")
		})
	}
}

func TestMessagesThatDifferInTheirUserOrAnythingItIsShownHaveKeysOfTheirOwn(t *testing.T) {
	w := repeats.New(64, 100)
	base := push.Message{
		ID: "a", User: "42", Type: "b", Source: "c", ContentType: "d",
		Time: time.UnixMilli(1), FirstSeen: time.UnixMilli(2), Data: []byte("e"),
	}
	keys := map[repeats.Key]string{w.Key(&base): "as it is"}
	for name, change := range map[string]func(*push.Message){
		"an id that was used again a millisecond later": func(m *push.Message) { m.FirstSeen = time.UnixMilli(3) },
		"another user":              func(m *push.Message) { m.User = "43" },
		"another id":                func(m *push.Message) { m.ID = "A" },
		"another type":              func(m *push.Message) { m.Type = "B" },
		"another source":            func(m *push.Message) { m.Source = "C" },
		"another content type":      func(m *push.Message) { m.ContentType = "D" },
		"another time of event":     func(m *push.Message) { m.Time = m.Time.Add(1) },
		"another payload":           func(m *push.Message) { m.Data = []byte("E") },
		"no payload":                func(m *push.Message) { m.Data = nil },
		"id and type change places": func(m *push.Message) { m.ID, m.Type = "b", "a" },
		"id and type run on":        func(m *push.Message) { m.ID, m.Type = "ab", "" },
		"type and source run on":    func(m *push.Message) { m.Type, m.Source = "", "bc" },
		"a longer payload":          func(m *push.Message) { m.Data = []byte("e" + strings.Repeat("\x00", 200)) },
		"one longer by one byte":    func(m *push.Message) { m.Data = []byte("e" + strings.Repeat("\x00", 201)) },
	} {
		m := base
		change(&m)
		key := w.Key(&m)
		assert.Empty(t, keys[key], name)
		keys[key] = name
	}
	same := base
	same.Partition, same.Offset, same.Attempt, same.Failures, same.MayRepeat, same.EndsWait = 1, 2, 3, 4, true, 5
	assert.Equal(t, w.Key(&base), w.Key(&same), "what changes from offering to offering does not count")
}

func TestKeysAreOfTheirWindow(t *testing.T) {
	m := parse(t, request())
	one, other := repeats.New(64, 100), repeats.New(64, 100)
	assert.NotEqual(t, one.Key(&m), other.Key(&m), "nobody can make messages that are confused")
}
