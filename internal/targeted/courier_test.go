package targeted

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/directory"
	"pushgate/internal/push"
)

// town is a directory and nodes, of whom each takes a while.
type town struct {
	mu      sync.Mutex
	away    error // look-ups fail with it
	where   map[string]string
	slow    map[string]time.Duration // how long a node takes for a call
	dead    map[string]bool
	fails   map[string]error
	trimmed map[int64]bool
	called  map[string][]int64 // node → offsets
}

func (t *town) Lookup(_ context.Context, users []string) []directory.Found {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := make([]directory.Found, len(users))
	for i, u := range users {
		found[i].Err = t.away
		if node := t.where[u]; node != "" && t.away == nil {
			found[i].Entries = []directory.Entry{{Session: directory.Session{User: u, Epoch: 1, Type: push.AllTypes}, Node: node, Life: 1}}
		}
	}
	return found
}

func (t *town) Call(ctx context.Context, node string, _ uint64, c *push.Carriage) (*push.Receipt, error) {
	t.mu.Lock()
	slow, dead, fails := t.slow[node], t.dead[node], t.fails[node]
	t.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(slow):
	}
	if dead {
		return nil, errors.New("connection refused")
	}
	if fails != nil {
		return nil, fails
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	answer := push.Receipt{Node: node, Epoch: 1}
	for _, r := range c.Records {
		t.called[node] = append(t.called[node], r.Offset)
		answer.Delivered = append(answer.Delivered, r.Offset)
	}
	return &answer, nil
}

func (t *town) records(_ context.Context, offsets []int64) ([]push.Record, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []push.Record
	for _, o := range offsets {
		if !t.trimmed[o] {
			list = append(list, push.Record{Offset: o})
		}
	}
	return list, nil
}

