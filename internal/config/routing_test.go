package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/config"
)

// offLoopback is a node that other machines can reach, and has all it needs for that.
func offLoopback(more ...string) []string {
	return append([]string{
		"PUSHGATE_GATEWAY_LISTEN=:8080", "PUSHGATE_AUTH_INSECURE=true", "PUSHGATE_INTERNAL_TOKEN=x", "PUSHGATE_NODE_ADVERTISE=gateway-1:8080",
	}, more...)
}

func TestTheSettingsOfRoutingThatCannotWorkAreRefused(t *testing.T) {
	const targeted = "PUSHGATE_ROUTING_MODE=targeted"
	tls := []string{"PUSHGATE_INTERNAL_TLS_CERT_FILE=c", "PUSHGATE_INTERNAL_TLS_KEY_FILE=k", "PUSHGATE_INTERNAL_TLS_CA_FILE=a"}
	for name, row := range map[string]struct {
		env  []string
		says string // empty: it is right
	}{
		"targeted":                        {[]string{targeted}, ""},
		"targeted off loopback":           {offLoopback(targeted), ""},
		"no such mode":                    {[]string{"PUSHGATE_ROUTING_MODE=both"}, `routing.mode is "both": use broadcast or targeted`},
		"no time to call":                 {[]string{"PUSHGATE_ROUTING_CALL_TIMEOUT=0s"}, "routing.call_timeout is 0s"},
		"long calls":                      {[]string{"PUSHGATE_ROUTING_CALL_TIMEOUT=1h"}, "routing.call_timeout is 1h"},
		"no cache":                        {[]string{"PUSHGATE_ROUTING_CACHE=0s"}, ""},
		"negative cache":                  {[]string{"PUSHGATE_ROUTING_CACHE=-1s"}, "routing.cache is -1s"},
		"old look-ups":                    {[]string{"PUSHGATE_ROUTING_CACHE=1h"}, "routing.cache is 1h"},
		"empty batch":                     {[]string{"PUSHGATE_ROUTING_BATCH_MESSAGES=0"}, "routing.batch_messages is 0"},
		"batch without bytes":             {[]string{"PUSHGATE_ROUTING_BATCH_BYTES=10"}, "routing.batch_bytes is 10"},
		"no Redis":                        {[]string{targeted, "PUSHGATE_DIRECTORY_REDIS_ADDR="}, "directory.redis.addr is empty"},
		"no Redis needed":                 {[]string{"PUSHGATE_DIRECTORY_REDIS_ADDR="}, ""},
		"wrong Redis":                     {[]string{"PUSHGATE_DIRECTORY_REDIS_MODE=many"}, "directory.redis.mode"},
		"no token":                        {offLoopback(targeted, "PUSHGATE_INTERNAL_TOKEN=", "PUSHGATE_NODE_ADVERTISE=a:8080"), "internal.token is empty, but gateway.listen (:8080)"},
		"no token, not called":            {offLoopback("PUSHGATE_INTERNAL_TOKEN="), ""},
		"no token, clients have some":     {[]string{targeted, "PUSHGATE_AUTH_MODE=jwt", "PUSHGATE_AUTH_JWT_HMAC_SECRET=0123456789abcdef0123456789abcdef"}, "internal.token is empty, but auth.mode is jwt"},
		"no token, no gateway":            {offLoopback("PUSHGATE_INTERNAL_TOKEN=", "PUSHGATE_NODE_ROLES=custodian"), ""},
		"no token, own listener":          {offLoopback("PUSHGATE_INTERNAL_TOKEN=", "PUSHGATE_INTERNAL_LISTEN=127.0.0.1:8082"), ""},
		"no token, open listener":         {[]string{"PUSHGATE_INTERNAL_LISTEN=:8082"}, "internal.token is empty, but internal.listen (:8082)"},
		"TLS instead of a token":          {offLoopback(append(tls, "PUSHGATE_INTERNAL_TOKEN=", "PUSHGATE_INTERNAL_LISTEN=:8082")...), ""},
		"TLS without a listener":          {tls, "internal.tls is set, but internal.listen is empty"},
		"half of TLS":                     {append(tls[:2:2], "PUSHGATE_INTERNAL_LISTEN=127.0.0.1:8082"), "internal.tls.cert_file, key_file and ca_file go together"},
		"no address":                      {[]string{"PUSHGATE_INTERNAL_LISTEN=nonsense"}, `internal.listen is "nonsense"`},
		"address of the gateway":          {[]string{"PUSHGATE_INTERNAL_LISTEN=127.0.0.1:8080"}, "internal.listen and gateway.listen are both"},
		"address of the admin":            {[]string{"PUSHGATE_INTERNAL_LISTEN=127.0.0.1:8081"}, "internal.listen and admin.listen are both"},
		"advertises no address":           {[]string{"PUSHGATE_NODE_ADVERTISE=gateway-1"}, `node.advertise is "gateway-1": write it as host:port`},
		"advertises all addresses":        {offLoopback(targeted, "PUSHGATE_NODE_ADVERTISE=0.0.0.0:8080"), "set node.advertise to the name or address"},
		"advertises all addresses (v6)":   {offLoopback(targeted, "PUSHGATE_NODE_ADVERTISE=[::]:8080"), "set node.advertise to the name or address"},
		"advertises where it listens":     {offLoopback(targeted, "PUSHGATE_NODE_ADVERTISE="), `node.advertise is ":8080" (as gateway.listen)`},
		"advertises internal.listen":      {offLoopback(targeted, "PUSHGATE_NODE_ADVERTISE=", "PUSHGATE_INTERNAL_LISTEN=0.0.0.0:8082"), `(as internal.listen)`},
		"advertises no port":              {[]string{targeted, "PUSHGATE_NODE_ADVERTISE=gateway-1:0"}, "port 0 is no port to call"},
		"advertises a wildcard to nobody": {offLoopback("PUSHGATE_NODE_ADVERTISE=0.0.0.0:8080"), ""},
		"is called by nobody":             {offLoopback(targeted, "PUSHGATE_NODE_ADVERTISE=", "PUSHGATE_NODE_ROLES=custodian"), ""},
		"finds a port":                    {[]string{targeted, "PUSHGATE_GATEWAY_LISTEN=127.0.0.1:0"}, ""},
		"no address of dev":               {[]string{"PUSHGATE_DEV_REDIS_LISTEN=nonsense"}, `dev.redis_listen is "nonsense"`},
	} {
		_, _, err := config.Load(config.Sources{Env: row.env})
		if row.says == "" {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorContains(t, err, row.says, name)
		}
	}
}

