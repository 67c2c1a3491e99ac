package push

import "fmt"

// Outcome is the one end every message comes to.
type Outcome uint8

// The outcomes. The zero value means: none yet.
const (
	OutcomeNone Outcome = iota
	Delivered
	Expired
	DeadLettered
)

var outcomeNames = [...]string{"", "delivered", "expired", "dead_lettered"}

func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome(%d)", o)
}

// Reason says why a message failed, waits or died. It is a closed set: it labels
// metrics and stands in headers. The numbers stand in receipts: never renumber.
type Reason uint8

// Reasons for which a message dies, then failures after which it waits.
const (
	ReasonNone Reason = iota
	Invalid
	TooLarge
	TimeToLive // "expired"
	Exhausted
	Overflow
	Discarded

	WriteError
	SlowConsumer
	AckTimeout
	Unreachable
	Offline
)

var reasonNames = [...]string{
	"", "invalid", "too_large", "expired", "exhausted", "overflow", "discarded",
	"write_error", "slow_consumer", "ack_timeout", "unreachable", "offline",
}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", r)
}

// ParseReason is the inverse of String; it errors on a name not in the set.
func ParseReason(s string) (Reason, error) {
	for i, name := range reasonNames {
		if i > 0 && name == s {
			return Reason(i), nil
		}
	}
	return ReasonNone, fmt.Errorf("unknown reason %q", s)
}

// Failures lists the reasons a gateway may report.
func Failures() []Reason {
	return []Reason{WriteError, SlowConsumer, AckTimeout, Unreachable, Offline}
}

// Deaths lists the reasons for which a message is dead-lettered.
func Deaths() []Reason {
	return []Reason{Invalid, TooLarge, TimeToLive, Exhausted, Overflow, Discarded}
}

// UsesAttempt says whether a failure counts against the attempts a message has.
// Being away is not the message's fault: its time to live bounds that instead. Nor is
// a node that cannot be called (Unreachable): it fails the attempt, after which the
// message waits for a backoff, and is not counted either.
func (r Reason) UsesAttempt() bool { return r != Offline && r != ReasonNone }
