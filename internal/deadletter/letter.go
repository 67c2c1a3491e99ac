package deadletter

import (
	"time"

	"pushgate/internal/operations"
	"pushgate/internal/push"
)

// Place is where a letter stands in the topic of dead letters.
type Place struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Letter is a dead letter and where it stands.
type Letter struct {
	Place
	// Written is when the broker took it; At is when the message died.
	Written time.Time
	push.DeadLetter
	// State is what was done to it. Again: it is the end of a replay, for the reason
	// the life before ended for.
	State operations.Handling
	Again bool
	// Operation that handled it last; of Get alone.
	Operation string
	// Size of the payload in bytes. Data is the payload, in pages its first
	// PreviewBytes; Headers what the producer and the platform wrote, in pages nil.
	Size    int
	Data    []byte
	Headers []push.Header

	rec push.Record
}

// PreviewBytes is what a page has of a payload.
const PreviewBytes = 512
