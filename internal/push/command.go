package push

import (
	"encoding/json"
	"errors"
	"fmt"
)

// CommandKind is what an operator asks for.
type CommandKind string

// The commands.
const (
	// Release offers what waits at once, whatever it waits for.
	Release CommandKind = "release"
	// Discard dead-letters what waits, for the reason Discarded.
	Discard CommandKind = "discard"
)

// Command is what an operator asks of the custodian of a partition: a record of the
// receipt topic, in the partition of the same number, so that exactly the custodian
// reads it, in order with what gateways say. Doing one twice does no harm.
type Command struct {
	Kind CommandKind `json:"command"`
	// Operation under which it is recorded, By whom, and Why.
	Operation string        `json:"operation"`
	By        string        `json:"by"`
	Why       string        `json:"why,omitempty"`
	Waits     []CommandWait `json:"waits"`
}

// CommandWait names a wait: the user is named, too, so that a command never touches
// another message that came to stand at that offset.
type CommandWait struct {
	User   string `json:"user"`
	Origin int64  `json:"origin"` // Wait.Origin
}

// commandKey is the key of commands in the receipt topic.
const commandKey = "operator"

// CommandRecord makes the record of a command.
func CommandRecord(c Command) (Record, error) {
	value, err := json.Marshal(c)
	if err != nil {
		return Record{}, fmt.Errorf("a command cannot be written down: %w", err)
	}
	return Record{Key: []byte(commandKey), Value: value}, nil
}

// IsCommand tells the value of a command from that of a receipt, which begins with
// its version.
func IsCommand(value []byte) bool { return len(value) > 0 && value[0] == '{' }

// DecodeCommand understands a command.
func DecodeCommand(value []byte) (Command, error) {
	var c Command
	if err := json.Unmarshal(value, &c); err != nil {
		return c, fmt.Errorf("no command: %w", err)
	}
	if c.Kind != Release && c.Kind != Discard {
		return c, fmt.Errorf("no command: %q is not known", c.Kind)
	}
	if len(c.Waits) == 0 {
		return c, errors.New("no command: it names no wait")
	}
	return c, nil
}
