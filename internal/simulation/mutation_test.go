package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// envMutations asks for the mutations to be tried; it takes minutes.
const envMutations = "PUSHGATE_MUTATIONS"

// root of the module, seen from here.
const root = "../.."

// mutation breaks one rule on purpose: in a file, old is replaced by new.
type mutation struct{ rule, file, old, new string }

func (m mutation) apply(t *testing.T) []byte {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, m.file))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(source), m.old), "%s has to have exactly one\n%s", m.file, m.old)
	return []byte(strings.Replace(string(source), m.old, m.new, 1))
}

func TestEveryMutationFindsItsPlace(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range mutations() {
		m.apply(t)
		assert.False(t, seen[m.rule], "%s is there twice", m.rule)
		seen[m.rule] = true
	}
}

// caught is how the test of all histories says after how many it has failed.
var caught = regexp.MustCompile(`after (\d+) histories: seed \d+: broken: (.*)`) //nolint:gochecknoglobals // a constant

func TestEveryMutationIsCaught(t *testing.T) {
	if os.Getenv(envMutations) == "" {
		t.Logf("not asked for: make simulate (%s=1) breaks each rule on purpose", envMutations)
		return
	}
	for _, m := range mutations() {
		t.Run(m.rule, func(t *testing.T) {
			t.Parallel()
			said := m.play(t)
			found := caught.FindStringSubmatch(said)
			if found == nil {
				t.Fatalf("it survives. Have the simulation notice it, or show that nothing depends on it and strike it off.\n%s", said)
			}
			t.Logf("caught after %s histories: %s", found[1], found[2])
		})
	}
}

// play builds the tests of this package with the mutation and lets them play
// histories until a promise is broken. It returns what they say.
func (m mutation) play(t *testing.T) string {
	t.Helper()
	const (
		histories = 50_000
		patience  = 3 * time.Minute
	)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := t.TempDir()
	file, err := filepath.Abs(filepath.Join(root, m.file))
	require.NoError(t, err)
	broken, overlay, binary := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "mutated.test")
	require.NoError(t, os.WriteFile(broken, m.apply(t), 0o600))
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: broken}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	said, err := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", said)
	run := exec.CommandContext(ctx, binary, "-test.run", "^TestEveryHistoryKeepsEveryPromise$")
	run.Env = append(os.Environ(), envMutations+"=", fmt.Sprint(envHistories, "=", histories), envFrom+"=0", "GOMAXPROCS=1")
	said, err = run.CombinedOutput()
	require.NoError(t, ctx.Err(), "it never comes to an end: %s", said)
	if err == nil {
		return "all histories keep all promises"
	}
	return string(said)
}
