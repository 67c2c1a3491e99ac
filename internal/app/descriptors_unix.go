//go:build unix

package app

import (
	"math"
	"syscall"
)

// descriptors is how many files and sockets this process may have open; 0: unknown. The
// runtime has raised the soft limit to the hard one when the process started (package
// os).
func descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)) //nolint:unconvert // bounded; of another type on some systems
}
