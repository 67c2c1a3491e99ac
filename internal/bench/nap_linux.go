package bench

import (
	"syscall"
	"time"
)

// Nap sleeps for a short while. A timer of Go's is up to a millisecond late in a
// process that is idle otherwise: its poller waits in whole milliseconds. That
// would be most of the latency of a deployment that is not busy. It blocks a
// thread, and is for one goroutine.
func Nap(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&left, nil) // a signal ends it early; the caller looks at the clock
}
