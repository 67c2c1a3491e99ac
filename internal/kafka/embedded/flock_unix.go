//go:build unix

package embedded

import (
	"fmt"
	"os"
	"syscall"
)

// flock takes the lock of a file or fails at once.
func flock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return nil
}
