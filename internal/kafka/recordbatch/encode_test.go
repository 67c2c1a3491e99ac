package recordbatch_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Attributes of a batch, as the format has them.
const (
	logAppendTime = 0x08
	transactional = 0x10
	control       = 0x20
)

// noProducer is the producer id of a batch that is not idempotent.
const noProducer = -1

// first is the time of the first record of a batch, in Unix milliseconds.
const first = 1_700_000_000_000

// batch is a batch to be encoded by franz-go, which is not our code.
type batch struct {
	base       int64
	attributes int16
	codec      kgo.CompressionCodec // the zero value does not compress
	producer   int64
	records    []kmsg.Record
	// Changed after everything was made, before the checksum is.
	spoil func(*kmsg.RecordBatch)
}

// rec is a record whose time is that of the batch, plus its delta in seconds.
func rec(delta int32, key, value string, headers ...kmsg.Header) kmsg.Record {
	return kmsg.Record{
		OffsetDelta: delta, TimestampDelta64: int64(delta) * 1000,
		Key: []byte(key), Value: []byte(value), Headers: headers,
	}
}

func recs(n int) []kmsg.Record {
	list := make([]kmsg.Record, 0, n)
	for i := range int32(n) {
		list = append(list, rec(i, fmt.Sprint("user", i), fmt.Sprint("value", i), kmsg.Header{Key: "ce_id", Value: fmt.Append(nil, i)}))
	}
	return list
}

func (b batch) encode(t testing.TB) []byte {
	t.Helper()
	var body []byte
	last := int32(0)
	for _, r := range b.records {
		body = appendRecord(body, r)
		last = max(last, r.OffsetDelta)
	}
	compressor, err := kgo.DefaultCompressor(b.codec)
	require.NoError(t, err)
	if compressor != nil {
		var codec kgo.CompressionCodecType
		body, codec = compressor.Compress(new(bytes.Buffer), body)
		b.attributes |= int16(codec)
	}
	r := kmsg.RecordBatch{
		FirstOffset: b.base, Magic: 2, Attributes: b.attributes, LastOffsetDelta: last,
		FirstTimestamp: first, MaxTimestamp: first + 60_000, ProducerID: b.producer,
		NumRecords: int32(len(b.records)), Records: bytes.Clone(body),
	}
	if b.spoil != nil {
		b.spoil(&r)
	}
	const notCounted, fixed = 12, 61
	r.Length = int32(fixed - notCounted + len(r.Records))
	raw := r.AppendTo(nil)
	sign(raw)
	return raw
}

// appendRecord sets the length, which franz-go leaves to the caller.
func appendRecord(dst []byte, r kmsg.Record) []byte {
	size := len(r.AppendTo(nil)) - 1 // a zero length takes one byte
	r.Length = int32(size)
	return r.AppendTo(dst)
}

// sign puts the right checksum into a batch.
func sign(raw []byte) {
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
}

func join(batches ...[]byte) []byte { return bytes.Join(batches, nil) }
