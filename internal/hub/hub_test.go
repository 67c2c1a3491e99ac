package hub_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/hub"
	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

func TestAMessageReachesEverySessionOfItsUserAndNobodyElse(t *testing.T) {
	h := newHouse(t, hub.Params{})
	phone, tablet := h.enter(t, guestParams{}), h.enter(t, guestParams{})
	other := h.enter(t, guestParams{user: "43"})
	var d diary
	require.True(t, h.Deliver(message("a"), &d))
	require.Len(t, phone.frames, 1)
	require.Len(t, tablet.frames, 1)
	assert.Same(t, &phone.frames[0][0], &tablet.frames[0][0], "encoded once")
	assert.Empty(t, other.frames)
	phone.complete(nil)
	tablet.complete(nil)
	assert.Equal(t, []string{"a delivered"}, d.read())
}

func TestAMessageForNobodyHereIsNotReported(t *testing.T) {
	h := newHouse(t, hub.Params{})
	var d diary
	assert.False(t, h.Deliver(message("a"), &d))
	g := h.enter(t, guestParams{kind: "chat"})
	assert.False(t, h.Deliver(message("a"), &d), "the user is here, but not for this type")
	g.end()
	assert.False(t, h.Deliver(message("a"), &d))
	assert.Empty(t, d.read())
	assert.Empty(t, g.frames)
}

func TestASessionTakesOnlyItsBusinessType(t *testing.T) {
	h := newHouse(t, hub.Params{})
	all, orders, chat := h.enter(t, guestParams{}), h.enter(t, guestParams{kind: "order"}), h.enter(t, guestParams{kind: "chat"})
	for _, c := range []struct {
		kind              string
		all, orders, chat int
	}{{"order", 1, 1, 0}, {"chat", 2, 1, 1}, {"order", 3, 2, 1}, {"weather", 4, 2, 1}} {
		m := message(fmt.Sprint(c.all))
		m.Type = c.kind
		var d diary
		assert.True(t, h.Deliver(m, &d))
		assert.Len(t, all.frames, c.all)
		assert.Len(t, orders.frames, c.orders)
		assert.Len(t, chat.frames, c.chat)
		for _, g := range []*guest{all, orders, chat} {
			g.complete(nil)
		}
		assert.Equal(t, []string{m.ID + " delivered"}, d.read())
	}
}

func TestOneSessionsWordIsPassedOnAsItIs(t *testing.T) {
	h := newHouse(t, hub.Params{})
	g := h.enter(t, guestParams{subprotocol: session.Pushgate})
	h.enter(t, guestParams{kind: "chat"})
	var d diary
	require.True(t, h.Deliver(message("a"), &d))
	g.complete(nil)
	assert.Equal(t, []string{"a held"}, d.read())
	g.ack("a")
	assert.Equal(t, []string{"a held", "a delivered"}, d.read())
}

func TestSeveralSessionsMakeOneReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, hub.Params{})
		var guests []*guest
		for range 3 {
			guests = append(guests, h.enter(t, guestParams{subprotocol: session.Pushgate}))
		}
		offer := func(id string) *diary {
			d := &diary{}
			require.True(t, h.Deliver(message(id), d))
			return d
		}

		quick := offer("quick")
		guests[0].complete(nil)
		guests[1].complete(ws.ErrSlow)
		guests[2].complete(nil)
		assert.Equal(t, []string{"quick held"}, quick.read())
		guests[2].ack("quick")
		guests[0].ack("quick")
		assert.Equal(t, []string{"quick held", "quick delivered"}, quick.read())

		late := offer("late")
		guests[0].complete(nil)
		guests[1].complete(ws.ErrSlow)
		guests[2].complete(ws.ErrClosed)
		assert.Equal(t, []string{"late held"}, late.read(), "one may still do it")
		<-time.After(session.DefaultConfig().AckTimeout)
		synctest.Wait()
		assert.Equal(t, []string{"late held", "late failed ack_timeout"}, late.read(), "the strongest reason of the three")
		guests[0].ack("late")
		assert.Equal(t, []string{"late held", "late failed ack_timeout", "late delivered"}, late.read())

		away := offer("away")
		for _, g := range guests {
			g.end()
		}
		assert.Equal(t, []string{"away failed offline"}, away.read())
		assert.Nil(t, h.Of([]byte("42")))
	})
}

