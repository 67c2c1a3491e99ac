package kafka

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"pushgate/internal/tlsconfig"
)

// Config says how to reach a cluster, and what the topics are called.
type Config struct {
	Brokers        []string         `mapstructure:"brokers" doc:"Addresses (host:port) of some brokers; the others are found through them."`
	ClientID       string           `mapstructure:"client_id" doc:"Name under which this node shows up in broker logs and quotas."`
	Topics         Topics           `mapstructure:"topics"`
	TLS            tlsconfig.Client `mapstructure:"tls"`
	SASL           SASLConfig       `mapstructure:"sasl"`
	MaxWait        time.Duration    `mapstructure:"max_wait" doc:"How long a read waits at the broker for a first record. Also bounds how long ending a reader takes."`
	FetchMaxBytes  int              `mapstructure:"fetch_max_bytes" doc:"Bytes one read of a partition brings at most; a larger single record is still read whole. Where the request topic has fewer than eight partitions, a gateway reads as much of them as of eight."`
	RequestTimeout time.Duration    `mapstructure:"request_timeout" doc:"How long one request to a broker may take before it is given up and tried again."`
	SessionTimeout time.Duration    `mapstructure:"session_timeout" doc:"Silence after which the brokers take a custodian for dead and give its partitions to others. Brokers allow no less than 6s by default."`
}

// Topics names the platform's topics.
type Topics struct {
	Requests   string `mapstructure:"requests" doc:"Where producers write push requests, keyed by user."`
	Retry      string `mapstructure:"retry" doc:"Messages that wait."`
	DeadLetter string `mapstructure:"dead_letter" doc:"Messages that died, with the reason."`
	Receipts   string `mapstructure:"receipts" doc:"What gateways have delivered."`
	Outcomes   string `mapstructure:"outcomes" doc:"What became of each message."`
	Operations string `mapstructure:"operations" doc:"What operators did: replays, discards, and what they were for."`
	Nodes      string `mapstructure:"nodes" doc:"What each node says of itself, every nodes.report_interval."`
}

// SASLConfig is how a node logs in to the brokers.
type SASLConfig struct {
	Mechanism string `mapstructure:"mechanism" doc:"plain, scram-sha-256 or scram-sha-512; empty: no login."`
	Username  string `mapstructure:"username" doc:"Name to log in with."`
	Password  string `mapstructure:"password" secret:"true" doc:"Password to log in with."`
}

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config {
	return Config{
		Brokers:  []string{"127.0.0.1:9092"},
		ClientID: "pushgate",
		Topics: Topics{
			Requests: "push.requests", Retry: "push.retry", DeadLetter: "push.dead-letter",
			Receipts: "push.receipts", Outcomes: "push.outcomes",
			Operations: "push.operations", Nodes: "push.nodes",
		},
		MaxWait:        250 * time.Millisecond,
		FetchMaxBytes:  1 << 20,
		RequestTimeout: 10 * time.Second,
		SessionTimeout: 6 * time.Second,
	}
}

// The SASL mechanisms.
const (
	mechanismPlain  = "plain"
	mechanismSHA256 = "scram-sha-256"
	mechanismSHA512 = "scram-sha-512"
)

// tlsKey is the section of the configuration that TLS stands in.
const tlsKey = "kafka.tls"

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		add("kafka.brokers is empty: name at least one broker as host:port")
	}
	for _, b := range c.Brokers {
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			add("kafka.brokers has %q: write it as host:port", b)
		}
	}
	names := map[string]string{}
	for key, name := range map[string]string{
		"requests": c.Topics.Requests, "retry": c.Topics.Retry, "dead_letter": c.Topics.DeadLetter,
		"receipts": c.Topics.Receipts, "outcomes": c.Topics.Outcomes,
		"operations": c.Topics.Operations, "nodes": c.Topics.Nodes,
	} {
		switch other, taken := names[name]; {
		case name == "" || len(name) > 249 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "":
			add("kafka.topics.%s is %q: a topic name has 1 to 249 letters, digits, dots, dashes and underscores", key, name)
		case taken:
			add("kafka.topics.%s and kafka.topics.%s are both %q: each needs a topic of its own", key, other, name)
		}
		names[name] = key
	}
	switch c.SASL.Mechanism {
	case "":
	case mechanismPlain, mechanismSHA256, mechanismSHA512:
		if c.SASL.Username == "" || c.SASL.Password == "" {
			add("kafka.sasl.mechanism is %s: kafka.sasl.username and kafka.sasl.password are needed", c.SASL.Mechanism)
		}
	default:
		add("kafka.sasl.mechanism is %q: use plain, scram-sha-256 or scram-sha-512, or leave it empty", c.SASL.Mechanism)
	}
	if err := c.TLS.Validate(tlsKey); err != nil {
		errs = append(errs, err)
	}
	if c.MaxWait < 10*time.Millisecond || c.MaxWait > 10*time.Second {
		add("kafka.max_wait is %s: must be from 10ms to 10s", c.MaxWait)
	}
	if c.FetchMaxBytes < 1024 || c.FetchMaxBytes >= maxRecordSet {
		add("kafka.fetch_max_bytes is %d: must be from 1024 to %d", c.FetchMaxBytes, maxRecordSet-1)
	}
	if c.RequestTimeout < time.Second {
		add("kafka.request_timeout is %s: must be at least 1s", c.RequestTimeout)
	}
	if c.SessionTimeout < time.Second {
		add("kafka.session_timeout is %s: must be at least 1s", c.SessionTimeout)
	}
	// Maps have no order; people read these side by side.
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// mechanism returns nil when no login is asked for.
func (c SASLConfig) mechanism() (sasl.Mechanism, error) {
	var m sasl.Mechanism
	var err error
	switch c.Mechanism {
	case mechanismPlain:
		m = plain.Mechanism{Username: c.Username, Password: c.Password}
	case mechanismSHA256:
		m, err = scram.Mechanism(scram.SHA256, c.Username, c.Password)
	case mechanismSHA512:
		m, err = scram.Mechanism(scram.SHA512, c.Username, c.Password)
	}
	if err != nil {
		return nil, fmt.Errorf("kafka.sasl: %w", err)
	}
	return m, nil
}
