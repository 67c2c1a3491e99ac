package delivery

import (
	"errors"
	"fmt"
	"time"
)

// Config of delivery.
type Config struct {
	ReceiptInterval   time.Duration `mapstructure:"receipt_interval" doc:"How long what there is to report is gathered before a receipt is written; with delivery.order strict at most 5ms."`
	HeartbeatInterval time.Duration `mapstructure:"heartbeat_interval" doc:"A receipt is written at least this often, to show that the gateway is alive. Keep it below a third of custody.window."`
	CommitInterval    time.Duration `mapstructure:"commit_interval" doc:"How often the reading position is committed when it has moved."`
	MaxUnsettled      int           `mapstructure:"max_unsettled" doc:"Requests of one partition that may be under way to sessions at once; above it reading slows down. Where the topic has fewer than eight partitions, they share what eight may have, if there are that many users: eight for each of them."`
	MaxCatchUp        int64         `mapstructure:"max_catch_up" doc:"A gateway that starts further behind than this many requests of a partition starts at its end: nobody was connected to it meanwhile, and what was not delivered waits."`
	RepeatWindow      int           `mapstructure:"repeat_window" doc:"Messages delivered last to a user that a gateway remembers, so as not to write one again that is offered again. 0 turns this off."`
	Order             string        `mapstructure:"order" doc:"relaxed: a message that was offered again may come after newer ones. strict: of one user and business type, later messages queue behind it; each message then takes a second record in the request topic and its user's messages go one at a time. Must be the same on all nodes."`
}

// The orders in which a user gets messages.
const (
	// Relaxed: a message that needs no second offering comes in order; one that was
	// offered again may come after newer ones.
	Relaxed = "relaxed"
	// Strict: of one user and type, later messages queue behind one that waits or is
	// offered again.
	Strict = "strict"
)

// maxRepeatWindow bounds what is searched for each message delivered.
const maxRepeatWindow = 1024

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config {
	return Config{
		ReceiptInterval:   20 * time.Millisecond,
		HeartbeatInterval: time.Second,
		CommitInterval:    time.Second,
		MaxUnsettled:      10_000,
		MaxCatchUp:        100_000,
		RepeatWindow:      64,
		Order:             Relaxed,
	}
}

// receiptInterval is shorter where the next message of a user waits for the receipt
// of the one before.
func (c Config) receiptInterval() time.Duration {
	const atMost = 5 * time.Millisecond
	if c.Order == Strict {
		return min(c.ReceiptInterval, atMost)
	}
	return c.ReceiptInterval
}

// maxUnsettled is how many requests of a partition may be under way, where there are so
// many partitions, and users here. The frames of a user that are under way together go
// out in one call to the kernel, so that a gateway which has fallen behind is the cheaper
// the more there is: as cheap with one partition as with eight, if it may have as much.
// More than some for each user brings nothing, and a session has limits of its own.
func (c Config) maxUnsettled(partitions int32, users int) int {
	const (
		full    = 8      // partitions that may have as much as they may each
		forUser = 8      // messages
		most    = 80_000 // for the sake of few partitions
	)
	shared := min(full*c.MaxUnsettled, forUser*users, most)
	return max(c.MaxUnsettled, shared/max(int(partitions), 1))
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	if c.ReceiptInterval < time.Millisecond || c.ReceiptInterval > time.Second {
		errs = append(errs, fmt.Errorf("delivery.receipt_interval is %s: must be from 1ms to 1s", c.ReceiptInterval))
	}
	if c.HeartbeatInterval < 10*time.Millisecond {
		errs = append(errs, fmt.Errorf("delivery.heartbeat_interval is %s: must be at least 10ms", c.HeartbeatInterval))
	}
	if c.CommitInterval < 10*time.Millisecond {
		errs = append(errs, fmt.Errorf("delivery.commit_interval is %s: must be at least 10ms", c.CommitInterval))
	}
	if c.MaxUnsettled < 1 {
		errs = append(errs, fmt.Errorf("delivery.max_unsettled is %d: must be at least 1", c.MaxUnsettled))
	}
	if c.MaxCatchUp < 0 {
		errs = append(errs, fmt.Errorf("delivery.max_catch_up is %d: must not be negative", c.MaxCatchUp))
	}
	if c.RepeatWindow < 0 || c.RepeatWindow > maxRepeatWindow {
		errs = append(errs, fmt.Errorf("delivery.repeat_window is %d: must be from 0 (off) to %d", c.RepeatWindow, maxRepeatWindow))
	}
	if c.Order != Relaxed && c.Order != Strict {
		errs = append(errs, fmt.Errorf("delivery.order is %q: must be %s or %s", c.Order, Relaxed, Strict))
	}
	return errors.Join(errs...)
}
