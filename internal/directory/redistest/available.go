package redistest

import (
	"os"
	"os/exec"
	"testing"

	"pushgate/internal/notrun"
)

// RequireVariable is the environment variable that, set to 1, makes a test fail
// that cannot run on Redis, instead of saying so and returning. Build servers set
// it.
const RequireVariable = "PUSHGATE_E2E_REQUIRE_REDIS"

// announced keeps a package's many tests from saying the same thing many times;
// it has to be the process's.
var announced notrun.Notice

// Available tells whether tests can run on Redis here. Where it says false, it has
// printed why, once per process; the test returns. With RequireVariable set, it
// fails the test instead.
func Available(t testing.TB) (path string, ok bool) {
	t.Helper()
	required := os.Getenv(RequireVariable) == "1"
	if testing.Short() && !required {
		announced.Say("tests on Redis were not run: -short was asked for")
		return "", false
	}
	path, err := exec.LookPath("redis-server")
	if err == nil {
		return path, true
	}
	if required {
		t.Fatalf("%s=1, but there is no redis-server in PATH: install the package redis-server (%v)", RequireVariable, err)
	}
	announced.Say("tests on Redis were not run: install the package redis-server")
	return "", false
}
