package push

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"pushgate/internal/jsontext"
)

// OutcomeReport says what became of one message: a record of the outcome topic,
// for whoever wants to know. Its value is JSON.
type OutcomeReport struct {
	ID   string `json:"id"`
	User string `json:"user"`
	Type string `json:"type"`
	// Outcome is delivered, expired or dead_lettered; Reason says why it is not
	// delivered.
	Outcome Outcome `json:"-"`
	Reason  Reason  `json:"-"`
	// Node is the gateway that delivered it, or the custodian that decided.
	Node string `json:"node"`
	// Attempts counts offerings, Failures the attempts that failed.
	Attempts int `json:"attempts"`
	Failures int `json:"failures"`
	// Accepted is when the message was first written to Kafka; FirstWritten when
	// the custodian first heard that this offering was on a socket (zero: never);
	// Settled when the outcome was decided.
	Accepted     time.Time `json:"accepted"`
	FirstWritten time.Time `json:"first_written,omitzero"`
	Settled      time.Time `json:"settled"`
	// Partition and Offset of the offering that had the outcome.
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
	// MayRepeat: a custodian took over while this was decided, and its
	// predecessor may have reported the same message already.
	MayRepeat bool `json:"may_repeat,omitempty"`
}

// shownOutcome is the JSON form, to be read.
type shownOutcome struct {
	*plainOutcome
	OutcomeName string `json:"outcome"`
	ReasonName  string `json:"reason,omitempty"`
}

// plainOutcome has the fields and not the methods.
type plainOutcome OutcomeReport

// MarshalJSON implements json.Marshaler.
func (r OutcomeReport) MarshalJSON() ([]byte, error) { return r.appendJSON(nil), nil }

// appendJSON appends the JSON form. There is one of these for every message, where
// outcomes are wanted: encoding/json took a quarter of the platform's time for it.
func (r *OutcomeReport) appendJSON(b []byte) []byte {
	text := func(name, value string) {
		b = append(b, name...)
		b = jsontext.AppendString(b, value)
	}
	number := func(name string, value int64) {
		b = append(b, name...)
		b = strconv.AppendInt(b, value, 10)
	}
	at := func(name string, t time.Time) {
		b = append(b, name...)
		b = jsontext.AppendTime(b, t)
	}
	text(`{"id":`, r.ID)
	text(`,"user":`, r.User)
	text(`,"type":`, r.Type)
	text(`,"outcome":`, r.Outcome.String())
	if r.Reason != ReasonNone {
		text(`,"reason":`, r.Reason.String())
	}
	text(`,"node":`, r.Node)
	number(`,"attempts":`, int64(r.Attempts))
	number(`,"failures":`, int64(r.Failures))
	at(`,"accepted":`, r.Accepted)
	if !r.FirstWritten.IsZero() {
		at(`,"first_written":`, r.FirstWritten)
	}
	at(`,"settled":`, r.Settled)
	number(`,"partition":`, int64(r.Partition))
	number(`,"offset":`, r.Offset)
	if r.MayRepeat {
		b = append(b, `,"may_repeat":true`...)
	}
	return append(b, '}')
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *OutcomeReport) UnmarshalJSON(b []byte) error {
	shown := shownOutcome{plainOutcome: (*plainOutcome)(r)}
	if err := json.Unmarshal(b, &shown); err != nil {
		return fmt.Errorf("decoding an outcome: %w", err)
	}
	at := slices.Index(outcomeNames[:], shown.OutcomeName)
	if at <= 0 {
		return fmt.Errorf("decoding an outcome: there is no outcome %q", shown.OutcomeName)
	}
	r.Outcome, r.Reason = Outcome(at), ReasonNone //nolint:gosec // an index of a short table
	if shown.ReasonName == "" {
		return nil
	}
	var err error
	r.Reason, err = ParseReason(shown.ReasonName)
	return err
}

// OutcomeRecord makes the record of a report, keyed by user.
func OutcomeRecord(r *OutcomeReport) Record {
	const size = 320 // of most
	rec := Record{Key: []byte(r.User), Value: r.appendJSON(make([]byte, 0, size))}
	rec.Headers.AddText(HeaderMessageID, r.ID)
	rec.Headers.AddText(HeaderContentType, "application/json")
	return rec
}

// ParseOutcome understands a record of the outcome topic.
func ParseOutcome(rec *Record) (OutcomeReport, error) {
	var r OutcomeReport
	if err := json.Unmarshal(rec.Value, &r); err != nil {
		return r, fmt.Errorf("outcome at offset %d: %w", rec.Offset, err)
	}
	return r, nil
}
