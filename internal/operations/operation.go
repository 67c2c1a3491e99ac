package operations

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"pushgate/internal/push"
)

// Kind is what an operator asked for. It is a closed set.
type Kind string

// The kinds. Replay and Discard handle dead letters, Release and DiscardWaiting what
// waits, PruneGroups the consumer groups of nodes that are gone.
const (
	Replay         Kind = "replay"
	Discard        Kind = "discard"
	Release        Kind = "release"
	DiscardWaiting Kind = "discard_waiting"
	PruneGroups    Kind = "prune_groups"
)

// letters says whether operations of the kind handle dead letters: of these, only
// one at a time runs over a partition.
func (k Kind) letters() bool { return k == Replay || k == Discard }

// State is how far an operation is.
type State string

// The states. Cancelled: an operator ended it. Interrupted: its process ended, in order
// or not - it says that it runs, then, and has been silent for longer than Silence.
const (
	Running     State = "running"
	Done        State = "done"
	Failed      State = "failed"
	Cancelled   State = "cancelled"
	Interrupted State = "interrupted"
)

// Silence is how long an operation that runs may say nothing until it is taken for
// dead, and others may begin.
const Silence = 15 * time.Second

// Operation is what an operator did, or does.
type Operation struct {
	// ID is unique and sorts by time (push.NewID).
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	// By is who: user@host of a command line, or the name given over the admin API.
	By string `json:"by"`
	// Filter is what was chosen, as the operator gave it; Options how.
	Filter  map[string]string `json:"filter"`
	Options map[string]string `json:"options,omitempty"`
	Why     string            `json:"why,omitempty"`
	State   State             `json:"state"`
	Began   time.Time         `json:"began"`
	Updated time.Time         `json:"updated"`
	Ended   time.Time         `json:"ended,omitzero"`
	// Matched = Done + Skipped + Failed, as far as the operation has come. Skipped
	// were left out, by SkippedFor.
	Matched    int            `json:"matched"`
	Done       int            `json:"done"`
	Skipped    int            `json:"skipped"`
	Failed     int            `json:"failed"`
	SkippedFor map[string]int `json:"skipped_for,omitempty"`
	Error      string         `json:"error,omitempty"`
	// Scanned says how many of the Of offsets that are to be looked at have been.
	Scanned int64 `json:"scanned,omitempty"`
	Of      int64 `json:"of,omitempty"`
	// Partitions the operation works on: another over one of them is refused while
	// it runs.
	Partitions []int32 `json:"partitions,omitempty"`
}

// alive says whether the operation runs, by its last word.
func (o *Operation) alive(now time.Time) bool {
	return o.State == Running && now.Sub(o.Updated) < Silence
}

// overlaps says whether two operations work on the same partition.
func (o *Operation) overlaps(other *Operation) bool {
	if !o.Kind.letters() || !other.Kind.letters() {
		return false
	}
	for _, a := range o.Partitions {
		if slices.Contains(other.Partitions, a) {
			return true
		}
	}
	return false
}

// Kinds of record.
const (
	kindOperation = "operation"
	kindHandled   = "handled"
	kindCancel    = "cancel"
)

func (o *Operation) record() (push.Record, error) {
	value, err := json.Marshal(o)
	if err != nil {
		return push.Record{}, fmt.Errorf("writing operation %s: %w", o.ID, err)
	}
	return recordOf(kindOperation, o.ID, value), nil
}

func recordOf(kind, id string, value []byte) push.Record {
	var h push.Headers
	h.AddText(push.HeaderKind, kind)
	return push.Record{Key: []byte(id), Value: value, Headers: h}
}

// parseOperation understands a record; false where it is none of an operation. The
// broker's time stands in for the writer's: what is silent is judged by one clock.
func parseOperation(rec *push.Record) (Operation, bool) {
	var o Operation
	if rec.Headers.Text(push.HeaderKind) != kindOperation || json.Unmarshal(rec.Value, &o) != nil || o.ID == "" {
		return o, false
	}
	if !rec.Time.IsZero() {
		o.Updated = rec.Time
	}
	return o, true
}
