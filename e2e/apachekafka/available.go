package apachekafka

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/zap/zaptest"
)

// RequireVariable is the environment variable that, set to 1, makes a test fail
// that cannot run on Apache Kafka, instead of saying so and returning. Build
// servers set it.
const RequireVariable = "PUSHGATE_E2E_REQUIRE_KAFKA"

// announced keeps a package's many tests from saying the same thing many times;
// it has to be the process's.
var announced sync.Once

// Available tells whether tests can run on Apache Kafka here, and fetches it if
// need be. Where it says false, it has printed why, once per process; the test
// returns. With RequireVariable set, it fails the test instead.
func Available(t testing.TB) (Distribution, bool) {
	t.Helper()
	required := os.Getenv(RequireVariable) == "1"
	if testing.Short() && !required {
		announced.Do(func() { announce("tests on Apache Kafka were not run: -short was asked for") })
		return Distribution{}, false
	}
	d, err := Provision(t.Context(), zaptest.NewLogger(t))
	if err == nil {
		return d, true
	}
	if required {
		t.Fatalf("%s=1, but Apache Kafka cannot be run: %v", RequireVariable, err)
	}
	announced.Do(func() { announce(fmt.Sprintf("tests on Apache Kafka were not run: %v", err)) })
	return Distribution{}, false
}

// announce writes a line to standard error - which `go test ./...` keeps to
// itself when the package passes: nobody would learn that something was not
// run. So the line also goes to where go test itself speaks.
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

// outerStderr opens the standard error of the process that runs this one, if it
// is a terminal or a pipe, or the terminal.
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
	// A file has a position of its own for each who opens it: what is written
	// here would be overwritten there.
	_ = outer.Close()
	return nil, errors.Join(errors.New("the line would not be seen, or seen twice"), err)
}

// Run starts a cluster that ends with the test. It returns false where
// Available does. When the test fails, the ends of the nodes' logs are shown.
func Run(t testing.TB, p Params) (*Cluster, bool) {
	t.Helper()
	d, ok := Available(t)
	if !ok {
		return nil, false
	}
	if p.Dir == "" {
		p.Dir = t.TempDir()
	}
	if p.Logger == nil {
		p.Logger = zaptest.NewLogger(t)
	}
	c, err := Start(t.Context(), d, p)
	if err != nil {
		t.Fatalf("starting Apache Kafka: %v", err)
	}
	t.Cleanup(func() {
		c.Close()
		if !t.Failed() {
			return
		}
		for i := range c.nodes {
			t.Logf("the end of %s:\n%s", c.LogFile(i), tail(c.LogFile(i)))
		}
	})
	return c, true
}
