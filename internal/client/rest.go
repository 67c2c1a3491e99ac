package client

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"pushgate/internal/ws"
)

// longestRest bounds what a gateway, or a proxy in front of it, may ask for: a longer
// Retry-After is meant for people.
const longestRest = 5 * time.Minute

// rest is how long whoever refused a connection wants to be left alone: its Retry-After,
// in seconds or as a date. Zero where it did not say, or not in a way that is one.
func rest(err error, now time.Time) time.Duration {
	refused, ok := errors.AsType[*ws.RefusedError](err)
	if !ok {
		return 0
	}
	if seconds, err := strconv.ParseUint(refused.RetryAfter, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longestRest)
	}
	if at, err := http.ParseTime(refused.RetryAfter); err == nil {
		return min(max(at.Sub(now), 0), longestRest)
	}
	return 0
}
