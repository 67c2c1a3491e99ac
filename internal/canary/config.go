// Package canary is a user that does not exist: it connects to a gateway as any client
// does, has a message produced to it as any producer does, now and then, and measures
// how long that takes until it is here. What it finds is for operators to see; a node
// is no less ready for it. How it is let in, and where messages are produced, is left
// to those who make it.
//
// Its messages are messages: they stand in the topics, are counted by every metric, and
// are part of every audit. They live no longer than what is waited for them, so that
// none waits for a canary that is gone; one that does not come is dead-lettered as
// expired.
package canary

import (
	"errors"
	"fmt"
	"time"
)

// Config of the canary.
type Config struct {
	Enabled  bool          `mapstructure:"enabled" doc:"Have a user of this node's own, pushgate-canary-<node.id>, connect to it, get a message through Kafka now and then, and measure how long that takes."`
	Interval time.Duration `mapstructure:"interval" doc:"How often the canary gets a message."`
	Timeout  time.Duration `mapstructure:"timeout" doc:"How long connecting, producing or receiving may take before it counts as a failure; also the time to live of the canary's messages. At most canary.interval."`
}

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config { return Config{Interval: 10 * time.Second, Timeout: 5 * time.Second} }

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	const least = 100 * time.Millisecond
	var errs []error
	if c.Interval < least {
		errs = append(errs, fmt.Errorf("canary.interval is %s: must be at least %s", c.Interval, least))
	}
	if c.Timeout < least || c.Timeout > c.Interval {
		errs = append(errs, fmt.Errorf("canary.timeout is %s: must be from %s to canary.interval (%s)", c.Timeout, least, c.Interval))
	}
	return errors.Join(errs...)
}

// User returns the user id of a node's canary.
func User(node string) string { return "pushgate-canary-" + node }

// Type is the business type of the canary's messages.
const Type = "pushgate.canary"
