package gateway_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/gateway"
)

func TestEveryValueThatCannotWorkIsRefusedByItsName(t *testing.T) {
	require.NoError(t, gateway.DefaultConfig().Validate())
	origins := func(list ...string) func(*gateway.Config) {
		return func(c *gateway.Config) { c.AllowedOrigins = list }
	}
	for name, row := range map[string]struct {
		change func(*gateway.Config)
		says   string
	}{
		"no listener":            {func(c *gateway.Config) { c.Listen = "" }, "gateway.listen"},
		"a listener of a port":   {func(c *gateway.Config) { c.Listen = "8080" }, "host:port"},
		"a listener of a host":   {func(c *gateway.Config) { c.Listen = "host:" }, "host:port"},
		"no connections":         {func(c *gateway.Config) { c.MaxConnections = 0 }, "gateway.max_connections is 0"},
		"a negative rate":        {func(c *gateway.Config) { c.MaxHandshakesPerSecond = -1 }, "gateway.max_handshakes_per_second is -1"},
		"no handshakes":          {func(c *gateway.Config) { c.MaxPendingHandshakes = 0 }, "gateway.max_pending_handshakes is 0: nobody could connect"},
		"an origin without way":  {origins("shop.example"), `"shop.example"`},
		"an origin with a path":  {origins("https://ok.example", "https://shop.example/"), `"https://shop.example/"`},
		"an origin of no host":   {origins("https://"), "write an origin as"},
		"an empty origin":        {origins(""), "write an origin as"},
		"a star for a scheme":    {origins("*://shop.example"), "write an origin as"},
		"a star in the middle":   {origins("https://shop.*.example"), "all names below"},
		"a star within a name":   {origins("https://*shop.example"), "all names below"},
		"a star for a host":      {origins("https://*"), "all names below"},
		"no time for headers":    {func(c *gateway.Config) { c.ReadHeaderTimeout = 0 }, "gateway.read_header_timeout is 0s"},
		"no time for publishing": {func(c *gateway.Config) { c.PublishTimeout = -time.Second }, "gateway.publish_timeout is -1s"},
	} {
		t.Run(name, func(t *testing.T) {
			c := gateway.DefaultConfig()
			row.change(&c)
			assert.ErrorContains(t, c.Validate(), row.says)
		})
	}
	c := gateway.DefaultConfig()
	c.AllowedOrigins = []string{"*", "https://shop.example", "https://*.shop.example:8443", "http://localhost:3000"}
	require.NoError(t, c.Validate())
	c.Listen, c.MaxConnections = "", 0
	err := c.Validate()
	require.ErrorContains(t, err, "gateway.listen")
	require.ErrorContains(t, err, "gateway.max_connections", "all problems at once")
}
