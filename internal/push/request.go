package push

import (
	"bytes"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pushgate/internal/jsontext"
)

// Headers producers may set: the CloudEvents Kafka binding in binary mode.
const (
	HeaderID          = "ce_id"
	HeaderType        = "ce_type"
	HeaderSource      = "ce_source"
	HeaderTime        = "ce_time"
	HeaderExpiryTime  = "ce_expirytime"
	HeaderSpecVersion = "ce_specversion"
	HeaderContentType = "content-type"
	HeaderTraceParent = "traceparent"
)

// Limits bound what a request may be.
type Limits struct {
	// MaxBytes of payload.
	MaxBytes int
	// DefaultTTL is the time to live of a request that states no expiry, counted
	// from when its record was written.
	DefaultTTL time.Duration
}

// ParseRequest understands a record of the request topic. All headers are
// optional. A record that is no valid request gives an *InvalidError; the
// message then still carries what could be read, so that a dead letter can name
// user and id. Strings of the message are copies; Data aliases the record.
func ParseRequest(rec *Record, topic string, limits Limits) (Message, error) {
	m := Message{
		Partition: rec.Partition,
		Offset:    rec.Offset,
		Type:      DefaultType,
		Attempt:   1,
		EndsWait:  NoWait,
		FirstSeen: rec.Time,
		Data:      rec.Value,
	}
	var first *InvalidError
	invalid := func(format string, args ...any) {
		if first == nil {
			first = &InvalidError{Reason: Invalid, Text: fmt.Sprintf(format, args...)}
		}
	}
	texts := texts{user: rec.Key}
	for key, value := range rec.Headers.All() {
		if text := m.applyHeader(key, value, &texts); text != "" {
			invalid("%s", text)
		}
	}
	texts.copyTo(&m)
	if m.ID == "" {
		m.ID = DefaultID(topic, rec.Partition, rec.Offset)
	}
	if m.Expires.IsZero() {
		m.Expires = m.FirstSeen.Add(limits.DefaultTTL)
	}
	if m.Time.IsZero() {
		m.Time = m.FirstSeen // the same in each offering
	}
	if text := checkUser(m.User); text != "" {
		invalid("%s", text)
		m.User = ""
	}
	if text := checkName("ce_type", m.Type, MaxTypeBytes); text != "" {
		invalid("%s", text)
	}
	if len(m.ID) > MaxIDBytes || !utf8.ValidString(m.ID) {
		invalid("ce_id is longer than %d bytes or not UTF-8", MaxIDBytes)
	}
	if limits.MaxBytes > 0 && len(rec.Value) > limits.MaxBytes && first == nil {
		first = &InvalidError{
			Reason: TooLarge,
			Text:   fmt.Sprintf("payload of %d bytes, the limit message.max_bytes is %d", len(rec.Value), limits.MaxBytes),
		}
	}
	if m.JSON = isJSON(m.ContentType); m.JSON && first == nil && !jsontext.Valid(rec.Value) {
		invalid("content type is %s but the payload is not valid JSON", m.ContentType)
	}
	if first != nil {
		return m, first
	}
	return m, nil
}

// DefaultID names a message that has no ce_id by where it was first written.
func DefaultID(topic string, partition int32, offset int64) string {
	b := make([]byte, 0, len(topic)+24)
	b = append(b, topic...)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(partition), 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, offset, 10)
	return string(b)
}

// texts are the parts of a record that a message keeps as text, in the record.
type texts struct{ id, kind, source, contentType, traceParent, user []byte }

// usualContentType is that of nearly all messages, and not copied.
const usualContentType = "application/json"

// copyTo copies all that was found, at once: it lives as long as the message does.
func (t *texts) copyTo(m *Message) {
	if string(t.contentType) == usualContentType {
		m.ContentType, t.contentType = usualContentType, nil
	}
	var all strings.Builder
	all.Grow(len(t.id) + len(t.kind) + len(t.source) + len(t.contentType) + len(t.traceParent) + len(t.user))
	for _, part := range [...][]byte{t.id, t.kind, t.source, t.contentType, t.traceParent, t.user} {
		all.Write(part)
	}
	whole := all.String()
	m.ID, whole = whole[:len(t.id)], whole[len(t.id):]
	if n := len(t.kind); n > 0 {
		m.Type, whole = whole[:n], whole[n:]
	}
	m.Source, whole = whole[:len(t.source)], whole[len(t.source):]
	if n := len(t.contentType); n > 0 {
		m.ContentType, whole = whole[:n], whole[n:]
	}
	m.TraceParent, whole = whole[:len(t.traceParent)], whole[len(t.traceParent):]
	m.User = whole
}

