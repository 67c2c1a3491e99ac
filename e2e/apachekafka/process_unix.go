//go:build unix

package apachekafka

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup puts the process into a group of its own: Ctrl-C on the tests is for
// the tests, and killing the group leaves nothing behind.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
}

func kill(pid int) error   { return signalGroup(pid, syscall.SIGKILL) }
func pause(pid int) error  { return signalGroup(pid, syscall.SIGSTOP) }
func resume(pid int) error { return signalGroup(pid, syscall.SIGCONT) }

func signalGroup(pid int, s syscall.Signal) error {
	if err := syscall.Kill(-pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s to a node: %w", s, err)
	}
	return nil
}

// tryLock locks the file unless another process has it locked.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EINTR):
		return false, nil
	default:
		return false, fmt.Errorf("flock: %w", err)
	}
}
