// Package gateway is the HTTP side of a node: it authenticates, upgrades, and
// puts sessions into the hub; and it takes messages over HTTP, for the log, or from
// other nodes and services for its own sessions. What happens on a
// socket is left to package session, delivery to package delivery.
package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"pushgate/internal/tlsconfig"
)

// TLSKey is the section that gateway.tls stands in, for its errors.
const TLSKey = "gateway.tls"

// Config of the gateway listener.
type Config struct {
	Listen                 string           `mapstructure:"listen" doc:"Address clients connect to. A container image listens on all interfaces."`
	TLS                    tlsconfig.Server `mapstructure:"tls"`
	MaxConnections         int              `mapstructure:"max_connections" doc:"Sessions this node takes; further ones are refused with 429. Where the process may not open as many files, it takes fewer."`
	MaxHandshakesPerSecond int              `mapstructure:"max_handshakes_per_second" doc:"New sessions a second; further ones are refused with 429 and Retry-After. 0: no limit."`
	MaxPendingHandshakes   int              `mapstructure:"max_pending_handshakes" doc:"Connections that may be in their handshake at a time, TLS and the request; further ones are closed at once. Where the process may not open many files, fewer."`
	AllowedOrigins         []string         `mapstructure:"allowed_origins" doc:"Origins browsers may connect from, such as https://shop.example or https://*.shop.example; * allows all. Empty: the same origin only."`
	ReadHeaderTimeout      time.Duration    `mapstructure:"read_header_timeout" doc:"How long a client may take to send its request."`
	PublishTimeout         time.Duration    `mapstructure:"publish_timeout" doc:"How long a message posted over HTTP may take to be in Kafka before the answer is 503."`
}

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config {
	return Config{
		Listen:               "127.0.0.1:8080",
		MaxConnections:       100_000,
		MaxPendingHandshakes: 1024,
		AllowedOrigins:       []string{},
		ReadHeaderTimeout:    5 * time.Second,
		PublishTimeout:       10 * time.Second,
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		errs = append(errs, fmt.Errorf("gateway.listen is %q: write it as host:port", c.Listen))
	}
	if err := c.TLS.Validate(TLSKey); err != nil {
		errs = append(errs, err)
	}
	if c.MaxConnections < 1 {
		errs = append(errs, fmt.Errorf("gateway.max_connections is %d: must be at least 1", c.MaxConnections))
	}
	if c.MaxHandshakesPerSecond < 0 {
		errs = append(errs, fmt.Errorf("gateway.max_handshakes_per_second is %d: write 0 for no limit, or a limit", c.MaxHandshakesPerSecond))
	}
	if c.MaxPendingHandshakes < 1 {
		errs = append(errs, fmt.Errorf("gateway.max_pending_handshakes is %d: nobody could connect; must be at least 1, and 1024 is usual", c.MaxPendingHandshakes))
	}
	for _, o := range c.AllowedOrigins {
		u, err := url.Parse(o)
		switch {
		case o == allOrigins:
		case err != nil, u.Scheme == "", u.Host == "", u.Path != "":
			errs = append(errs, fmt.Errorf("gateway.allowed_origins has %q: write an origin as https://shop.example, without a path", o))
		case strings.Contains(strings.TrimPrefix(u.Host, "*."), "*"):
			errs = append(errs, fmt.Errorf("gateway.allowed_origins has %q: a * stands for all names below, as in https://*.shop.example", o))
		}
	}
	if c.ReadHeaderTimeout <= 0 {
		errs = append(errs, fmt.Errorf("gateway.read_header_timeout is %s: must be above zero", c.ReadHeaderTimeout))
	}
	if c.PublishTimeout <= 0 {
		errs = append(errs, fmt.Errorf("gateway.publish_timeout is %s: must be above zero", c.PublishTimeout))
	}
	return errors.Join(errs...)
}

// Scheme is how clients write the address of the listener: ws:// or wss://.
func (c Config) Scheme() string {
	if c.TLS.Enabled() {
		return "wss://"
	}
	return "ws://"
}
