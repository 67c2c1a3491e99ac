// Package recordbatch decodes Kafka's record batches, version 2, straight from
// the bytes of a fetch response. It is pure. Three things made it necessary: the
// client library decodes every header of every record, though most are dropped
// after a look at the key; it takes the producer's time where the topic keeps
// the broker's; and it hands out the records of aborted transactions.
//
// Source of the format: Apache Kafka, clients, DefaultRecordBatch and
// DefaultRecord (message format, magic 2).
package recordbatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"pushgate/internal/push"
)

// Aborted names an aborted transaction of a fetch response: the records of that
// producer from FirstOffset on, up to its abort marker, do not count.
type Aborted struct{ ProducerID, FirstOffset int64 }

// Fetched is what a fetch response says of one partition.
type Fetched struct {
	Partition int32
	// Raw is the record set. The records alias it, or a buffer of their own where
	// a batch is compressed.
	Raw []byte
	// From is the first offset that counts: batches start where they start.
	From    int64
	Aborted []Aborted
}

// Layout of a batch: offset and length come first and are not part of length.
const (
	batchOverhead  = 12
	batchHeader    = 61
	magicAt        = 16
	crcAt          = 17
	attributesAt   = 21
	lastDeltaAt    = 23
	firstTimeAt    = 27
	maxTimeAt      = 35
	producerAt     = 43
	recordCountAt  = 57
	compressionSet = 0x07
	logAppendTime  = 0x08
	transactional  = 0x10
	control        = 0x20
)

// maxInflated bounds what of one compressed batch is held at a time.
const maxInflated = 64 << 20

// Decode appends the records of f to dst and returns the offset to read next:
// one past the last batch, whether its records count or not. A batch that the
// response cut off at the end is left for the next read, and so is one that
// cannot be decoded when there are others before it: what is good is handed out
// first. Offsets ascend. Uncompressed batches are decoded without allocating.
func Decode(dst []push.Record, f Fetched) (records []push.Record, next int64, err error) {
	next = f.From
	raw := f.Raw
	aborting := abortions{pending: f.Aborted}
	for len(raw) >= batchOverhead {
		b, ok, err := cutBatch(raw)
		if err == nil && !ok {
			break
		}
		good, reached := len(dst), b.last+1
		if err == nil && b.last >= next {
			dst, reached, err = decodeBatch(dst, b, Fetched{Partition: f.Partition, From: next}, &aborting)
		}
		if err != nil && next > f.From {
			return dst[:good], next, nil
		}
		if err != nil {
			return dst[:good], next, err
		}
		next = max(next, reached)
		if reached <= b.last {
			return dst, next, nil // the rest of the batch is for the next read
		}
		raw = raw[len(b.raw):]
	}
	return dst, next, nil
}

// batch is one batch of a record set, and the offsets it covers.
type batch struct {
	raw        []byte
	base, last int64
}

// cutBatch looks at the batch raw begins with; it is not ok when raw does not
// hold all of it.
func cutBatch(raw []byte) (b batch, ok bool, err error) {
	length := int64(int32(binary.BigEndian.Uint32(raw[8:]))) //nolint:gosec // a signed length on the wire
	if length < batchHeader-batchOverhead {
		return b, false, fmt.Errorf("record batch of %d bytes", length)
	}
	if length > int64(len(raw)-batchOverhead) {
		return b, false, nil
	}
	b.raw = raw[:batchOverhead+length]
	if magic := b.raw[magicAt]; magic != 2 {
		return b, false, fmt.Errorf("record batch of format %d, only 2 is supported (Kafka 0.11 and later write it)", magic)
	}
	b.base = int64(binary.BigEndian.Uint64(b.raw))                               //nolint:gosec // as above
	b.last = b.base + int64(int32(binary.BigEndian.Uint32(b.raw[lastDeltaAt:]))) //nolint:gosec // as above
	if b.last < b.base || b.last == math.MaxInt64 {
		return b, false, fmt.Errorf("record batch at %d ends at %d", b.base, b.last)
	}
	return b, true, nil
}

var (
	errChecksum = errors.New("checksum does not match")
	errOrder    = errors.New("offsets of the records do not ascend within those of the batch")
)

