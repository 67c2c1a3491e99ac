package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"pushgate/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pushgate.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestTheDefaultsAreValid(t *testing.T) {
	c, origins, err := config.Load(config.Sources{})
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:8080", c.Gateway.Listen)
	assert.Equal(t, c.Gateway.Listen, c.Node.Advertise)
	assert.Equal(t, "default", origins["kafka.brokers"])
}

func TestTheShippedFileEqualsTheDefaultsOfTheCode(t *testing.T) {
	var want bytes.Buffer
	require.NoError(t, config.WriteDefault(&want))
	got, err := os.ReadFile(filepath.Join("..", "..", "config", "pushgate.yaml"))
	require.NoError(t, err)
	assert.Equal(t, want.String(), string(got), "update it: go run ./cmd/pushgate config default > config/pushgate.yaml")
	c, _, err := config.Load(config.Sources{File: filepath.Join("..", "..", "config", "pushgate.yaml")})
	require.NoError(t, err)
	d := config.Default()
	d.Node.Advertise = d.Gateway.Listen
	assert.Equal(t, d, c)
}

func TestEveryKeyIsDocumented(t *testing.T) {
	for _, k := range config.Keys() {
		assert.NotEmpty(t, k.Doc, k.Name)
		assert.NotContains(t, k.Name, "..", k.Name)
	}
}

func TestTheEnvironmentWinsOverTheFileAndFlagsOverBoth(t *testing.T) {
	path := file(t, "node:\n  id: from-file\nkafka:\n  brokers: [f:1]\nretry:\n  max_attempts: 3\n")
	c, origins, err := config.Load(config.Sources{
		File:  path,
		Env:   []string{"PUSHGATE_KAFKA_BROKERS=a:9092, b:9092", "PUSHGATE_RETRY_MAX_ATTEMPTS=4", "PUSHGATE_E2E_BROKERS=x", "HOME=/"},
		Flags: map[string]config.Flag{"retry.max_attempts": {Name: "attempts", Value: "5"}},
	})
	require.NoError(t, err)
	assert.Equal(t, "from-file", c.Node.ID)
	assert.Equal(t, []string{"a:9092", "b:9092"}, c.Kafka.Brokers)
	assert.Equal(t, 5, c.Retry.MaxAttempts)
	assert.Equal(t, path, origins["node.id"])
	assert.Equal(t, "environment PUSHGATE_KAFKA_BROKERS", origins["kafka.brokers"])
	assert.Equal(t, "flag --attempts", origins["retry.max_attempts"])
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	_, _, err := config.Load(config.Sources{
		File: file(t, "kafka:\n  broker: [a:1]\ngateway:\n  listen: nonsense\nsession:\n  ack_timeout: soon\nnonsense: 1\n"),
		Env:  []string{"PUSHGATE_RETRY_MAX_ATTEMPT=3", "PUSHGATE_MESSAGE_MAX_BYTES=many"},
	})
	require.Error(t, err)
	for _, part := range []string{
		"kafka.broker (", "did you mean kafka.brokers?", "gateway.listen is \"nonsense\"",
		"session.ack_timeout (", "a duration such as", "nonsense (", "config default",
		"did you mean PUSHGATE_RETRY_MAX_ATTEMPTS?", "message.max_bytes (environment PUSHGATE_MESSAGE_MAX_BYTES) is \"many\", a whole number is expected",
	} {
		assert.ErrorContains(t, err, part)
	}
}

func TestAKeyInTheWrongSectionNamesTheRightOne(t *testing.T) {
	_, _, err := config.Load(config.Sources{File: file(t, "max_attempts: 3\n")})
	require.ErrorContains(t, err, "did you mean retry.max_attempts?")
}

func TestValuesThatDoNotGoTogetherAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		env  string
		says string
	}{
		"none off loopback":  {"PUSHGATE_GATEWAY_LISTEN=0.0.0.0:8080", "auth.insecure"},
		"admin off loopback": {"PUSHGATE_ADMIN_LISTEN=:8081", "admin.token"},
		"same address":       {"PUSHGATE_ADMIN_LISTEN=127.0.0.1:8080", "address of its own"},
		"slow heartbeat":     {"PUSHGATE_DELIVERY_HEARTBEAT_INTERVAL=2s", "a third of custody.window"},
		"payload and buffer": {"PUSHGATE_MESSAGE_MAX_BYTES=400000", "would never fit"},
		"routing":            {"PUSHGATE_ROUTING_MODE=both", "broadcast or targeted"},
		"role":               {"PUSHGATE_NODE_ROLES=gateway,reader", "custodian"},
		"no role":            {"PUSHGATE_NODE_ROLES=", "node.roles is empty"},
		"node id":            {"PUSHGATE_NODE_ID=a b", "node.id"},
		"level":              {"PUSHGATE_LOG_LEVEL=loud", "log.level"},
		"sasl":               {"PUSHGATE_KAFKA_SASL_MECHANISM=plain", "kafka.sasl.username"},
		"jwt":                {"PUSHGATE_AUTH_MODE=jwt", "auth.jwt.hmac_secret"},
		"ttl":                {"PUSHGATE_MESSAGE_DEFAULT_TTL=0s", "message.default_ttl"},
		"expired":            {"PUSHGATE_MESSAGE_EXPIRED=keep", "dead_letter or drop"},
	} {
		_, _, err := config.Load(config.Sources{Env: []string{test.env}})
		assert.ErrorContains(t, err, test.says, name)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	c, origins, err := config.Load(config.Sources{Env: []string{
		"PUSHGATE_AUTH_MODE=jwt", "PUSHGATE_AUTH_JWT_HMAC_SECRET=0123456789abcdef0123456789abcdef", "PUSHGATE_KAFKA_SASL_PASSWORD=hunter2",
	}})
	require.NoError(t, err)
	for _, s := range config.Show(c, origins) {
		assert.NotContains(t, s.Value, "hunter2")
		assert.NotContains(t, s.Value, "0123456789abcdef")
		if s.Key == "kafka.sasl.password" {
			assert.Equal(t, "********", s.Value)
		}
		if s.Key == "admin.token" {
			assert.Equal(t, `""`, s.Value, "a secret that is not set shows as such")
		}
	}
}

func TestAFileThatIsNotThereOrNoYAMLSaysSo(t *testing.T) {
	_, _, err := config.Load(config.Sources{File: filepath.Join(t.TempDir(), "absent.yaml")})
	require.ErrorContains(t, err, "absent.yaml")
	_, _, err = config.Load(config.Sources{File: file(t, "a: [")})
	require.ErrorContains(t, err, "reading")
}

func TestDurationsAreWrittenShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s", 10 * time.Minute: "10m", 250 * time.Millisecond: "250ms", 0: "0s",
	} {
		assert.Equal(t, want, config.Duration(d))
	}
}

func TestTheLoggerFollowsTheConfiguration(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		log, err := config.LogConfig{Level: "warn", Format: format}.NewLogger()
		require.NoError(t, err)
		assert.False(t, log.Core().Enabled(0))
	}
}
