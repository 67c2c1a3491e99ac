package notrun_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"pushgate/internal/notrun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const saysVariable = "PUSHGATE_NOTRUN_SAYS"

// The test runs itself, in a process of its own whose words can be read.
func TestWhatWasNotRunIsSaidOnce(t *testing.T) {
	if line := os.Getenv(saysVariable); line != "" {
		var n notrun.Notice
		n.Say(line)
		n.Say(line)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), saysVariable+"=not run: nothing is there")
	said, err := cmd.CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(said), "not run: nothing is there"), "%s", said)
}
