// Package config is the configuration of a node: made of the packages' own
// Config structs, read from defaults, a YAML file, the environment and flags, in
// that order. It is strict: what it does not know is an error, and every problem
// is reported at once. It is the only user of viper.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"pushgate/internal/admin"
	"pushgate/internal/auth"
	"pushgate/internal/canary"
	"pushgate/internal/custody"
	"pushgate/internal/delivery"
	"pushgate/internal/directory"
	"pushgate/internal/fleet"
	"pushgate/internal/gateway"
	"pushgate/internal/kafka"
	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/tracing"
)

// Config is the whole configuration of a node.
type Config struct {
	Node      NodeConfig             `mapstructure:"node"`
	Gateway   gateway.Config         `mapstructure:"gateway"`
	Session   session.Config         `mapstructure:"session"`
	Auth      auth.Config            `mapstructure:"auth"`
	Kafka     kafka.Config           `mapstructure:"kafka"`
	Routing   RoutingConfig          `mapstructure:"routing"`
	Directory directory.Config       `mapstructure:"directory"`
	Delivery  delivery.Config        `mapstructure:"delivery"`
	Custody   custody.Config         `mapstructure:"custody"`
	Retry     custody.RetryConfig    `mapstructure:"retry"`
	Message   MessageConfig          `mapstructure:"message"`
	Waiting   custody.WaitingConfig  `mapstructure:"waiting"`
	Outcomes  OutcomesConfig         `mapstructure:"outcomes"`
	Drain     DrainConfig            `mapstructure:"drain"`
	Internal  InternalConfig         `mapstructure:"internal"`
	Admin     admin.Config           `mapstructure:"admin"`
	Metrics   delivery.MetricsConfig `mapstructure:"metrics"`
	Tracing   tracing.Config         `mapstructure:"tracing"`
	Canary    canary.Config          `mapstructure:"canary"`
	Nodes     fleet.NodesConfig      `mapstructure:"nodes"`
	Log       LogConfig              `mapstructure:"log"`
	Dev       DevConfig              `mapstructure:"dev"`
}

// NodeConfig is who this node is.
type NodeConfig struct {
	ID        string   `mapstructure:"id" doc:"Stable identity of this node; its own consumer group is pushgate.gateway.<id>. Default: the host's name."`
	Advertise string   `mapstructure:"advertise" doc:"How other nodes reach this one, as host:port. Default: internal.listen, else gateway.listen."`
	Roles     []string `mapstructure:"roles" doc:"What this node does: gateway, custodian, or both."`
}

// The roles of a node.
const (
	RoleGateway   = "gateway"
	RoleCustodian = "custodian"
)

// MessageConfig bounds messages.
type MessageConfig struct {
	DefaultTTL time.Duration `mapstructure:"default_ttl" doc:"Time to live of a message whose producer states no ce_expirytime."`
	MaxBytes   int           `mapstructure:"max_bytes" doc:"Largest payload in bytes; a larger one is dead-lettered as too_large."`
	Expired    string        `mapstructure:"expired" doc:"What becomes of a message whose time to live ran out: dead_letter, or drop (only counted)."`
}

// What becomes of expired messages.
const (
	ExpiredDeadLetter = "dead_letter"
	ExpiredDrop       = "drop"
)

// OutcomesConfig is who learns what became of a message.
type OutcomesConfig struct {
	Enabled bool `mapstructure:"enabled" doc:"Write what became of each message to kafka.topics.outcomes, keyed by user. The same on every custodian."`
}

// DrainConfig is how a node leaves.
type DrainConfig struct {
	Timeout time.Duration `mapstructure:"timeout" doc:"Time over which sessions are told to go elsewhere after SIGTERM."`
}

// LogConfig is what is logged, and how.
type LogConfig struct {
	Level  string `mapstructure:"level" doc:"debug, info, warn or error."`
	Format string `mapstructure:"format" doc:"json, or console for reading along."`
}

// DevConfig is for the command dev only.
type DevConfig struct {
	KafkaListen string `mapstructure:"kafka_listen" doc:"Address of the embedded broker of the command dev."`
	RedisListen string `mapstructure:"redis_listen" doc:"Address of the embedded directory of the command dev, which it starts with routing.mode targeted."`
	DataDir     string `mapstructure:"data_dir" doc:"Where the command dev keeps its data across restarts."`
}

// Default returns the defaults of every key.
func Default() Config {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	return Config{
		Node:      NodeConfig{ID: host, Roles: []string{RoleGateway, RoleCustodian}},
		Gateway:   gateway.DefaultConfig(),
		Session:   session.DefaultConfig(),
		Auth:      auth.DefaultConfig(),
		Kafka:     kafka.DefaultConfig(),
		Routing:   defaultRouting(),
		Directory: directory.DefaultConfig(),
		Delivery:  delivery.DefaultConfig(),
		Custody:   custody.DefaultConfig(),
		Retry:     custody.DefaultRetryConfig(),
		Message:   MessageConfig{DefaultTTL: 24 * time.Hour, MaxBytes: 64 << 10, Expired: ExpiredDeadLetter},
		Waiting:   custody.DefaultWaitingConfig(),
		Drain:     DrainConfig{Timeout: 30 * time.Second},
		Admin:     admin.DefaultConfig(),
		Metrics:   delivery.DefaultMetricsConfig(),
		Tracing:   tracing.DefaultConfig(),
		Canary:    canary.DefaultConfig(),
		Nodes:     fleet.DefaultNodesConfig(),
		Log:       LogConfig{Level: "info", Format: "json"},
		Dev:       DevConfig{KafkaListen: "127.0.0.1:9092", RedisListen: "127.0.0.1:6379", DataDir: ".pushgate"},
	}
}

