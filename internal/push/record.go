package push

import (
	"encoding/binary"
	"iter"
	"time"
)

// Record is one record of a log partition, read or about to be written.
//
// A record that was read aliases the buffer of the read that brought it: Key,
// Value and Headers are valid until the next read of the same reader. Whoever
// keeps a record longer keeps a Clone.
type Record struct {
	Partition int32
	// Offset is where the record stands; meaningless before it is written.
	Offset int64
	// Time is the broker's append time where the topic keeps it, else the
	// producer's. The zero value lets the broker or the client set it.
	Time time.Time
	// Key and Value: nil is Kafka's null, which is not the same as empty.
	Key, Value []byte
	Headers    Headers
}

// Clone returns a copy that shares no memory with r.
func (r *Record) Clone() Record {
	c := *r
	c.Key = cloneBytes(r.Key)
	c.Value = cloneBytes(r.Value)
	c.Headers.raw = cloneBytes(r.Headers.raw)
	return c
}

// Size is the number of bytes of key, value and headers: what a record costs to
// keep or to send, framing left out.
func (r *Record) Size() int { return len(r.Key) + len(r.Value) + len(r.Headers.raw) }

func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// Batch is what one read of a partition brought.
type Batch struct {
	// Records in the order of their offsets. Offsets may have gaps (transaction
	// markers, aborted transactions): Next says how far the read came.
	Records []Record
	// Next is the offset to read next: every offset below it was looked at.
	Next int64
	// LogStart is the first offset the partition still holds, HighWatermark the
	// offset the next record will get. Next == HighWatermark means caught up.
	LogStart, HighWatermark int64
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Headers are the headers of a record, kept in Kafka's own encoding (record
// batch v2: for each, key length, key, value length, value, lengths as zigzag
// varints, -1 for null), so that a record that is read and dropped costs nothing
// for them. Malformed bytes end the iteration early; they never panic.
type Headers struct {
	raw []byte
}

// RawHeaders wraps encoded headers without the leading count. The bytes are
// not copied.
func RawHeaders(raw []byte) Headers { return Headers{raw: raw} }

// NewHeaders encodes a list of headers.
func NewHeaders(list ...Header) Headers {
	var h Headers
	for _, e := range list {
		h.Add(e.Key, e.Value)
	}
	return h
}

// Add appends a header; a nil value is null.
func (h *Headers) Add(key string, value []byte) {
	h.raw = binary.AppendVarint(h.raw, int64(len(key)))
	h.raw = append(h.raw, key...)
	if value == nil {
		h.raw = binary.AppendVarint(h.raw, -1)
		return
	}
	h.raw = binary.AppendVarint(h.raw, int64(len(value)))
	h.raw = append(h.raw, value...)
}

// AddText appends a header with a text value.
func (h *Headers) AddText(key, value string) {
	h.raw = binary.AppendVarint(h.raw, int64(len(key)))
	h.raw = append(h.raw, key...)
	h.raw = binary.AppendVarint(h.raw, int64(len(value)))
	h.raw = append(h.raw, value...)
}

// All yields key and value of each header in order. Both alias the record.
func (h Headers) All() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		raw := h.raw
		for len(raw) > 0 {
			var key, value []byte
			var ok bool
			if key, raw, ok = cutVarBytes(raw); !ok {
				return
			}
			if value, raw, ok = cutVarBytes(raw); !ok {
				return
			}
			if !yield(key, value) {
				return
			}
		}
	}
}

// Get returns the value of the last header with that key: Kafka allows
// repeats, and a later one stands for a later decision.
func (h Headers) Get(key string) (value []byte, ok bool) {
	for k, v := range h.All() {
		if string(k) == key {
			value, ok = v, true
		}
	}
	return value, ok
}

// Text is Get as a string, empty when the header is not there.
func (h Headers) Text(key string) string {
	v, _ := h.Get(key)
	return string(v)
}

// List decodes the headers into a fresh list.
func (h Headers) List() []Header {
	var list []Header
	for k, v := range h.All() {
		list = append(list, Header{Key: string(k), Value: cloneBytes(v)})
	}
	return list
}

func cutVarBytes(raw []byte) (value, rest []byte, ok bool) {
	const longer, null = 0x80, 1 // in the first byte of a length
	if len(raw) > 0 && raw[0]&(longer|null) == 0 {
		// Below 64, as nearly all are. It is the byte's upper bits.
		end := 1 + int(raw[0]>>1)
		if end > len(raw) {
			return nil, nil, false
		}
		return raw[1:end:end], raw[end:], true
	}
	n, size := binary.Varint(raw)
	if size <= 0 {
		return nil, nil, false
	}
	raw = raw[size:]
	if n < 0 {
		return nil, raw, n == -1
	}
	if n > int64(len(raw)) {
		return nil, nil, false
	}
	return raw[:n:n], raw[n:], true
}

// AppendRaw appends the encoded headers, without a leading count, to dst.
func (h Headers) AppendRaw(dst []byte) []byte { return append(dst, h.raw...) }
