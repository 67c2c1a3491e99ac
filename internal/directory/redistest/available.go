package redistest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// RequireVariable is the environment variable that, set to 1, makes a test fail
// that cannot run on Redis, instead of saying so and returning. Build servers set
// it.
const RequireVariable = "PUSHGATE_E2E_REQUIRE_REDIS"

// announced keeps a package's many tests from saying the same thing many times;
// it has to be the process's.
var announced sync.Once

// Available tells whether tests can run on Redis here. Where it says false, it has
// printed why, once per process; the test returns. With RequireVariable set, it
// fails the test instead.
func Available(t testing.TB) (path string, ok bool) {
	t.Helper()
	required := os.Getenv(RequireVariable) == "1"
	if testing.Short() && !required {
		announced.Do(func() { announce("tests on Redis were not run: -short was asked for") })
		return "", false
	}
	path, err := exec.LookPath("redis-server")
	if err == nil {
		return path, true
	}
	if required {
		t.Fatalf("%s=1, but there is no redis-server in PATH: install the package redis-server (%v)", RequireVariable, err)
	}
	announced.Do(func() { announce("tests on Redis were not run: install the package redis-server") })
	return "", false
}

// announce writes a line to standard error - which `go test ./...` keeps to itself
// when the package passes - and to where go test itself speaks.
func announce(line string) {
	_, _ = fmt.Fprintln(os.Stderr, line)
	if testing.Verbose() {
		return // It is shown.
	}
	outer, err := outerStderr()
	if err != nil {
		return // Nobody listens.
	}
	_, _ = io.WriteString(outer, line+"\n")
	_ = outer.Close()
}

// outerStderr opens the standard error of the process that runs this one, if it is
// a terminal or a pipe, or the terminal.
func outerStderr() (*os.File, error) {
	const flags = os.O_WRONLY | syscall.O_NONBLOCK // A pipe may have lost its reader.
	outer, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", os.Getppid()), flags, 0)
	if err != nil {
		return os.OpenFile("/dev/tty", flags, 0) //nolint:wrapcheck // it only matters that there is none
	}
	info, err := outer.Stat()
	own, ownErr := os.Stderr.Stat()
	if err = errors.Join(err, ownErr); err == nil && !info.Mode().IsRegular() && !os.SameFile(info, own) {
		return outer, nil
	}
	_ = outer.Close()
	return nil, errors.Join(errors.New("the line would not be seen, or seen twice"), err)
}
