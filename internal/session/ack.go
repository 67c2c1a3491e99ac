package session

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errNotAck = errors.New(`a client sends {"ack":["id",…]} and nothing else`)

// parseAck calls each with the ids of {"ack":["id",…]}, in order; id is valid
// until each returns. Any other text is errNotAck, and ids before the place that
// shows it have been passed on: they were acknowledged all the same. b must be
// valid UTF-8. Allocates only for ids with escapes in them.
func parseAck(b []byte, each func(id []byte)) error {
	s := ackScanner{rest: b}
	if !s.take('{') {
		return errNotAck
	}
	key, ok := s.text()
	if !ok || string(key) != "ack" || !s.take(':') || !s.take('[') {
		return errNotAck
	}
	if !s.take(']') {
		for {
			id, ok := s.text()
			if !ok {
				return errNotAck
			}
			each(id)
			if s.take(']') {
				break
			}
			if !s.take(',') {
				return errNotAck
			}
		}
	}
	if !s.take('}') {
		return errNotAck
	}
	s.space()
	if len(s.rest) > 0 {
		return errNotAck
	}
	return nil
}

type ackScanner struct{ rest []byte }

func (s *ackScanner) space() {
	for len(s.rest) > 0 {
		switch s.rest[0] {
		case ' ', '\t', '\r', '\n':
			s.rest = s.rest[1:]
		default:
			return
		}
	}
}

// take skips the next token if it is c.
func (s *ackScanner) take(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// text reads a string.
func (s *ackScanner) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	plain := true
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			raw := s.rest[:i]
			s.rest = s.rest[i+1:]
			if plain {
				return raw, true
			}
			return unescape(raw)
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			return nil, false
		}
	}
	return nil, false
}

// unescape is the rare path: ids are seldom written with escapes.
func unescape(raw []byte) ([]byte, bool) {
	quoted := bytes.Join([][]byte{{'"'}, raw, {'"'}}, nil)
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return nil, false
	}
	return []byte(text), true
}
