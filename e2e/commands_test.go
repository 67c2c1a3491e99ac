package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/freeport"
)

// finished runs a command to its end and returns what it said.
func finished(t *testing.T, exit int, env map[string]string, args ...string) string {
	t.Helper()
	p := run(t, strings.Join(args, " "), env, args...)
	code := p.exit(30 * time.Second)
	require.Equal(t, exit, code, "%v: %s", args, p.out)
	return p.out.String()
}

func TestTheToolsWorkTogether(t *testing.T) {
	onEachBrokerByBroadcast(t, func(t *testing.T, d *deployment) {
		n := d.node("a")
		env := d.env()
		listening := run(t, "listen", nil, "listen", "--user", "42", "--url", "ws://"+n.gateway, "--count", "3", "--for", "20s")
		require.True(t, poll(10*time.Second, func() bool { return n.metric("pushgate_sessions") == 1 }))
		ids := strings.Fields(finished(t, 0, env, "send", "--user", "42", "--type", "order", "--data", `{"order":991}`, "--count", "3"))
		require.Len(t, ids, 3)
		require.Zero(t, listening.exit(20*time.Second), listening.out)
		var got []string
		for line := range strings.Lines(listening.out.String()) {
			var m frame
			require.NoError(t, json.Unmarshal([]byte(line), &m), line)
			assert.Equal(t, "order", m.Type)
			assert.JSONEq(t, `{"order":991}`, string(m.Data))
			got = append(got, m.ID)
		}
		assert.Equal(t, ids, got)

		id := strings.TrimSpace(finished(t, 0, env, "send", "--user", "43", "--ttl", "300ms"))
		require.True(t, poll(10*time.Second, func() bool {
			return contains(finished(t, 0, env, "deadletter", "list", "--reason", "expired", "--since", "1m"), id)
		}), "the dead letter is listed")
		shown := finished(t, 0, env, "deadletter", "show", id, "--output", "json")
		assert.Contains(t, shown, `"reason":"expired"`)
		assert.Contains(t, shown, `"user":"43"`)
		assert.Contains(t, finished(t, 1, env, "deadletter", "show", "none"), "no dead letter")

		assert.Contains(t, finished(t, 0, env, "topics", "check"), "as they should be")
		env["PUSHGATE_KAFKA_TOPICS_RETRY"] = d.topic("absent")
		assert.Contains(t, finished(t, 1, env, "topics", "check"), "absent")
		assert.Contains(t, finished(t, 0, env, "topics", "plan", "--output", "json"), `"severity":"problem"`)
	})
}

func TestWrongUsageIsExitTwoAndFailureExitOne(t *testing.T) {
	nobody := map[string]string{"PUSHGATE_KAFKA_BROKERS": freeport.Address(t)}
	for _, args := range [][]string{
		{"nonsense"},
		{"send"},
		{"send", "--user", "42", "--count", "0"},
		{"send", "--user", "42", "--nonsense"},
		{"listen", "--user", "42", "--url", "gopher://x"},
		{"deadletter", "list", "--since", "soon"},
		{"deadletter", "list", "--reason", "boredom"},
		{"config", "show", "--output", "xml"},
		{"token"},
		{"topics", "apply", "--partitions", "-1"},
	} {
		assert.NotEmpty(t, finished(t, 2, nobody, args...), args)
	}
	for _, args := range [][]string{
		{"send", "--user", "42"},
		{"topics", "check"},
		{"deadletter", "list"},
	} {
		said := finished(t, 1, nobody, args...)
		assert.Contains(t, said, "pushgate dev", "what to do: %s", args)
		assert.Equal(t, 1, strings.Count(said, "\n"), "one line: %s", said)
	}
	assert.Contains(t, finished(t, 1, nil, "token", "--user", "42"), "auth.jwt.hmac_secret")
}

func TestAWrongConfigurationIsNamedWholeBeforeAnythingStarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pushgate.yaml")
	require.NoError(t, os.WriteFile(file, []byte("gatway:\n  listen: x\nretry:\n  max_attempts: many\nadmin:\n  listen: \"0.0.0.0:1\"\n"), 0o600))
	for _, args := range [][]string{{"config", "check", file}, {"serve", "--config", file}} {
		said := finished(t, 1, nil, args...)
		assert.Contains(t, said, "gateway")
		assert.Contains(t, said, "retry.max_attempts")
		assert.Contains(t, said, "admin.token")
	}
	shown := finished(t, 0, map[string]string{"PUSHGATE_ADMIN_TOKEN": "s3cret"}, "config", "show", "--set", "retry.max_attempts=3")
	assert.NotContains(t, shown, "s3cret")
	assert.Contains(t, shown, "flag --set")
	assert.Contains(t, shown, "environment PUSHGATE_ADMIN_TOKEN")
	assert.Contains(t, finished(t, 0, nil, "version"), "pushgate")
}