func TestAllProblemsOfRoutingAreReportedAtOnce(t *testing.T) {
	_, _, err := config.Load(config.Sources{Env: []string{
		"PUSHGATE_ROUTING_MODE=targeted", "PUSHGATE_ROUTING_BATCH_MESSAGES=0", "PUSHGATE_GATEWAY_LISTEN=:8080", "PUSHGATE_AUTH_INSECURE=true",
		"PUSHGATE_DIRECTORY_REDIS_ADDR=", "PUSHGATE_INTERNAL_TLS_CERT_FILE=c",
	}})
	require.Error(t, err)
	for _, says := range []string{
		"routing.batch_messages", "directory.redis.addr", "node.advertise", "internal.tls.cert_file", "internal.listen is empty",
	} {
		assert.ErrorContains(t, err, says)
	}
	assert.Equal(t, 5, strings.Count(err.Error(), "\n")+1, err.Error())
}

func TestOtherNodesCallTheListenerThatIsForThem(t *testing.T) {
	c, _, err := config.Load(config.Sources{Env: []string{"PUSHGATE_INTERNAL_LISTEN=127.0.0.1:8082"}})
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:8082", c.Node.Advertise)
	assert.Equal(t, "127.0.0.1:8082", c.PushListen())
	c, _, err = config.Load(config.Sources{})
	require.NoError(t, err)
	assert.Equal(t, c.Gateway.Listen, c.PushListen())
	assert.False(t, c.Targeted())
}
