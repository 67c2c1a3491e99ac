package directory

import (
	"context"
	"errors"
	"strconv"
)

// Life is one run of a node, held by a lease. A node that starts again under its
// name begins a new one, and what was entered in the old one counts no more.
type Life struct {
	Node string
	// Number grows from life to life of a node. It is the time, in milliseconds, at
	// which the life began by Redis's clock, or somewhat more.
	Number uint64
	// till is when the lease ends, by Redis's clock in milliseconds. Nothing is
	// written in this life's name later than that, however late a write arrives.
	till int64
}

// String is how keys name the life: node/number.
func (l Life) String() string { return l.Node + "/" + strconv.FormatUint(l.Number, 10) }

// Why a life cannot be held, or written for.
var (
	// ErrLost: Redis knows nothing of the life, because it was emptied, or the
	// lease ended so long ago that its entries are being removed. Begin a new life,
	// and enter every session again.
	ErrLost = errors.New("the directory no longer knows this life of the node")
	// ErrSuperseded: another process has begun a newer life under the same name.
	// This one must leave.
	ErrSuperseded = errors.New("another process runs under the same node id: give each node an id of its own")
	// ErrLate: the lease had ended before the write arrived. Hold the life again.
	ErrLate = errors.New("the node's lease had ended before the entry was written")
)

// Bound is what became of a session that was to be entered.
type Bound uint8

// NotBound: nothing is known to be written. BoundNew: the entry is there, and was
// not before. BoundAgain: it was there.
const (
	NotBound Bound = iota
	BoundNew
	BoundAgain
)

// Found is what the directory knows of a user.
type Found struct {
	// Entries of lives whose lease holds; none: the user is offline.
	Entries []Entry
	// Err says that the user could not be looked up; nothing is known then, and in
	// particular not that the user is offline.
	Err error
}

// Directory is user → sessions. All methods block for a few round trips at most,
// and are safe for concurrent use.
type Directory interface {
	// Bind enters sessions, in this order of writes: first the index by which they
	// are swept, then the entries. It may be repeated. The answer has one element
	// for each session; with one that is NotBound the error says why (of the first
	// such). ErrLate is among the reasons.
	Bind(ctx context.Context, life Life, sessions []Session) ([]Bound, error)
	// Unbind removes the entries of sessions (User and Epoch are looked at); of one
	// that is not there it does nothing. The answer says for each whether it is gone.
	Unbind(ctx context.Context, life Life, sessions []Session) ([]bool, error)
	// Lookup finds users; the answer has one element for each. Leases are judged
	// when the entries have been read: who is entered by a life that holds is found.
	Lookup(ctx context.Context, users []string) []Found
}

// Lives are the leases by which entries count. The methods block for a round trip
// or two (Sweep: for a bounded number of them), and are safe for concurrent use.
type Lives interface {
	// Begin begins a life. Older lives of the same node end at once; prior is the one
	// that this process had before, zero for none: Redis may not know it any more.
	Begin(ctx context.Context, node string, prior Life) (Life, error)
	// Hold renews the lease, and returns the life with its new end. Lapsed says that
	// it had ended, as far as the life given here knows: entries may not have counted
	// for a while and do now; look whether they are all there. Errors include ErrLost and ErrSuperseded.
	Hold(ctx context.Context, life Life) (_ Life, lapsed bool, err error)
	// Release ends a life. Its entries no longer count, and are swept later: also
	// when Redis had forgotten it, or another has superseded it.
	Release(ctx context.Context, life Life) error
	// Sweep removes up to about limit entries of lives that have ended for long
	// enough. More says that some are left. One process sweeps at a time; the others
	// do nothing meanwhile.
	Sweep(ctx context.Context, limit int) (removed int, more bool, err error)
}

// Census lets a node compare what is entered in its name with what it has.
type Census interface {
	// Missing returns those of the sessions that are not entered. An entry that
	// could not be read is not among them.
	Missing(ctx context.Context, life Life, sessions []Session) ([]Session, error)
	// Indexed returns a part of what is entered in a life's name, User and Epoch
	// only, and where to go on; 0 begins, and ends.
	Indexed(ctx context.Context, life Life, cursor uint64) (_ []Session, next uint64, err error)
}
