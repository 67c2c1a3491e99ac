package apachekafka

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/zap/zaptest"

	"pushgate/internal/notrun"
)

// RequireVariable is the environment variable that, set to 1, makes a test fail
// that cannot run on Apache Kafka, instead of saying so and returning. Build
// servers set it.
const RequireVariable = "PUSHGATE_E2E_REQUIRE_KAFKA"

// announced keeps a package's many tests from saying the same thing many times;
// it has to be the process's.
var announced notrun.Notice

// Available tells whether tests can run on Apache Kafka here, and fetches it if
// need be. Where it says false, it has printed why, once per process; the test
// returns. With RequireVariable set, it fails the test instead.
func Available(t testing.TB) (Distribution, bool) {
	t.Helper()
	required := os.Getenv(RequireVariable) == "1"
	if testing.Short() && !required {
		announced.Say("tests on Apache Kafka were not run: -short was asked for")
		return Distribution{}, false
	}
	d, err := Provision(t.Context(), zaptest.NewLogger(t))
	if err == nil {
		return d, true
	}
	if required {
		t.Fatalf("%s=1, but Apache Kafka cannot be run: %v", RequireVariable, err)
	}
	announced.Say(fmt.Sprintf("tests on Apache Kafka were not run: %v", err))
	return Distribution{}, false
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