// applyHeader takes over one header and says what is wrong with it, if anything.
// Headers of the platform come after the producer's and win over them. One of the
// producer's that is empty says nothing: programs write what they do not have as
// an empty text, and over HTTP it could not be told from none.
func (m *Message) applyHeader(key, value []byte, texts *texts) string {
	if len(value) == 0 && !bytes.HasPrefix(key, platformPrefix) {
		return ""
	}
	switch string(key) {
	case HeaderID:
		if len(texts.id) == 0 {
			texts.id = value
		}
	case HeaderType:
		texts.kind = value
	case HeaderSource:
		texts.source = value
	case HeaderContentType:
		texts.contentType = value
	case HeaderTraceParent:
		texts.traceParent = value
	case HeaderTime:
		return parseTime(HeaderTime, value, &m.Time)
	case HeaderExpiryTime:
		if m.Expires.IsZero() {
			return parseTime(HeaderExpiryTime, value, &m.Expires)
		}
	default:
		if bytes.HasPrefix(key, platformPrefix) {
			return m.applyPlatformHeader(key, value, texts)
		}
	}
	return ""
}

func (m *Message) applyPlatformHeader(key, value []byte, texts *texts) string {
	switch string(key) {
	case HeaderMessageID:
		texts.id = value
	case HeaderExpires:
		return parseTime(HeaderExpires, value, &m.Expires)
	case HeaderFirstSeen:
		return parseTime(HeaderFirstSeen, value, &m.FirstSeen)
	case HeaderAttempt:
		m.offered = true
		return parseCount(HeaderAttempt, value, &m.Attempt)
	case HeaderFailures:
		return parseCount(HeaderFailures, value, &m.Failures)
	case HeaderMayRepeat:
		m.MayRepeat = string(value) == "true"
	case HeaderWait:
		return parseOffset(HeaderWait, value, &m.EndsWait)
	case HeaderOrder:
		return parseOffset(HeaderOrder, value, &m.Order)
	case HeaderReplay:
		return parseReplay(value, &m.Replay)
	}
	return ""
}

func parseOffset(name string, value []byte, into *int64) string {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 {
		return fmt.Sprintf("%s %q is no offset", name, clip(value))
	}
	*into = n
	return ""
}

// maxCount bounds attempts and failures read from headers: more is no history
// of a message but somebody's mistake, and would wrap smaller integers.
const maxCount = 1 << 15

func parseCount(name string, value []byte, into *int) string {
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 || n > maxCount {
		return fmt.Sprintf("%s %q is no number from 0 to %d", name, clip(value), maxCount)
	}
	*into = n
	return ""
}

func parseTime(name string, value []byte, into *time.Time) string {
	t, err := time.Parse(time.RFC3339Nano, string(value))
	if err != nil {
		return fmt.Sprintf("%s %q is no RFC 3339 time, such as 2030-01-02T15:04:05Z", name, clip(value))
	}
	*into = t
	return ""
}

// CheckUser says what is wrong with a user id, or returns nil.
func CheckUser(user string) error {
	if text := checkUser(user); text != "" {
		return &InvalidError{Reason: Invalid, Text: text}
	}
	return nil
}

// CheckType says what is wrong with a business type, or returns nil.
func CheckType(name string) error {
	if text := checkName("business type", name, MaxTypeBytes); text != "" {
		return &InvalidError{Reason: Invalid, Text: text}
	}
	return nil
}

func checkUser(user string) string {
	switch user {
	case "":
		return "no key: the key of a request is the user id"
	case ".", "..":
		return fmt.Sprintf("user id %q cannot stand in an address", user)
	}
	return checkName("user id", user, MaxUserBytes)
}

func checkName(what, s string, limit int) string {
	switch {
	case s == "":
		return what + " is empty"
	case len(s) > limit:
		return fmt.Sprintf("%s is %d bytes long, the limit is %d", what, len(s), limit)
	case isPrintable(s):
		return ""
	case !utf8.ValidString(s):
		return what + " is not UTF-8"
	case hasControl(s):
		return what + " has control characters"
	default:
		return ""
	}
}

// isPrintable says whether s is of printable ASCII, as nearly all names are.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// hasControl looks at bytes: those of longer UTF-8 sequences are none of these.
func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// isJSON says whether a content type is JSON by itself or by its suffix.
func isJSON(contentType string) bool {
	if contentType == "" {
		return false
	}
	if contentType == usualContentType {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == usualContentType || media == "text/json" || strings.HasSuffix(media, "+json"))
}

// clip shortens what somebody sent before it goes into an error text.
func clip(b []byte) string {
	const limit = 64
	if len(b) > limit {
		return string(b[:limit]) + "…"
	}
	return string(b)
}
