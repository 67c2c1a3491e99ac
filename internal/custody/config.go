package custody

import (
	"errors"
	"fmt"
	"time"
)

// Config of a custodian. Keys are given as in the configuration file.
type Config struct {
	Group            string        `mapstructure:"group" doc:"Consumer group all custodians of this deployment share. Two deployments on one Kafka cluster need two."`
	Window           time.Duration `mapstructure:"window" doc:"How long a gateway may be silent, or read nothing while there is something to read, before judgement goes on without it."`
	OfflineRecheck   time.Duration `mapstructure:"offline_recheck" doc:"A message waiting for an absent user is offered again this often even when nobody connects, as a safety net."`
	MaxInFlight      int           `mapstructure:"max_in_flight" doc:"Requests of one partition under judgement at once; above it reading slows down."`
	CommitInterval   time.Duration `mapstructure:"commit_interval" doc:"How often a custodian commits how far it has settled."`
	ReceiptsLookback time.Duration `mapstructure:"receipts_lookback" doc:"How far back a new custodian reads receipts at least, to know which gateways are alive. Covers the clock difference between node and broker."`
}

// RetryConfig says how a failed message is tried again.
type RetryConfig struct {
	MaxAttempts int           `mapstructure:"max_attempts" doc:"Failed attempts after which a message is dead-lettered as exhausted. Being offline uses up none."`
	Backoff     BackoffConfig `mapstructure:"backoff"`
}

// BackoffConfig is the exponential backoff between attempts.
type BackoffConfig struct {
	Initial time.Duration `mapstructure:"initial" doc:"Wait after the first failed attempt; doubles with each further one."`
	Max     time.Duration `mapstructure:"max" doc:"Longest wait between two attempts."`
	Jitter  float64       `mapstructure:"jitter" doc:"Part of each wait that is spread at random, 0 to 1."`
}

// WaitingConfig bounds what waits.
type WaitingConfig struct {
	MaxPerUser    int `mapstructure:"max_per_user" doc:"Waiting messages one user may have; what comes on top is dead-lettered as overflow."`
	OfferMessages int `mapstructure:"offer_messages" doc:"Waiting messages of one user that are offered again at a time; the next ones follow as these are delivered."`
	OfferBytes    int `mapstructure:"offer_bytes" doc:"Bytes of waiting messages of one user that are offered again at a time. Keep it below session.max_buffered_bytes."`
}

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config {
	return Config{
		Group:            "pushgate.custodians",
		Window:           3 * time.Second,
		OfflineRecheck:   15 * time.Minute,
		MaxInFlight:      50_000,
		CommitInterval:   time.Second,
		ReceiptsLookback: 15 * time.Second,
	}
}

// DefaultRetryConfig returns the defaults of RetryConfig.
func DefaultRetryConfig() RetryConfig {
	return RetryConfig{
		MaxAttempts: 8,
		Backoff:     BackoffConfig{Initial: time.Second, Max: 10 * time.Minute, Jitter: 0.2},
	}
}

// DefaultWaitingConfig returns the defaults of WaitingConfig.
func DefaultWaitingConfig() WaitingConfig {
	return WaitingConfig{MaxPerUser: 1000, OfferMessages: 128, OfferBytes: 128 << 10}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.Group == "" {
		errs = append(errs, errors.New("custody.group is empty: give the custodians' consumer group a name"))
	}
	if c.Window < 500*time.Millisecond {
		errs = append(errs, fmt.Errorf("custody.window is %s: must be at least 500ms, or living gateways are taken for dead", c.Window))
	}
	// The recheck is what writes a wait anew, so that it does not grow old in its log.
	if c.OfflineRecheck < time.Second || c.OfflineRecheck > 24*time.Hour {
		errs = append(errs, fmt.Errorf("custody.offline_recheck is %s: must be from 1s to 24h", c.OfflineRecheck))
	}
	if c.MaxInFlight < 1 {
		errs = append(errs, fmt.Errorf("custody.max_in_flight is %d: must be at least 1", c.MaxInFlight))
	}
	if c.CommitInterval < 10*time.Millisecond {
		errs = append(errs, fmt.Errorf("custody.commit_interval is %s: must be at least 10ms", c.CommitInterval))
	}
	if c.ReceiptsLookback < c.Window {
		errs = append(errs, fmt.Errorf("custody.receipts_lookback is %s: must be at least custody.window (%s)", c.ReceiptsLookback, c.Window))
	}
	return errors.Join(errs...)
}

// Validate reports every value that cannot work.
func (c RetryConfig) Validate() error {
	var errs []error
	if c.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf("retry.max_attempts is %d: must be at least 1", c.MaxAttempts))
	}
	if c.Backoff.Initial < time.Millisecond {
		errs = append(errs, fmt.Errorf("retry.backoff.initial is %s: must be at least 1ms", c.Backoff.Initial))
	}
	if c.Backoff.Max < c.Backoff.Initial {
		errs = append(errs, fmt.Errorf("retry.backoff.max is %s: must be at least retry.backoff.initial (%s)", c.Backoff.Max, c.Backoff.Initial))
	}
	if c.Backoff.Jitter < 0 || c.Backoff.Jitter > 1 {
		errs = append(errs, fmt.Errorf("retry.backoff.jitter is %g: must be from 0 to 1", c.Backoff.Jitter))
	}
	return errors.Join(errs...)
}

// Validate reports every value that cannot work.
func (c WaitingConfig) Validate() error {
	var errs []error
	if c.MaxPerUser < 1 {
		errs = append(errs, fmt.Errorf("waiting.max_per_user is %d: must be at least 1", c.MaxPerUser))
	}
	if c.OfferMessages < 1 {
		errs = append(errs, fmt.Errorf("waiting.offer_messages is %d: must be at least 1", c.OfferMessages))
	}
	if c.OfferBytes < 1 {
		errs = append(errs, fmt.Errorf("waiting.offer_bytes is %d: must be at least 1", c.OfferBytes))
	}
	return errors.Join(errs...)
}

// wait returns how long a message waits after its n-th failure (n from 1).
// The spread is derived from seed, so that the machine stays deterministic.
func (c BackoffConfig) wait(n int, seed uint64) time.Duration {
	d := c.Initial
	for i := 1; i < n && d < c.Max; i++ {
		d *= 2
	}
	d = min(d, c.Max)
	return spread(d, c.Jitter, seed)
}

// spread moves d by up to ±jitter/2 of itself.
func spread(d time.Duration, jitter float64, seed uint64) time.Duration {
	const mantissa = 1 << 53
	unit := float64(mix(seed)>>11) / mantissa
	return time.Duration(float64(d) * (1 + jitter*(unit-0.5)))
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable
// Pseudorandom Number Generators, OOPSLA 2014): every bit of the result depends
// on every bit of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