func (t *town) change(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// serving runs a courier in a bubble of time of its own.
func serving(t *testing.T, f func(x *town, c *Courier)) {
	synctest.Test(t, func(t *testing.T) {
		x := &town{
			where: map[string]string{}, slow: map[string]time.Duration{}, dead: map[string]bool{},
			fails: map[string]error{}, trimmed: map[int64]bool{}, called: map[string][]int64{},
		}
		c := NewCourier(CourierParams{
			Policy:    Policy{Cache: time.Second, CallMessages: 100, CallBytes: 1 << 20, MaxQueued: 1000},
			Directory: x, Calls: x, Logger: zap.NewNop(), Metrics: NewMetrics(prometheus.NewRegistry()),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx, x.records) }()
		f(x, c)
		cancel()
		require.NoError(t, <-done)
	})
}

// take returns what the courier learns within a time.
func take(c *Courier, d time.Duration) learnt {
	time.Sleep(d) //nolint:forbidigo // in a bubble
	synctest.Wait()
	x := table{Router: &Router{news: c.Take()}}
	return x.learnt()
}

func parcels(users ...string) (list []push.Parcel) {
	for i, u := range users {
		list = append(list, push.Parcel{Offset: int64(i), User: u, Type: "order", Size: 10})
	}
	return list
}

func TestParcelsAreCarriedAndTheNewsTold(t *testing.T) {
	serving(t, func(x *town, c *Courier) {
		x.change(func() { x.where["42"] = "A" })
		c.Carry(parcels("42", "43"))
		<-c.News()
		l := take(c, time.Millisecond)
		assert.Equal(t, []int64{0}, l.delivered)
		assert.ElementsMatch(t, []int64{0, 1}, l.over)
		assert.NoError(t, c.Stalled())
	})
}

func TestANodeThatTakesLongDelaysOnlyItsOwnUsers(t *testing.T) {
	serving(t, func(x *town, c *Courier) {
		x.change(func() {
			x.slow["A"] = 3 * time.Second
			for i := range 200 {
				x.where[fmt.Sprint(i)] = []string{"A", "B"}[i%2]
			}
		})
		var users []string
		for i := range 200 {
			users = append(users, fmt.Sprint(i))
		}
		c.Carry(parcels(users...))
		assert.Len(t, take(c, 10*time.Millisecond).delivered, 100)
		assert.Len(t, take(c, 3*time.Second).delivered, 100)
	})
}

func TestWhileTheDirectoryIsAwayNothingIsDecidedAndThenAllIsCarried(t *testing.T) {
	serving(t, func(x *town, c *Courier) {
		x.change(func() { x.away, x.where["42"] = errors.New("redis is away"), "A" })
		c.Carry(parcels("42", "43"))
		assert.Equal(t, learnt{}, take(c, 10*time.Second))
		require.ErrorContains(t, c.Stalled(), "redis is away")
		x.change(func() { x.away = nil })
		l := take(c, time.Second)
		assert.Equal(t, []int64{0}, l.delivered)
		assert.ElementsMatch(t, []int64{0, 1}, l.over)
		assert.NoError(t, c.Stalled())
	})
}

func TestWhatCannotBeBroughtFails(t *testing.T) {
	serving(t, func(x *town, c *Courier) {
		x.change(func() { x.where["42"], x.dead["A"] = "A", true })
		c.Carry(parcels("42"))
		l := take(c, time.Millisecond)
		assert.Equal(t, []push.Failure{{Offset: 0, Reason: push.Unreachable}}, l.failed)
		assert.Equal(t, []int64{0}, l.over)
	})
}

func TestANodeWithAnotherLifeHasNotTheUserAndOneThatIsNotRegisteredMayHave(t *testing.T) {
	serving(t, func(x *town, c *Courier) {
		x.change(func() { x.where["42"], x.fails["A"] = "A", directory.ErrUnknownNode })
		c.Carry(parcels("42"))
		assert.Equal(t, []push.Failure{{Offset: 0, Reason: push.Unreachable}}, take(c, time.Millisecond).failed, "it is tried again later")
		x.change(func() { x.fails["A"] = directory.ErrOtherLife })
		c.Carry(parcels("42"))
		assert.Equal(t, learnt{over: []int64{0}}, take(c, time.Millisecond))
		x.change(func() { x.fails["A"] = nil })
		c.Carry(parcels("42"))
		assert.Equal(t, learnt{over: []int64{0}}, take(c, time.Millisecond), "its sessions in that life are gone")
	})
}

func TestAMessageThatTheLogHoldsNoMoreIsOver(t *testing.T) {
	serving(t, func(x *town, c *Courier) {
		x.change(func() { x.where["42"], x.trimmed[0] = "A", true })
		c.Carry(parcels("42"))
		c.Carry([]push.Parcel{{Offset: 1, User: "42", Type: "order"}})
		l := take(c, time.Millisecond)
		assert.Equal(t, []push.Failure{{Offset: 0, Reason: push.Offline}}, l.failed, "which uses no attempt")
		assert.Equal(t, []int64{1}, l.delivered, "nor is its user's session taken for gone")
		assert.Equal(t, []int64{0, 1}, l.over)
	})
}

func TestMessagesOfOneUserArriveInOrderWhateverComesBetween(t *testing.T) {
	serving(t, func(x *town, c *Courier) {
		x.change(func() { x.where["42"], x.slow["A"] = "A", 5*time.Millisecond })
		for i := range 500 {
			if i%7 == 0 {
				c.Connected("42")
			}
			c.Carry([]push.Parcel{{Offset: int64(i), User: "42", Type: "order"}})
			if i%11 == 0 {
				time.Sleep(time.Millisecond) //nolint:forbidigo // in a bubble
			}
		}
		assert.Len(t, take(c, time.Second).delivered, 500)
		x.change(func() { assert.True(t, slices.IsSorted(x.called["A"])) })
	})
}

func TestACourierThatEndsLeavesNothingBehind(t *testing.T) {
	serving(t, func(x *town, c *Courier) {
		x.change(func() { x.where["42"], x.slow["A"], x.away = "A", time.Hour, nil })
		c.Carry(parcels("42"))
		take(c, time.Millisecond)
		x.change(func() { x.away = errors.New("away") })
		c.Carry(parcels("43"))
		take(c, time.Millisecond)
	})
}
