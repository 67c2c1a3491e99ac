package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"pushgate/internal/ws"
)

// Drain refuses new sessions from now on and closes the present ones with code,
// in random order, spread evenly over the given time with jitter, so that their
// clients do not all connect elsewhere at once. It returns when all have ended;
// when ctx ends before, it returns an error that says how many are left. Each
// call closes only what is there; the hub stays closed to new sessions.
func (h *Hub) Drain(ctx context.Context, over time.Duration, code ws.Code) error {
	h.draining.Store(true)
	all := h.All()
	//nolint:gosec // jitter is no secret
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, s := range all {
		// Each has a slot of its own, and a random moment in it.
		//nolint:gosec // jitter is no secret
		at := start.Add(time.Duration((float64(i) + rand.Float64()) / float64(len(all)) * float64(over)))
		if wait := time.Until(at); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return h.undrained(ctx)
			case <-timer.C:
			case <-h.left:
			}
		}
		if h.sessions.Load() == 0 {
			break // nobody is left to be spread
		}
		s.Close(code)
	}
	for h.sessions.Load() > 0 {
		select {
		case <-ctx.Done():
			return h.undrained(ctx)
		case <-h.left:
		}
	}
	h.wakeDrain() // another call may be waiting for the same
	return nil
}

func (h *Hub) undrained(ctx context.Context) error {
	return fmt.Errorf("draining, %d sessions left: %w", h.sessions.Load(), ctx.Err())
}
