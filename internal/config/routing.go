package config

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"pushgate/internal/auth"
	"pushgate/internal/listen"
	"pushgate/internal/tlsconfig"
)

// RoutingConfig is how a message finds its user.
type RoutingConfig struct {
	Mode          string        `mapstructure:"mode" doc:"broadcast: every gateway reads every request and picks those of its users. targeted: custodians look users up in the directory and call the gateways that hold them. Best the same on all nodes; while they differ, gateways read."`
	CallTimeout   time.Duration `mapstructure:"call_timeout" doc:"targeted: how long a call of a gateway may take; what it was to deliver is tried again later."`
	Cache         time.Duration `mapstructure:"cache" doc:"targeted: how long a look-up of a user may be used again. 0 turns this off."`
	BatchMessages int           `mapstructure:"batch_messages" doc:"targeted: messages in one call at most."`
	BatchBytes    int           `mapstructure:"batch_bytes" doc:"targeted: bytes in one call at most; a larger single message is still sent."`
}

// The modes of routing.
const (
	RoutingBroadcast = "broadcast"
	RoutingTargeted  = "targeted"
)

func defaultRouting() RoutingConfig {
	return RoutingConfig{
		Mode: RoutingBroadcast, CallTimeout: 3 * time.Second, Cache: time.Second, BatchMessages: 500, BatchBytes: 1 << 20,
	}
}

// InternalConfig is what nodes ask of each other.
type InternalConfig struct {
	Listen string           `mapstructure:"listen" doc:"Address of a listener for calls of other nodes and services only (POST /push). Empty: gateway.listen serves them."`
	Token  string           `mapstructure:"token" secret:"true" doc:"Shared secret of such calls, the same on all nodes. Required of gateways that other machines can reach, unless internal.tls is set."`
	TLS    tlsconfig.Mutual `mapstructure:"tls"`
}

// InternalTLSKey is the section that internal.tls stands in, for its errors.
const InternalTLSKey = "internal.tls"

// Targeted says whether requests are carried to the gateways, or read by them.
func (c Config) Targeted() bool { return c.Routing.Mode == RoutingTargeted }

// PushListen is the address that serves POST /push.
func (c Config) PushListen() string {
	if c.Internal.Listen != "" {
		return c.Internal.Listen
	}
	return c.Gateway.Listen
}

func (c Config) pushListenKey() string {
	if c.Internal.Listen != "" {
		return "internal.listen"
	}
	return "gateway.listen"
}

func (c RoutingConfig) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf("routing."+format, args...)) }
	if c.Mode != RoutingBroadcast && c.Mode != RoutingTargeted {
		add("mode is %q: use %s or %s", c.Mode, RoutingBroadcast, RoutingTargeted)
	}
	if c.CallTimeout < 10*time.Millisecond || c.CallTimeout > time.Minute {
		add("call_timeout is %s: must be from 10ms to 1m", c.CallTimeout)
	}
	if c.Cache < 0 || c.Cache > time.Minute {
		add("cache is %s: must be from 0 (off) to 1m", c.Cache)
	}
	if c.BatchMessages < 1 || c.BatchMessages > 10_000 {
		add("batch_messages is %d: must be from 1 to 10000", c.BatchMessages)
	}
	if c.BatchBytes < 1024 || c.BatchBytes > 64<<20 {
		add("batch_bytes is %d: must be from 1024 to 67108864", c.BatchBytes)
	}
	return errors.Join(errs...)
}

// validateInternal looks at what nodes ask of each other. Only gateways are asked.
func (c Config) validateInternal() error {
	var errs []error
	if a := c.Internal.Listen; a != "" {
		if _, port, err := net.SplitHostPort(a); err != nil || port == "" {
			errs = append(errs, fmt.Errorf("internal.listen is %q: write it as host:port", a))
		}
		for key, other := range map[string]string{"gateway.listen": c.Gateway.Listen, "admin.listen": c.Admin.Listen} {
			if a == other && !strings.HasSuffix(a, ":0") {
				errs = append(errs, fmt.Errorf("internal.listen and %s are both %q: each needs an address of its own", key, a))
			}
		}
	}
	if err := c.Internal.TLS.Validate(InternalTLSKey); err != nil {
		errs = append(errs, err)
	}
	if c.Internal.TLS.Enabled() && c.Internal.Listen == "" {
		errs = append(errs, errors.New("internal.tls is set, but internal.listen is empty: the calls of other nodes need a listener of their own to be encrypted"))
	}
	if c.Targeted() && c.Has(RoleGateway) && c.Gateway.TLS.Enabled() && c.Internal.Listen == "" {
		errs = append(errs, errors.New("gateway.tls is set, and custodians call gateways without it: set internal.listen, with internal.tls where the network needs it"))
	}
	served := c.PushListen()
	_, _, err := net.SplitHostPort(served)
	meant := c.Targeted() || c.Internal.Listen != "" // else nobody calls, and without a token nobody from elsewhere can
	if err != nil || !meant || !c.Has(RoleGateway) || c.Internal.Token != "" || c.Internal.TLS.Enabled() {
		return errors.Join(errs...)
	}
	switch {
	case !listen.Loopback(served):
		errs = append(errs, fmt.Errorf("internal.token is empty, but %s (%s), which takes messages for users (POST /push), can be reached from other machines: "+
			"set the same token on all nodes, or internal.listen with internal.tls, or internal.listen on 127.0.0.1", c.pushListenKey(), served))
	case c.Auth.Mode != auth.ModeNone:
		errs = append(errs, fmt.Errorf("internal.token is empty, but auth.mode is %s: nodes have to show that they are nodes, too (POST /push); "+
			"set the same token on all nodes, or internal.listen with internal.tls", c.Auth.Mode))
	}
	return errors.Join(errs...)
}

// validateAdvertise looks at where other nodes are to reach this one. It matters only
// where they call it.
func (c Config) validateAdvertise() error {
	a, derived := c.Node.Advertise, ""
	if a == "" {
		a = c.PushListen()
	}
	if a == c.PushListen() {
		derived = fmt.Sprintf(" (as %s)", c.pushListenKey())
	}
	host, port, err := net.SplitHostPort(a)
	switch {
	case err != nil || port == "":
		if derived != "" {
			return nil // said of the listener
		}
		return fmt.Errorf("node.advertise is %q: write it as host:port", a)
	case !c.Targeted() || !c.Has(RoleGateway):
		return nil
	}
	const remedy = "set node.advertise to the name or address at which this node is reached, such as gateway-1.example:8080"
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		return fmt.Errorf("node.advertise is %q%s: with routing.mode targeted other nodes call this one there, and a wildcard is no address to call: %s", a, derived, remedy)
	}
	if port == "0" && derived == "" {
		return fmt.Errorf("node.advertise is %q: port 0 is no port to call: %s", a, remedy)
	}
	return nil
}
