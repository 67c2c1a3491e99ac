package apachekafka

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// process is one run of a node.
type process struct {
	pid   int
	ended chan struct{} // closed when it has ended and was reaped
	err   error         // why; read only after ended
}

// run starts a process whose output is appended to a file.
func run(ctx context.Context, logFile, name string, args ...string) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // G304: the test's own directory.
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // G204: Java, as found by Provision.
	cmd.Stdout, cmd.Stderr = out, out
	ownGroup(cmd)

	p := &process{ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// "Dies with its parent" means the thread that started it: when the Go
		// runtime ends that thread, the node is killed in the middle of a test.
		// So the thread is kept until the node has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = out.Close() }()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.err = cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return p, nil
}

// kill ends the process with SIGKILL and waits until it is gone. It does nothing
// to one that has ended.
func (p *process) kill() error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := kill(p.pid); err != nil {
		return err
	}
	<-p.ended
	return nil
}
