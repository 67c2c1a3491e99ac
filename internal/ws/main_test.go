package ws_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"pushgate/internal/ws"
)

// portable says which wire the connections of the tests have: every promise is kept
// by both.
var portable bool //nolint:gochecknoglobals // of the run as a whole

// limits are those of the tests, on the wire of the run.
func limits() ws.Limits {
	l := ws.DefaultLimits()
	l.Portable = portable
	return l
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(twice{m}) }

// twice runs the tests with loops, and then without. Benchmarks run once.
type twice struct{ m *testing.M }

func (t twice) Run() int {
	if code := t.m.Run(); code != 0 || flag.Lookup("test.bench").Value.String() != "" {
		return code
	}
	_, _ = fmt.Fprintln(os.Stderr, "once more, without loops")
	portable = true
	return t.m.Run()
}