func TestTheOldestSessionsGiveWayToANewOneWith4409(t *testing.T) {
	h := newHouse(t, hub.Params{MaxPerUser: 2})
	var guests []*guest
	for range 4 {
		h.enter(t, guestParams{user: "43"})
		guests = append(guests, h.enter(t, guestParams{}))
	}
	replaced := []ws.Code{session.CloseReplaced}
	assert.Equal(t, replaced, guests[0].codes())
	assert.Equal(t, replaced, guests[1].codes())
	assert.Empty(t, guests[2].codes())
	assert.Empty(t, guests[3].codes())
	assert.Len(t, h.Sessions("42"), 4, "those told to go are here until they have ended")

	guests[3].Close(session.CloseTokenExpired)
	newest := h.enter(t, guestParams{})
	assert.Empty(t, guests[2].codes(), "who is leaving does not count")
	for _, i := range []int{0, 1, 3} {
		guests[i].end()
	}
	assert.Equal(t, []*session.Session{guests[2].Session, newest.Session}, h.Sessions("42"))
}

func TestWithoutALimitNobodyGivesWay(t *testing.T) {
	h := newHouse(t, hub.Params{})
	for range 100 {
		h.enter(t, guestParams{})
	}
	for _, s := range h.Sessions("42") {
		assert.False(t, s.Closing())
	}
}

func TestABindingIsToldWhenTheSessionCanBeReached(t *testing.T) {
	var d diary
	var bound []push.Binding
	var h *house
	h = newHouse(t, hub.Params{MaxPerUser: 1, OnBind: func(s *session.Session) {
		bound = append(bound, push.Binding{User: s.User(), Type: s.Type()})
		assert.True(t, h.Deliver(message(fmt.Sprint(len(bound))), &d), "what it sets in motion arrives")
	}})
	first := h.enter(t, guestParams{})
	second := h.enter(t, guestParams{kind: "order"})
	assert.Equal(t, []push.Binding{{User: "42", Type: push.AllTypes}, {User: "42", Type: "order"}}, bound)
	assert.Len(t, first.frames, 1, "it had to go before the second was told of")
	assert.Len(t, second.frames, 1)
}

func TestTheEndOfASessionIsToldOnceAndOnlyOfOneThatWasBound(t *testing.T) {
	var gone []*session.Session
	var h *house
	h = newHouse(t, hub.Params{OnUnbind: func(s *session.Session) {
		assert.NotContains(t, h.Sessions(s.User()), s)
		gone = append(gone, s)
	}})
	g := h.enter(t, guestParams{})
	h.Remove(g.Session)
	h.Remove(g.Session)
	h.Remove(h.open(guestParams{}).Session)
	assert.Equal(t, []*session.Session{g.Session}, gone)
}

func TestAHubKnowsWhoIsThere(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := newHouse(t, hub.Params{Registerer: registry})
	_, err := hub.New(hub.Params{Registerer: registry})
	require.Error(t, err, "two hubs cannot share a registry")
	there := func(sessions, users int) {
		t.Helper()
		s, u := h.Counts()
		assert.Equal(t, []int{sessions, users}, []int{s, u})
		assert.Len(t, h.All(), sessions)
		families, err := registry.Gather()
		require.NoError(t, err)
		require.Len(t, families, 1)
		assert.Equal(t, "pushgate_users", families[0].GetName())
		assert.Equal(t, users, int(families[0].GetMetric()[0].GetGauge().GetValue()))
	}
	there(0, 0)
	first := h.enter(t, guestParams{})
	second := h.enter(t, guestParams{})
	other := h.enter(t, guestParams{user: "43"})
	there(3, 2)
	assert.Equal(t, []*session.Session{first.Session, second.Session}, h.Sessions("42"))
	assert.Empty(t, h.Sessions("44"))
	first.end()
	h.Remove(first.Session) // twice is once
	there(2, 2)
	assert.NotNil(t, h.Of([]byte("42")))
	second.end()
	there(1, 1)
	assert.Nil(t, h.Of([]byte("42")))
	other.end()
	there(0, 0)
	h.Remove(h.open(guestParams{}).Session) // one that never came
	there(0, 0)
}

func TestCloseUserTellsEverySessionOfTheUserToGo(t *testing.T) {
	h := newHouse(t, hub.Params{})
	guests := []*guest{h.enter(t, guestParams{}), h.enter(t, guestParams{})}
	other := h.enter(t, guestParams{user: "43"})
	assert.Equal(t, 2, h.CloseUser("42", session.CloseInternal))
	assert.Equal(t, 0, h.CloseUser("44", session.CloseInternal))
	for _, g := range guests {
		assert.Equal(t, []ws.Code{session.CloseInternal}, g.codes())
	}
	assert.Empty(t, other.codes())
}