// Limits of requests.
func (c Config) Limits() push.Limits {
	return push.Limits{MaxBytes: c.Message.MaxBytes, DefaultTTL: c.Message.DefaultTTL}
}

// Has says whether the node has a role.
func (c Config) Has(role string) bool { return slices.Contains(c.Node.Roles, role) }

// Validate reports every value that cannot work, of this package and of all
// others.
func (c Config) Validate() error {
	errs := []error{
		c.Gateway.Validate(), c.Session.Validate(), c.Auth.Validate(), c.Auth.ValidateListener(c.Gateway.Listen),
		c.Kafka.Validate(), c.Delivery.Validate(), c.Custody.Validate(), c.Retry.Validate(), c.Waiting.Validate(),
		c.Metrics.Validate(), c.Tracing.Validate(), c.Canary.Validate(), c.Nodes.Validate(),
		c.Admin.Validate(), c.validateNode(), c.Routing.validate(), c.validateInternal(), c.validateMessage(), c.validateRest(),
	}
	// Where requests are read, no Redis is needed, and none has to be named.
	if c.Targeted() || len(c.Directory.Redis.Addr) > 0 {
		errs = append(errs, c.Directory.Validate())
	}
	return errors.Join(errs...)
}

func (c Config) validateNode() error {
	var errs []error
	// The id is part of a consumer group's name.
	if !regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`).MatchString(c.Node.ID) {
		errs = append(errs, fmt.Errorf("node.id is %q: use 1 to 128 letters, digits, dots, dashes and underscores", c.Node.ID))
	}
	if len(c.Node.Roles) == 0 {
		errs = append(errs, errors.New("node.roles is empty: name gateway, custodian, or both"))
	}
	for _, r := range c.Node.Roles {
		if r != RoleGateway && r != RoleCustodian {
			errs = append(errs, fmt.Errorf("node.roles has %q: there are gateway and custodian", r))
		}
	}
	return errors.Join(append(errs, c.validateAdvertise())...)
}

func (c Config) validateMessage() error {
	var errs []error
	if c.Message.DefaultTTL < time.Second {
		errs = append(errs, fmt.Errorf("message.default_ttl is %s: must be at least 1s", c.Message.DefaultTTL))
	}
	if c.Message.MaxBytes < 1 || c.Message.MaxBytes > 64<<20 {
		errs = append(errs, fmt.Errorf("message.max_bytes is %d: must be from 1 to 67108864", c.Message.MaxBytes))
	}
	if c.Message.Expired != ExpiredDeadLetter && c.Message.Expired != ExpiredDrop {
		errs = append(errs, fmt.Errorf("message.expired is %q: use dead_letter or drop", c.Message.Expired))
	}
	// A frame is a third larger than its payload where that is no JSON.
	if need := c.Message.MaxBytes + c.Message.MaxBytes/3 + 2048; c.Session.MaxBufferedBytes < need {
		errs = append(errs, fmt.Errorf("session.max_buffered_bytes is %d: a payload of message.max_bytes (%d) would never fit; write at least %d",
			c.Session.MaxBufferedBytes, c.Message.MaxBytes, need))
	}
	if c.Waiting.OfferBytes > c.Session.MaxBufferedBytes {
		errs = append(errs, fmt.Errorf("waiting.offer_bytes is %d: must be at most session.max_buffered_bytes (%d), or what waits overflows the session it is offered to",
			c.Waiting.OfferBytes, c.Session.MaxBufferedBytes))
	}
	return errors.Join(errs...)
}

func (c Config) validateRest() error {
	var errs []error
	if c.Drain.Timeout < 0 {
		errs = append(errs, fmt.Errorf("drain.timeout is %s: must not be negative", c.Drain.Timeout))
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		errs = append(errs, fmt.Errorf("log.level is %q: use debug, info, warn or error", c.Log.Level))
	}
	if c.Log.Format != "json" && c.Log.Format != "console" {
		errs = append(errs, fmt.Errorf("log.format is %q: use json or console", c.Log.Format))
	}
	if _, _, err := net.SplitHostPort(c.Dev.KafkaListen); err != nil {
		errs = append(errs, fmt.Errorf("dev.kafka_listen is %q: write it as host:port", c.Dev.KafkaListen))
	}
	if _, _, err := net.SplitHostPort(c.Dev.RedisListen); err != nil {
		errs = append(errs, fmt.Errorf("dev.redis_listen is %q: write it as host:port", c.Dev.RedisListen))
	}
	if c.Gateway.Listen == c.Admin.Listen && !strings.HasSuffix(c.Admin.Listen, ":0") {
		errs = append(errs, fmt.Errorf("gateway.listen and admin.listen are both %q: each needs an address of its own", c.Admin.Listen))
	}
	if c.Delivery.HeartbeatInterval > c.Custody.Window/3 {
		errs = append(errs, fmt.Errorf("delivery.heartbeat_interval is %s: must be at most a third of custody.window (%s), or living gateways are taken for dead",
			c.Delivery.HeartbeatInterval, c.Custody.Window))
	}
	return errors.Join(errs...)
}
