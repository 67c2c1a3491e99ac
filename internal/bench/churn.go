package bench

import (
	"context"
	"math/rand/v2"
	"time"
)

// churn sends users away, one after the other, in an order that has nothing to
// do with that in which messages go to them, until ctx ends.
func (r *run) churn(ctx context.Context, users []*user) {
	if r.Churn == 0 || len(users) == 0 {
		return
	}
	order := rand.Perm(len(users)) //nolint:gosec // spreads load, guards nothing
	pause := time.Duration(float64(time.Second) / (r.Churn * float64(len(users))))
	from := r.now()
	for n := 0; r.until(ctx, from+time.Duration(n+1)*pause); n++ {
		if users[order[n%len(order)]].sendAway() {
			r.sentAway.Add(1)
		}
	}
}