func TestLookingAUserUpAllocatesNothing(t *testing.T) {
	h := newHouse(t, hub.Params{})
	long := strings.Repeat("u", push.MaxUserBytes)
	h.enter(t, guestParams{user: long})
	h.enter(t, guestParams{user: "two"})
	h.enter(t, guestParams{user: "two"})
	for user, want := range map[string]bool{long: true, "two": true, long[1:]: false, "": false} {
		key := []byte(user)
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			if (h.Of(key) != nil) != want {
				panic("wrong answer")
			}
		}))
	}
}

func TestASessionThatEndedSinceItWasLookedUpFailsWhatItIsGiven(t *testing.T) {
	h := newHouse(t, hub.Params{})
	g := h.enter(t, guestParams{})
	to := h.Of([]byte("42"))
	g.end()
	var d diary
	assert.True(t, to.Deliver(message("a"), &d))
	assert.Equal(t, []string{"a failed offline"}, d.read())
}

// Users come and go, several sessions each, while messages are delivered to them
// and limits send them away: everything offered is reported, and nobody is left.
func TestNothingIsLostWhileSessionsComeAndGo(t *testing.T) {
	h := newHouse(t, hub.Params{MaxPerUser: 2, OnBind: func(*session.Session) {}})
	const users, rounds = 3, 150
	var coming, all sync.WaitGroup
	stop := make(chan struct{})
	for i := range 2 * users {
		coming.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range rounds {
				over := make(chan struct{})
				g := h.open(guestParams{
					user: fmt.Sprint(i % users), subprotocol: session.Subprotocol(random.IntN(2)),
					leave: func(g *guest) { g.end(); close(over) },
				})
				if !assert.NoError(t, h.Add(g.Session)) {
					return
				}
				for range random.IntN(5) {
					g.complete(nil)
					g.ack("m")
				}
				g.Close(session.CloseNormal) // unless it had to go already
				<-over
			}
		})
	}
	offered := make([][]*diary, users)
	for u := range users {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				m, d := message("m"), &diary{}
				m.User = fmt.Sprint(u)
				if h.Deliver(m, d) {
					offered[u] = append(offered[u], d)
				} else {
					assert.Empty(t, d.read())
				}
				h.All()
			}
		})
	}
	coming.Wait()
	close(stop)
	all.Wait()
	sessions, left := h.Counts()
	assert.Equal(t, []int{0, 0}, []int{sessions, left})
	for u := range users {
		assert.Nil(t, h.Of([]byte(fmt.Sprint(u))))
		for _, d := range offered[u] {
			lines := d.read()
			if len(lines) > 0 && lines[0] == "m held" {
				lines = lines[1:]
			}
			if assert.Len(t, lines, 1, "one end") {
				assert.Contains(t, []string{"m delivered", "m failed offline"}, lines[0])
			}
		}
	}
}

// newDelivering returns what hands a usual message to a session and completes its write.
func newDelivering() func() {
	h, _ := hub.New(hub.Params{})
	f, _ := session.NewFactory(session.FactoryParams{Config: session.DefaultConfig()})
	last := &latest{}
	_ = h.Add(f.New(session.Params{User: "42", Type: push.AllTypes, Transport: last}))
	m := message("0194f6a2-7a3c-7bfb-8f1f-3f1c2d9e0001")
	m.Data = []byte(`"` + strings.Repeat("x", 240) + `"`)
	user := []byte(m.User)
	return func() {
		h.Of(user).Deliver(m, ignorant{})
		last.w.Done.Completed(last.w, nil)
	}
}

func TestADeliveryAllocatesItsFrameAndItsPlaceAmongThoseUnderWay(t *testing.T) {
	assert.LessOrEqual(t, testing.AllocsPerRun(100, newDelivering()), 2.0)
}

func BenchmarkDeliver(b *testing.B) {
	deliver := newDelivering()
	b.ReportAllocs()
	for b.Loop() {
		deliver()
	}
}

// latest is a transport that keeps the latest write.
type latest struct{ w *ws.Write }

func (l *latest) Send(w *ws.Write) error { l.w = w; return nil }
func (l *latest) Close(ws.Goodbye)       {}

type ignorant struct{}

func (ignorant) Report(*push.Message, push.Status, push.Reason) {}
