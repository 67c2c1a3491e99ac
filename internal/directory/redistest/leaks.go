package redistest

import "go.uber.org/goleak"

// LateDial is an option for goleak, in packages whose tests take Redis away: a pool
// that could not connect often enough asks on its own, once a second, whether the
// server is back, and sees at the next of these looks only that it was closed. It
// cannot be waited for.
func LateDial() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")
}
