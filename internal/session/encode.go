package session

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pushgate/internal/jsontext"
	"pushgate/internal/push"
	"pushgate/internal/ws"
)

// Frames encodes a message once per subprotocol, and compresses that once at most, however
// many sessions it goes to. Not safe for concurrent use; the frames are, and may outlive
// it.
type Frames struct {
	m        *push.Message
	frames   [subprotocols][]byte
	deflated [subprotocols][]byte
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

// Deflated is For with the payload compressed, where that makes it shorter.
func (f *Frames) Deflated(s Subprotocol) []byte {
	if f.deflated[s] == nil {
		f.deflated[s] = ws.Deflate(f.For(s))
	}
	return f.deflated[s]
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
	dst = jsontext.AppendString(dst, m.ID)
	dst = append(dst, `,"type":`...)
	dst = jsontext.AppendString(dst, m.Type)
	dst = append(dst, `,"time":"`...)
	dst = m.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","attempt":`...)
	dst = strconv.AppendInt(dst, int64(m.Attempt), 10)
	dst = appendTraceParent(dst, m)
	dst = appendData(dst, m)
	return append(dst, '}')
}

// appendTraceParent appends the trace context of the producer, if it sent one, as the
// distributed tracing extension of CloudEvents has it: that of the event, which no hop
// changes.
func appendTraceParent(dst []byte, m *push.Message) []byte {
	if m.TraceParent == "" {
		return dst
	}
	dst = append(dst, `,"traceparent":`...)
	return jsontext.AppendString(dst, m.TraceParent)
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
	dst = jsontext.AppendString(dst, m.ID)
	dst = append(dst, `,"source":`...)
	dst = jsontext.AppendString(dst, source)
	dst = append(dst, `,"type":`...)
	dst = jsontext.AppendString(dst, m.Type)
	if !m.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = m.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	if m.ContentType != "" {
		dst = append(dst, `,"datacontenttype":`...)
		dst = jsontext.AppendString(dst, m.ContentType)
	}
	dst = append(dst, `,"attempt":`...)
	dst = strconv.AppendInt(dst, int64(m.Attempt), 10)
	dst = appendTraceParent(dst, m)
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
