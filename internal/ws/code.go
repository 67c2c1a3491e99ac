package ws

import (
	"errors"
	"fmt"
)

// Code is the status code of a close frame.
type Code uint16

// Codes this package itself sends or reports; RFC 6455, section 7.4.1. Others
// belong to whoever closes.
const (
	CodeNormal          Code = 1000
	CodeProtocolError   Code = 1002
	CodeNone            Code = 1005 // no code in the frame; never on the wire
	CodeAbnormal        Code = 1006 // no close frame at all; never on the wire
	CodeInvalidPayload  Code = 1007
	CodeMessageTooLarge Code = 1009
)

// valid says whether a peer may send the code: those of the RFC and its registry
// (1012 to 1014 came later), and those left to libraries and applications.
func (c Code) valid() bool {
	switch {
	case c >= 1000 && c <= 1003, c >= 1007 && c <= 1014, c >= 3000 && c <= 4999:
		return true
	default:
		return false
	}
}

// ProtocolError says which rule of RFC 6455 the peer broke, or which limit it
// passed. Code is what the close frame tells it.
type ProtocolError struct {
	Code Code
	Text string
}

func (e *ProtocolError) Error() string { return fmt.Sprintf("%s (close code %d)", e.Text, e.Code) }

var (
	// ErrClosed completes a write that was not sent because the connection
	// ended, and refuses one handed in after that.
	ErrClosed = errors.New("the connection is closed")
	// ErrSlow says that the peer takes less than it is sent: the limit on
	// buffered bytes is reached, or a write made no progress in time.
	ErrSlow = errors.New("the peer reads too slowly")
	// ErrDead says that a peer sent nothing, not even the answer to a ping.
	ErrDead = errors.New("the peer no longer answers")
)
