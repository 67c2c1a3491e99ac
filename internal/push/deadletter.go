package push

import (
	"fmt"
	"strconv"
	"time"
)

// Death says why and where a message died.
type Death struct {
	Lineage
	Reason Reason
	// Error explains the reason in words.
	Error string
	// OriginTopic, OriginPartition and OriginOffset are where the record stood
	// that the dead letter was made from.
	OriginTopic     string
	OriginPartition int32
	OriginOffset    int64
	At              time.Time
	// Node is the custodian that decided.
	Node string
}

// DeadLetterRecord makes the dead letter of src: its key, value and the
// producer's headers untouched, and the death in headers. The result shares Key
// and Value with src.
func DeadLetterRecord(src *Record, d Death) Record {
	h := src.Headers.withoutPlatform()
	d.addTo(&h)
	h.AddText(HeaderReason, d.Reason.String())
	h.AddText(HeaderError, d.Error)
	h.AddText(HeaderOriginTopic, d.OriginTopic)
	h.AddText(HeaderOriginPartition, strconv.FormatInt(int64(d.OriginPartition), 10))
	h.AddText(HeaderOriginOffset, strconv.FormatInt(d.OriginOffset, 10))
	h.addTime(HeaderDeadAt, d.At)
	h.AddText(HeaderNode, d.Node)
	return Record{Key: src.Key, Value: src.Value, Headers: h}
}

// DeadLetter is a dead letter, understood.
type DeadLetter struct {
	User, Type, ContentType string
	// Replay: this is the end of a life that an operator gave the message; zero: of
	// its first.
	Replay Replay
	Death
}

// ParseDeadLetter understands a record of the dead-letter topic. What the
// producer wrote may be invalid in any way: that is not an error here.
func ParseDeadLetter(rec *Record) (DeadLetter, error) {
	m, _ := ParseRequest(rec, "", Limits{})
	d := DeadLetter{
		User: string(rec.Key), Type: m.Type, ContentType: m.ContentType, Replay: m.Replay,
		Death: Death{
			Lineage:     m.Lineage(),
			Error:       rec.Headers.Text(HeaderError),
			OriginTopic: rec.Headers.Text(HeaderOriginTopic),
			Node:        rec.Headers.Text(HeaderNode),
		},
	}
	var err error
	if d.Reason, err = ParseReason(rec.Headers.Text(HeaderReason)); err != nil {
		return d, fmt.Errorf("dead letter at offset %d: %w", rec.Offset, err)
	}
	if d.OriginOffset, err = strconv.ParseInt(rec.Headers.Text(HeaderOriginOffset), 10, 64); err != nil {
		return d, fmt.Errorf("dead letter at offset %d: %s: %w", rec.Offset, HeaderOriginOffset, err)
	}
	partition, err := strconv.ParseInt(rec.Headers.Text(HeaderOriginPartition), 10, 32)
	if err != nil {
		return d, fmt.Errorf("dead letter at offset %d: %s: %w", rec.Offset, HeaderOriginPartition, err)
	}
	d.OriginPartition = int32(partition)
	if text := parseTime(HeaderDeadAt, []byte(rec.Headers.Text(HeaderDeadAt)), &d.At); text != "" {
		return d, fmt.Errorf("dead letter at offset %d: %s", rec.Offset, text)
	}
	return d, nil
}
