package waiting

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// shownWait is a wait in JSON.
type shownWait struct {
	User      string        `json:"user"`
	ID        string        `json:"id"`
	Type      string        `json:"type"`
	Reason    string        `json:"reason"`
	Partition int32         `json:"partition"`
	Origin    int64         `json:"origin"`
	Attempt   int           `json:"attempt"`
	Failures  int           `json:"failures"`
	FirstSeen time.Time     `json:"first_seen"`
	Since     time.Time     `json:"since"`
	Due       time.Time     `json:"due"`
	Expires   time.Time     `json:"expires"`
	Size      int           `json:"size"`
	Headers   []shownHeader `json:"headers,omitempty"`
	// One of these, where the payload was read.
	Data   json.RawMessage `json:"data,omitempty"`
	Text   string          `json:"text,omitempty"`
	Base64 []byte          `json:"data_base64,omitempty"`
}

type shownHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// MarshalJSON implements json.Marshaler.
func (w Wait) MarshalJSON() ([]byte, error) {
	s := shownWait{
		User: w.User, ID: w.ID, Type: w.Type, Reason: w.Reason.String(), Partition: w.Partition, Origin: w.Origin,
		Attempt: w.Attempt, Failures: w.Failures, FirstSeen: w.FirstSeen, Since: w.Since, Due: w.Due, Expires: w.Expires, Size: w.Size,
	}
	for _, h := range w.Headers {
		s.Headers = append(s.Headers, shownHeader{h.Key, string(h.Value)})
	}
	switch {
	case len(w.Data) == 0:
	case json.Valid(w.Data):
		s.Data = w.Data
	case utf8.Valid(w.Data):
		s.Text = string(w.Data)
	default:
		s.Base64 = w.Data
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding a wait: %w", err)
	}
	return b, nil
}
