package hub_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/hub"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// soon ends a session a second after it was told to go.
func soon(g *guest) {
	<-time.After(time.Second)
	g.end()
}

func TestDrainingClosesOneSessionInEachSliceOfTheTimeAndWaitsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, hub.Params{})
		const count, over = 100, 10 * time.Second
		var guests []*guest
		for range count {
			guests = append(guests, h.enter(t, guestParams{leave: soon}))
		}
		start := time.Now()
		require.NoError(t, h.Drain(t.Context(), over, session.CloseGoElsewhere))
		took := time.Since(start)
		assert.GreaterOrEqual(t, took, over*99/100+time.Second, "the last one takes a second to end")
		assert.LessOrEqual(t, took, over+time.Second)
		var at, sorted []time.Duration
		for _, g := range guests {
			assert.Equal(t, []ws.Code{session.CloseGoElsewhere}, g.codes())
			at = append(at, g.at[0].Sub(start))
		}
		sorted = slices.Sorted(slices.Values(at))
		even := true
		for i, d := range sorted {
			slot := over / count
			assert.GreaterOrEqual(t, d, time.Duration(i)*slot)
			assert.LessOrEqual(t, d, time.Duration(i+1)*slot)
			even = even && d == time.Duration(i)*slot
		}
		assert.False(t, even, "with jitter")
		assert.NotEqual(t, sorted, at, "in random order")
		sessions, users := h.Counts()
		assert.Equal(t, []int{0, 0}, []int{sessions, users})
	})
}

func TestADrainingHubTakesNoNewSessionAndStillDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bound := 0
		h := newHouse(t, hub.Params{OnBind: func(*session.Session) { bound++ }})
		last := h.enter(t, guestParams{leave: soon})
		drained := make(chan error, 1)
		go func() { drained <- h.Drain(t.Context(), 2*time.Minute, session.CloseGoElsewhere) }()
		synctest.Wait()
		late := h.open(guestParams{user: "43"})
		require.ErrorIs(t, h.Add(late.Session), hub.ErrDraining)
		assert.Nil(t, h.Of([]byte("43")))
		assert.Equal(t, 1, bound)
		var d diary
		require.Empty(t, last.codes(), "its turn comes within two minutes, not at once")
		require.True(t, h.Deliver(message("a"), &d))
		last.complete(nil)
		assert.Equal(t, []string{"a delivered"}, d.read())
		require.NoError(t, <-drained)
		require.ErrorIs(t, h.Add(late.Session), hub.ErrDraining, "for good")
	})
}

func TestDrainingAnEmptyHubEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, hub.Params{})
		start := time.Now()
		require.NoError(t, h.Drain(t.Context(), time.Minute, session.CloseGoElsewhere))
		assert.Zero(t, time.Since(start))
	})
}

func TestDrainingThatIsCutShortSaysHowManyAreLeft(t *testing.T) {
	for _, c := range []struct {
		name string
		over time.Duration
	}{
		{"while it waits for them to end", 0},
		{"while it tells them", time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, hub.Params{})
				var guests []*guest
				for range 10 {
					guests = append(guests, h.enter(t, guestParams{})) // they never end
				}
				guests[0].end()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				err := h.Drain(ctx, c.over, session.CloseGoElsewhere)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, "9 sessions left")
				assert.Equal(t, time.Second, time.Since(start))

				again := make(chan error, 1)
				go func() { again <- h.Drain(t.Context(), 0, session.CloseGoElsewhere) }()
				synctest.Wait()
				for _, g := range guests[1:] {
					assert.Equal(t, []ws.Code{session.CloseGoElsewhere}, g.codes(), "told once")
					g.end()
				}
				require.NoError(t, <-again)
			})
		})
	}
}

func TestEveryCallerOfDrainLearnsThatItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, hub.Params{})
		for range 5 {
			h.enter(t, guestParams{leave: soon})
		}
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() { assert.NoError(t, h.Drain(t.Context(), time.Second, session.CloseGoElsewhere)) })
		}
		calls.Wait()
		require.NoError(t, h.Drain(t.Context(), time.Second, session.CloseGoElsewhere))
	})
}

func TestASessionThatComesWhileDrainingBeginsIsRefusedOrClosed(t *testing.T) {
	for range 50 {
		h := newHouse(t, hub.Params{})
		var added, ended atomic.Int32
		var coming sync.WaitGroup
		for i := range 8 {
			coming.Go(func() {
				for j := range 20 {
					g := h.open(guestParams{user: fmt.Sprint(i, j), leave: func(g *guest) {
						ended.Add(1)
						g.end()
					}})
					if h.Add(g.Session) == nil {
						added.Add(1)
					}
				}
			})
		}
		require.NoError(t, h.Drain(t.Context(), 0, session.CloseGoElsewhere))
		coming.Wait()
		sessions, _ := h.Counts()
		require.Zero(t, sessions)
		require.Equal(t, added.Load(), ended.Load())
	}
}
