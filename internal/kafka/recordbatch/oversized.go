package recordbatch

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/compress"

	"pushgate/internal/push"
)

// errOversized says that a batch inflates to more than is held at a time.
var errOversized = errors.New("batch inflates to more than is held at a time")

// maxRecord bounds a single record of a compressed batch.
const maxRecord = 256 << 20

// decodeOversized decodes a batch that inflates to more than maxInflated, record
// by record off the stream. It hands out what fits and returns the offset after
// that, inside the batch: the next read begins there. Nobody but a producer can
// make such a batch, and it must not stop the others.
func decodeOversized(dst []push.Record, body []byte, h header, f Fetched) (records []push.Record, reached int64, err error) {
	codec := h.codec.Codec()
	reader := codec.NewReader(byteReader(body))
	defer func() { _ = reader.Close() }()
	stream := bufio.NewReader(reader)
	kept := int64(0)
	reached = h.base
	for range h.count {
		length, err := binary.ReadVarint(stream)
		if err != nil || length < 1 || length > maxRecord {
			return dst, reached, fmt.Errorf("record of %d bytes after offset %d: %w", length, reached, errors.Join(errShort, err))
		}
		if kept > 0 && kept+length > maxInflated {
			return dst, reached, nil
		}
		raw := binary.AppendVarint(make([]byte, 0, length+binary.MaxVarintLen64), length)
		prefix := len(raw)
		raw = raw[:prefix+int(length)]
		if _, err := io.ReadFull(stream, raw[prefix:]); err != nil {
			return dst, reached, fmt.Errorf("inflating %s: %w", codec.Name(), err)
		}
		record, _, err := decodeRecord(raw, h.base, h.times)
		if err == nil && (record.Offset < reached || record.Offset > h.last) {
			err = errOrder
		}
		if err != nil {
			return dst, reached, err
		}
		reached = record.Offset + 1
		if record.Offset >= f.From {
			record.Partition = f.Partition
			dst = append(dst, record)
			kept += length
		}
	}
	return dst, h.last + 1, nil
}

// header is what a batch says of its records.
type header struct {
	base, last int64
	count      int32
	codec      compress.Compression
	times      times
}
