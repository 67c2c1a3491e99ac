package deadletter

import (
	"errors"
	"fmt"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// Reader reads one partition in order: see package operations.
type Reader = operations.Reader

// Log is where dead letters are, where requests go and what operators did is kept.
type Log = operations.Records

// Topics names what is read and written.
type Topics struct{ DeadLetter, Requests string }

// Params of a Store.
type Params struct {
	Log    Log
	Topics Topics
	// Operations knows which letters are handled, and takes what is done to them. Nil:
	// none is, and nothing can be done.
	Operations *operations.Log
	// Limits of a request, to see beforehand which letters would die again.
	Limits push.Limits
}

// Store is the topic of dead letters. Safe for concurrent use.
type Store struct {
	log        Log
	topics     Topics
	operations *operations.Log
	limits     push.Limits
}

// New returns the store of a topic.
func New(p Params) *Store {
	return &Store{log: p.Log, topics: p.Topics, operations: p.Operations, limits: p.Limits}
}

// ErrNotFound says that no letter stands where one was looked for, or not any more.
var ErrNotFound = errors.New("no such dead letter")

// MalformedError says that a record of the topic is no dead letter.
type MalformedError struct {
	Place
	Err error
}

func (e *MalformedError) Error() string { return fmt.Sprintf("partition %d: %s", e.Partition, e.Err) }

func (e *MalformedError) Unwrap() error { return e.Err }
