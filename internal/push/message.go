package push

import "time"

// AllTypes is the business type a connection names to take every type.
const AllTypes = "all"

// DefaultType is the business type of a request that names none.
const DefaultType = "default"

// Limits on what identifies a message. They keep index entries small and let a
// user id stand in a URL path.
const (
	MaxUserBytes = 256
	MaxTypeBytes = 128
	MaxIDBytes   = 256
)

// Message is a request, understood.
type Message struct {
	// Partition and Offset say where this offering of the message stands in the
	// request topic.
	Partition int32
	// MayRepeat: see HeaderMayRepeat.
	MayRepeat bool
	// JSON says that the content type is a JSON one; Data is then valid JSON.
	JSON bool
	// offered: a custodian wrote the record.
	offered bool
	Offset  int64

	ID          string
	User        string
	Type        string
	Source      string
	ContentType string
	// TraceParent is the W3C trace context the producer sent, or empty.
	TraceParent string

	// Time is when the event happened by the producer's word, else when the
	// message was first written.
	Time time.Time
	// FirstSeen is when the message was first written to the request topic.
	FirstSeen time.Time
	// Expires ends the message's time to live.
	Expires time.Time

	// Attempt counts the offerings of the message to gateways, this one
	// included: 1 for what a producer wrote.
	Attempt int
	// Failures counts the attempts that failed before this offering. Only these
	// exhaust a message; an offering for a user who was away is not a failure.
	Failures int
	// Order: see Lineage.
	Order int64
	// Replay says that an operator gave the message another life; zero: none did.
	Replay Replay
	// EndsWait is the origin of the wait this offering came from, NoWait if none.
	EndsWait int64

	// Data is the payload. It aliases the record it was parsed from.
	Data []byte
}

// Raw says whether the record is as its producer wrote it, or was only moved home
// since: no custodian has offered it to gateways. Where the order of messages is
// strict, gateways pass over it.
func (m *Message) Raw() bool { return !m.offered || m.Attempt == 0 }

// Status is how far a delivery at one gateway came.
type Status uint8

// Held: written to a connection that acknowledges; its word is awaited.
// Done: delivered. Failed: every session of the user has failed it.
const (
	Held Status = iota + 1
	Done
	Failed
)

func (s Status) String() string {
	switch s {
	case Held:
		return "held"
	case Done:
		return "delivered"
	case Failed:
		return "failed"
	default:
		return "unknown"
	}
}

// Reporter is told how the delivery of one message goes on. For each message:
// Held at most once, then Done or Failed exactly once. After Failed a late Done
// may still follow, when a client acknowledges after all; reason is set for
// Failed only. Report must not block, and is called from any goroutine.
type Reporter interface {
	Report(m *Message, s Status, reason Reason)
}

// Recipient is the sessions that a user has at a node. It is looked up once for each
// message, before more than its key is looked at, and is good for that moment: a session
// that has ended since fails what it is given, one that was opened since is not among
// them.
type Recipient interface {
	// Deliver hands m to those of the sessions that take its type, and reports to r by
	// the contract of Reporter. False: none takes it, r is not called. It never blocks;
	// calls for one user reach each session in order. m is kept until its end, m.Data is
	// not looked at after Deliver returns.
	Deliver(m *Message, r Reporter) bool
}

// Binding is one session as the custodian needs to know it: a user who connected
// for a business type (AllTypes for every one).
type Binding struct {
	User, Type string
	// Saw, in a receipt: how many of the offsets below its read-through were read
	// when the session was there already. The earlier ones it has not seen.
	Saw int64
}

// Takes says whether a session bound to the type named session takes messages of
// the type named message.
func Takes(session, message string) bool { return session == AllTypes || session == message }
