package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"pushgate/internal/kafka/embedded"
)

// childOf is set in a process that is to be a broker on that data directory,
// and nothing else, until its standard input ends.
const childOf = "PUSHGATE_TEST_DATA_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childOf); dir != "" {
		serve(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func serve(dir string) {
	b, err := embedded.Start(context.Background(), embedded.Config{Listen: "127.0.0.1:0", DataDir: dir})
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		return
	}
	fmt.Fprintln(os.Stdout, b.Addresses()[0])
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = b.Close()
}

// child is a broker in a process of its own.
type child struct {
	address string
	pid     int
	// kill ends it as a crash would, and waits until it is gone.
	kill func()
}

func startChild(t *testing.T, dir string) child {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childOf+"="+dir)
	_, err = cmd.StdinPipe() // held open: its end is the end of the child
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ended := false
	kill := func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // says that it was killed
		}
	}
	t.Cleanup(kill)
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return child{address: strings.TrimSpace(address), pid: cmd.Process.Pid, kill: kill}
}