// decodeBatch appends the records from f.From on; after an error, dst holds what
// came before it.
func decodeBatch(dst []push.Record, b batch, f Fetched, aborting *abortions) (records []push.Record, reached int64, err error) {
	raw := b.raw
	fail := func(err error) ([]push.Record, int64, error) {
		return dst, b.base, fmt.Errorf("record batch at %d: %w", b.base, err)
	}
	if crc32.Checksum(raw[attributesAt:], castagnoli()) != binary.BigEndian.Uint32(raw[crcAt:]) {
		return fail(errChecksum)
	}
	attributes := binary.BigEndian.Uint16(raw[attributesAt:])
	producer := int64(binary.BigEndian.Uint64(raw[producerAt:])) //nolint:gosec // as above
	if attributes&control != 0 {
		aborting.marker(producer, b.base)
		return dst, b.last + 1, nil
	}
	if attributes&transactional != 0 && aborting.covers(producer, b.base) {
		return dst, b.last + 1, nil
	}
	h := header{
		base: b.base, last: b.last, codec: compress.Compression(attributes & compressionSet),
		count: int32(binary.BigEndian.Uint32(raw[recordCountAt:])), //nolint:gosec // as above
		times: times{
			first: int64(binary.BigEndian.Uint64(raw[firstTimeAt:])), //nolint:gosec // as above
			max:   int64(binary.BigEndian.Uint64(raw[maxTimeAt:])),   //nolint:gosec // as above
			fixed: attributes&logAppendTime != 0,
		},
	}
	decode, body := decodeRecords, raw[batchHeader:]
	if h.codec != 0 {
		inflated, err := inflate(body, h.codec)
		switch {
		case errors.Is(err, errOversized):
			decode = decodeOversized
		case err != nil:
			return fail(err)
		default:
			body = inflated
		}
	}
	if dst, reached, err = decode(dst, body, h, f); err != nil {
		return fail(err)
	}
	return dst, reached, nil
}

// decodeRecords decodes the records of a batch.
func decodeRecords(dst []push.Record, body []byte, h header, f Fetched) (records []push.Record, reached int64, err error) {
	least := h.base
	for range h.count {
		record, rest, err := decodeRecord(body, h.base, h.times)
		if err == nil && (record.Offset < least || record.Offset > h.last) {
			err = errOrder
		}
		if err != nil {
			return dst, h.base, err
		}
		least = record.Offset + 1
		body = rest
		if record.Offset >= f.From {
			record.Partition = f.Partition
			dst = append(dst, record)
		}
	}
	return dst, h.last + 1, nil
}

// times of a batch: each record has its own, unless the broker's append time
// counts, which is one for the batch.
type times struct {
	first, max int64
	fixed      bool
}

func (t times) of(delta int64) time.Time {
	if t.fixed {
		return time.UnixMilli(t.max)
	}
	return time.UnixMilli(t.first + delta)
}

var errShort = errors.New("record ends early")

// decodeRecord decodes the first record of body.
func decodeRecord(body []byte, base int64, t times) (rec push.Record, rest []byte, err error) {
	length, n := binary.Varint(body)
	if n <= 0 || length < 1 || length > int64(len(body)-n) {
		return rec, nil, errShort
	}
	rest = body[n+int(length):]
	b := body[n+1 : n+int(length)] // the first byte is unused attributes
	timeDelta, n := binary.Varint(b)
	if n <= 0 {
		return rec, nil, errShort
	}
	b = b[n:]
	offsetDelta, n := binary.Varint(b)
	if n <= 0 || offsetDelta < 0 || offsetDelta > math.MaxInt32 {
		return rec, nil, errShort
	}
	b = b[n:]
	var ok bool
	if rec.Key, b, ok = cut(b); !ok {
		return rec, nil, errShort
	}
	if rec.Value, b, ok = cut(b); !ok {
		return rec, nil, errShort
	}
	if _, n = binary.Varint(b); n <= 0 { // the number of headers
		return rec, nil, errShort
	}
	rec.Headers = push.RawHeaders(b[n:])
	rec.Offset = base + offsetDelta
	rec.Time = t.of(timeDelta)
	return rec, rest, nil
}

// cut takes a byte string with its length before it; a negative length is null.
func cut(b []byte) (value, rest []byte, ok bool) {
	length, n := binary.Varint(b)
	if n <= 0 {
		return nil, nil, false
	}
	b = b[n:]
	if length < 0 {
		return nil, b, true
	}
	if length > int64(len(b)) {
		return nil, nil, false
	}
	return b[:length:length], b[length:], true
}

// abortions tells which producers' records do not count, as the batches go by.
type abortions struct {
	pending []Aborted // by first offset
	active  map[int64]bool
}

// covers says whether a batch of a producer is part of a transaction that was
// aborted.
func (a *abortions) covers(producer, base int64) bool {
	for i, t := range a.pending {
		if t.ProducerID == producer && t.FirstOffset <= base {
			if a.active == nil {
				a.active = make(map[int64]bool)
			}
			a.active[producer] = true
			a.pending = append(a.pending[:i:i], a.pending[i+1:]...)
			break
		}
	}
	return a.active[producer]
}

// marker ends the transaction of a producer, aborted or not. A read may begin
// after the records of an aborted transaction and before its marker: the
// transaction is then named in the response though no batch of it is there, and
// must not be left to cover the producer's next one.
func (a *abortions) marker(producer, base int64) {
	if a.covers(producer, base) {
		delete(a.active, producer)
	}
}
