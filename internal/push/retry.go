package push

import (
	"fmt"
	"strconv"
	"time"
)

// Kinds of retry record.
const (
	kindWait = "wait"
	kindEnd  = "end"
)

// Wait says why and until when a message waits. Its identity is Origin: the
// offset, in the request partition of the same number, of the offering that
// came to nothing. An offering waits at most once, so a wait that was written
// twice (a produce that timed out but had been written) is still one wait.
type Wait struct {
	Lineage
	Origin int64
	Reason Reason
	Due    time.Time
}

// WaitRecord makes the retry record of a wait: the message whole, and why it
// waits. The result shares Key and Value with src.
func WaitRecord(src *Record, w Wait) Record {
	h := src.Headers.withoutPlatform()
	w.addTo(&h)
	h.AddText(HeaderKind, kindWait)
	h.AddText(HeaderWait, strconv.FormatInt(w.Origin, 10))
	h.AddText(HeaderReason, w.Reason.String())
	h.addTime(HeaderDue, w.Due)
	return Record{Key: src.Key, Value: src.Value, Headers: h}
}

// EndRecord makes the retry record that ends the wait with that origin.
func EndRecord(user string, origin int64) Record {
	var h Headers
	h.AddText(HeaderKind, kindEnd)
	h.AddText(HeaderWait, strconv.FormatInt(origin, 10))
	return Record{Key: []byte(user), Headers: h}
}

// RetryEntry is a retry record, understood.
type RetryEntry struct {
	// Ends: the record ends the wait with this Origin; only User and Origin are
	// set then.
	Ends bool
	User string
	Type string
	Wait
}

// ParseRetry understands a record of the retry topic.
func ParseRetry(rec *Record) (RetryEntry, error) {
	// Limits were judged when the message was a request.
	m, err := ParseRequest(rec, "", Limits{})
	if err != nil {
		return RetryEntry{}, fmt.Errorf("retry record at offset %d: %w", rec.Offset, err)
	}
	e := RetryEntry{User: m.User, Type: m.Type, Wait: Wait{Lineage: m.Lineage(), Origin: m.EndsWait}}
	if e.Origin < 0 {
		return e, fmt.Errorf("retry record at offset %d has no %s header", rec.Offset, HeaderWait)
	}
	switch kind := rec.Headers.Text(HeaderKind); kind {
	case kindEnd:
		e.Ends = true
		return e, nil
	case kindWait:
	default:
		return e, fmt.Errorf("retry record at offset %d is of unknown kind %q", rec.Offset, kind)
	}
	if e.Reason, err = ParseReason(rec.Headers.Text(HeaderReason)); err != nil {
		return e, fmt.Errorf("retry record at offset %d: %w", rec.Offset, err)
	}
	if text := parseTime(HeaderDue, []byte(rec.Headers.Text(HeaderDue)), &e.Due); text != "" {
		return e, fmt.Errorf("retry record at offset %d: %s", rec.Offset, text)
	}
	return e, nil
}
