package session

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pushgate/internal/push"
	"pushgate/internal/ws"
)

// Frames encodes a message once per subprotocol, however many sessions it goes
// to. Not safe for concurrent use; the frames are, and may outlive it.
type Frames struct {
	m      *push.Message
	frames [subprotocols][]byte
}

// NewFrames returns the frames of m, none encoded yet. m.Data is copied when a
// frame is encoded and not looked at later.
func NewFrames(m *push.Message) Frames { return Frames{m: m} }

// For returns the frame in the form of s. It must not be changed.
func (f *Frames) For(s Subprotocol) []byte {
	if f.frames[s] == nil {
		f.frames[s] = encode(f.m, s)
	}
	return f.frames[s]
}

// envelope is about what the fields beside the payload take.
const envelope = 192

func encode(m *push.Message, s Subprotocol) []byte {
	size := ws.Headroom + len(m.Data)
	if s != Plain {
		size += envelope + len(m.ID) + len(m.Type) + len(m.Source) + len(m.ContentType) + len(m.TraceParent)
		if !embeds(m) {
			size += len(m.Data)/2 + 4
		}
	}
	buf := make([]byte, ws.Headroom, size)
	switch s {
	case Pushgate:
		return ws.Seal(appendPushgate(buf, m), ws.OpText)
	case CloudEvents:
		return ws.Seal(appendCloudEvent(buf, m), ws.OpText)
	default:
		return ws.Seal(append(buf, m.Data...), plainOp(m))
	}
}

// embeds says whether the payload can stand in a text frame as the JSON value it
// is. JSON that is not UTF-8 cannot, though parsers let it pass: a client would
// have to drop the connection, again at each attempt.
func embeds(m *push.Message) bool { return m.JSON && len(m.Data) > 0 && utf8.Valid(m.Data) }

func plainOp(m *push.Message) ws.Op {
	text := m.JSON || len(m.ContentType) >= 5 && strings.EqualFold(m.ContentType[:5], "text/")
	if text && utf8.Valid(m.Data) {
		return ws.OpText
	}
	return ws.OpBinary
}

func appendPushgate(dst []byte, m *push.Message) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, m.ID)
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, m.Type)
	dst = append(dst, `,"time":"`...)
	dst = m.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","attempt":`...)
	dst = strconv.AppendInt(dst, int64(m.Attempt), 10)
	dst = appendData(dst, m)
	return append(dst, '}')
}

// defaultSource stands for an event whose producer named none: CloudEvents wants
// one that is not empty.
const defaultSource = "/pushgate"

// appendCloudEvent appends the event with the extensions "attempt" and, when the
// producer sent one, "traceparent".
func appendCloudEvent(dst []byte, m *push.Message) []byte {
	source := m.Source
	if source == "" {
		source = defaultSource
	}
	dst = append(dst, `{"specversion":"1.0","id":`...)
	dst = appendString(dst, m.ID)
	dst = append(dst, `,"source":`...)
	dst = appendString(dst, source)
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, m.Type)
	if !m.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = m.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	if m.ContentType != "" {
		dst = append(dst, `,"datacontenttype":`...)
		dst = appendString(dst, m.ContentType)
	}
	dst = append(dst, `,"attempt":`...)
	dst = strconv.AppendInt(dst, int64(m.Attempt), 10)
	if m.TraceParent != "" {
		dst = append(dst, `,"traceparent":`...)
		dst = appendString(dst, m.TraceParent)
	}
	dst = appendData(dst, m)
	return append(dst, '}')
}

func appendData(dst []byte, m *push.Message) []byte {
	if embeds(m) {
		dst = append(dst, `,"data":`...)
		return append(dst, m.Data...)
	}
	dst = append(dst, `,"data_base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, m.Data)
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, as encoding/json has it.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		if b >= ' ' && b != '"' && b != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		if b == '"' || b == '\\' {
			dst = append(dst, '\\', b)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xF])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
