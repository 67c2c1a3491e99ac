package deadletter

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// State chooses letters by what was done to them.
type State uint8

// The states to choose by. The zero value chooses what nobody has handled.
const (
	Open State = iota
	Replayed
	Discarded
	All
)

// ParseState understands the name of a state; empty is Open.
func ParseState(name string) (State, error) {
	switch name {
	case "", "open":
		return Open, nil
	case "replayed":
		return Replayed, nil
	case "discarded":
		return Discarded, nil
	case "all":
		return All, nil
	default:
		return Open, &FilterError{fmt.Sprintf("state %q: use open, replayed, discarded or all", name)}
	}
}

func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case Replayed:
		return "replayed"
	case Discarded:
		return "discarded"
	case All:
		return "all"
	default:
		return fmt.Sprintf("state(%d)", s)
	}
}

func (s State) takes(h operations.Handling) bool {
	switch s {
	case Open:
		return h == operations.Open
	case Replayed:
		return h == operations.Replayed
	case Discarded:
		return h == operations.Discarded
	case All:
		return true
	default:
		return false
	}
}

// Filter chooses letters; its zero value chooses all that nobody has handled.
type Filter struct {
	User, Type, ID string
	Reason         push.Reason // ReasonNone: any
	NotReason      push.Reason // ReasonNone: none is left out
	// Since and Until bound the time of death, Until is left out itself. What is
	// outside is not read.
	Since, Until time.Time
	// Text stands in the payload, byte for byte.
	Text  string
	State State
	// Again chooses by whether a letter is the end of a replay for the same reason
	// as before; nil: either.
	Again *bool
	// Everywhere: with a user given, letters are looked for in all partitions. Else
	// only the user's home is read: what died elsewhere was written there by a
	// producer that partitions in another way and was invalid, or is older than
	// partitions that were added.
	Everywhere bool
}

// FilterError says that what was asked for makes no sense.
type FilterError struct{ Text string }

func (e *FilterError) Error() string { return e.Text }

// Validate returns a *FilterError where nothing could match.
func (f *Filter) Validate() error {
	if f.User != "" {
		if err := push.CheckUser(f.User); err != nil {
			return &FilterError{err.Error()}
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return &FilterError{fmt.Sprintf("since %s is not before until %s", f.Since.UTC().Format(time.RFC3339), f.Until.UTC().Format(time.RFC3339))}
	}
	if f.Reason != push.ReasonNone && f.Reason == f.NotReason {
		return &FilterError{fmt.Sprintf("reason %s is both asked for and left out", f.Reason)}
	}
	return nil
}

// Words returns the filter as an operator gives it, for the record.
func (f *Filter) Words() map[string]string {
	words := make(map[string]string)
	add := func(name, value string) {
		if value != "" {
			words[name] = value
		}
	}
	add("user", f.User)
	add("type", f.Type)
	add("id", f.ID)
	add("text", f.Text)
	if f.Reason != push.ReasonNone {
		add("reason", f.Reason.String())
	}
	if f.NotReason != push.ReasonNone {
		add("not_reason", f.NotReason.String())
	}
	if !f.Since.IsZero() {
		add("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		add("until", f.Until.UTC().Format(time.RFC3339Nano))
	}
	if f.State != Open {
		add("state", f.State.String())
	}
	if f.Again != nil {
		add("again", strconv.FormatBool(*f.Again))
	}
	if f.Everywhere {
		add("everywhere", "true")
	}
	return words
}

// homeOnly says whether only the home of a user is read.
func (f *Filter) homeOnly() bool { return f.User != "" && !f.Everywhere }

// may looks at a record without understanding it: false where it cannot match. Most
// of what a search reads ends here.
func (f *Filter) may(rec *push.Record) bool {
	if f.User != "" && string(rec.Key) != f.User {
		return false
	}
	if f.Text != "" && !bytes.Contains(rec.Value, []byte(f.Text)) {
		return false
	}
	if f.Reason == push.ReasonNone && f.NotReason == push.ReasonNone && f.ID == "" {
		return true
	}
	var reason, id []byte
	for key, value := range rec.Headers.All() {
		switch string(key) {
		case push.HeaderReason:
			reason = value
		case push.HeaderMessageID:
			id = value
		}
	}
	return (f.Reason == push.ReasonNone || string(reason) == f.Reason.String()) &&
		(f.NotReason == push.ReasonNone || string(reason) != f.NotReason.String()) &&
		(f.ID == "" || string(id) == f.ID)
}

// takes decides about what was understood, all but what was done to it.
func (f *Filter) takes(d *push.DeadLetter) bool {
	return (f.User == "" || d.User == f.User) &&
		(f.Type == "" || d.Type == f.Type) &&
		(f.ID == "" || d.ID == f.ID) &&
		(f.Reason == push.ReasonNone || d.Reason == f.Reason) &&
		(f.NotReason == push.ReasonNone || d.Reason != f.NotReason) &&
		(f.Since.IsZero() || !d.At.Before(f.Since)) &&
		(f.Until.IsZero() || d.At.Before(f.Until)) &&
		(f.Again == nil || *f.Again == d.Replay.Again(d.Reason))
}
