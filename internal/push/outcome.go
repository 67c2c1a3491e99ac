package push

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
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

// shownOutcome is the JSON form.
type shownOutcome struct {
	*plainOutcome
	OutcomeName string `json:"outcome"`
	ReasonName  string `json:"reason,omitempty"`
}

// plainOutcome has the fields and not the methods.
type plainOutcome OutcomeReport

// MarshalJSON implements json.Marshaler.
func (r OutcomeReport) MarshalJSON() ([]byte, error) {
	shown := shownOutcome{plainOutcome: (*plainOutcome)(&r), OutcomeName: r.Outcome.String()}
	if r.Reason != ReasonNone {
		shown.ReasonName = r.Reason.String()
	}
	b, err := json.Marshal(shown)
	if err != nil {
		return nil, fmt.Errorf("encoding an outcome: %w", err)
	}
	return b, nil
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
func OutcomeRecord(r OutcomeReport) (Record, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return Record{}, err //nolint:wrapcheck // MarshalJSON above has wrapped it
	}
	rec := Record{Key: []byte(r.User), Value: value}
	rec.Headers.AddText(HeaderMessageID, r.ID)
	rec.Headers.AddText(HeaderContentType, "application/json")
	return rec, nil
}

// ParseOutcome understands a record of the outcome topic.
func ParseOutcome(rec *Record) (OutcomeReport, error) {
	var r OutcomeReport
	if err := json.Unmarshal(rec.Value, &r); err != nil {
		return r, fmt.Errorf("outcome at offset %d: %w", rec.Offset, err)
	}
	return r, nil
}
