package embedded

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Layout of a record batch, format 2 (Apache Kafka, clients, DefaultRecordBatch).
const (
	lengthAt     = 8
	magicAt      = 16
	crcAt        = 17
	attributesAt = 21
	firstTimeAt  = 27
	maxTimeAt    = 35
	batchHeader  = 61

	compression = 0x07 // of the attributes
)

// stampAppendTime makes the broker keep when a record was written, and not when
// its producer says it was: the topics of the platform ask for that
// (message.timestamp.type=LogAppendTime), and the broker does not know it. As with
// Kafka, all records of a batch have one time: those of a producer that could not reach
// the broker for a while would else seem to come from the future, or from before what
// stands in front of them.
func stampAppendTime(c *kfake.Cluster) {
	var again recompression
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		produce, ok := req.(*kmsg.ProduceRequest)
		if !ok {
			return nil, nil, false
		}
		now := time.Now().UnixMilli()
		for _, topic := range produce.Topics {
			for i := range topic.Partitions {
				topic.Partitions[i].Records = again.stamp(topic.Partitions[i].Records, now)
			}
		}
		return nil, nil, false
	})
}

// stamp sets the time of a record set, which the broker wants to be one batch: in place
// where that will do. What is no batch is left for the broker to refuse.
func (c *recompression) stamp(raw []byte, now int64) []byte {
	if len(raw) < batchHeader || raw[magicAt] != 2 {
		return raw
	}
	length := int(int32(binary.BigEndian.Uint32(raw[lengthAt:]))) //nolint:gosec // a signed length on the wire
	if length != len(raw)-lengthAt-4 || checksum(raw) != binary.BigEndian.Uint32(raw[crcAt:]) {
		return raw
	}
	if binary.BigEndian.Uint64(raw[maxTimeAt:]) != binary.BigEndian.Uint64(raw[firstTimeAt:]) {
		return c.level(raw, now)
	}
	binary.BigEndian.PutUint64(raw[firstTimeAt:], uint64(now)) //nolint:gosec // times after 1970
	binary.BigEndian.PutUint64(raw[maxTimeAt:], uint64(now))   //nolint:gosec // as above
	binary.BigEndian.PutUint32(raw[crcAt:], checksum(raw))
	return raw
}

func checksum(batch []byte) uint32 {
	return crc32.Checksum(batch[attributesAt:], crc32.MakeTable(crc32.Castagnoli))
}

// recompression has a compressor for each codec that a batch was met with. Requests are
// handled one at a time.
type recompression [compression + 1]kgo.Compressor

// of returns records compressed as a batch says that they are.
func (c *recompression) of(records []byte, attributes int16) ([]byte, error) {
	codec := attributes & compression
	if codec == 0 {
		return records, nil
	}
	if c[codec] == nil {
		codecs := map[int16]kgo.CompressionCodec{
			1: kgo.GzipCompression(), 2: kgo.SnappyCompression(), 3: kgo.Lz4Compression(), 4: kgo.ZstdCompression(),
		}
		made, err := kgo.DefaultCompressor(codecs[codec])
		if err != nil {
			return nil, fmt.Errorf("compressing a batch again: %w", err)
		}
		c[codec] = made
	}
	compressed, _ := c[codec].Compress(new(bytes.Buffer), records)
	return compressed, nil
}

// level writes a batch anew whose records have times of their own.
func (c *recompression) level(raw []byte, now int64) []byte {
	var b kmsg.RecordBatch
	if b.ReadFrom(raw) != nil {
		return raw
	}
	records, err := kfake.BatchRecords(b)
	if err != nil {
		return raw
	}
	b.FirstTimestamp, b.MaxTimestamp, b.Records = now, now, nil
	for _, r := range records {
		r.TimestampDelta, r.TimestampDelta64, r.Length = 0, 0, 0
		r.Length = int32(len(r.AppendTo(nil)) - 1) //nolint:gosec // without the length itself, which is one byte as long as it is 0
		b.Records = r.AppendTo(b.Records)
	}
	if b.Records, err = c.of(b.Records, b.Attributes); err != nil {
		return raw
	}
	b.Length = int32(batchHeader - lengthAt - 4 + len(b.Records)) //nolint:gosec // bounded by what a request may be
	leveled := b.AppendTo(nil)
	binary.BigEndian.PutUint32(leveled[crcAt:], checksum(leveled))
	return leveled
}
