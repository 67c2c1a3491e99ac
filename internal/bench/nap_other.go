//go:build !linux

package bench

import "time"

// Nap sleeps for a short while; here no better than a timer does.
func Nap(d time.Duration) { <-time.After(d) }
