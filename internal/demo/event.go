package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"pushgate/internal/push"
)

// eventType is the business type of all events.
const eventType = "order"

// states an order goes through.
func states() []string {
	return []string{"placed", "paid", "packed", "shipped", "at the door", "delivered"}
}

// event is the payload of a message.
type event struct {
	Order    int    `json:"order"`
	State    string `json:"state"`
	Document string `json:"document,omitempty"`
}

// letter is one event on its way to a user.
type letter struct {
	user string
	data []byte
	ttl  time.Duration // 0: the platform's default
}

// send produces an event and returns its id. The clock of the message starts
// before that.
func (s *stage) send(ctx context.Context, user string, e event) (id string, err error) {
	data, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encoding an event: %w", err)
	}
	return s.post(ctx, letter{user: user, data: data})
}

// post produces a message as any Kafka client could: the user is the key, the
// headers are those of CloudEvents.
func (s *stage) post(ctx context.Context, l letter) (id string, err error) {
	now := time.Now()
	id = push.NewID(now)
	rec := push.Record{Key: []byte(l.user), Value: l.data}
	rec.Headers.AddText(push.HeaderSpecVersion, "1.0")
	rec.Headers.AddText(push.HeaderID, id)
	rec.Headers.AddText(push.HeaderType, eventType)
	rec.Headers.AddText(push.HeaderSource, "/pushgate/demo")
	rec.Headers.AddText(push.HeaderTime, now.UTC().Format(time.RFC3339Nano))
	rec.Headers.AddText(push.HeaderContentType, "application/json")
	if l.ttl > 0 {
		rec.Headers.AddText(push.HeaderExpiryTime, now.Add(l.ttl).UTC().Format(time.RFC3339Nano))
	}
	s.book.sent(id, l.user)
	if _, _, err := s.Publisher.Publish(ctx, rec); err != nil {
		return id, fmt.Errorf("producing a message for %s: %w", l.user, err)
	}
	return id, nil
}

// sendAll produces n events, one after the other.
func (s *stage) sendAll(ctx context.Context, user string, n int, pause time.Duration) error {
	for i := range n {
		if _, err := s.send(ctx, user, orderEvent(i)); err != nil {
			return err
		}
		if err := rest(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

// ordersAtOnce is how many orders take turns in a stream of events.
const ordersAtOnce = 4

// orderEvent is the i-th event of a stream.
func orderEvent(i int) event {
	const firstOrder = 7001
	all := states()
	return event{Order: firstOrder + i%ordersAtOnce, State: all[i/ordersAtOnce%len(all)]}
}

// bigEvent is an event that carries a document of about size bytes.
func bigEvent(i, size int) event {
	e := orderEvent(i)
	e.Document = strings.Repeat("=", size)
	return e
}

// allArrived waits until n messages have come for a user.
func (s *stage) allArrived(ctx context.Context, user string, n int) ([]parcel, error) {
	var arrived []parcel
	err := eventually(ctx, "waiting for the messages of "+user, func(context.Context) (bool, string, error) {
		arrived = s.book.arrivedFor(user)
		return len(arrived) >= n, count(len(arrived), n, "came"), s.trouble(user)
	})
	return arrived, err
}
