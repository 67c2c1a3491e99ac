package embedded

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
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
)

// stampAppendTime makes the broker keep when a record was written, and not when
// its producer says it was: the topics of the platform ask for that
// (message.timestamp.type=LogAppendTime), and the broker does not know it. Other
// than with Kafka, the records of one batch keep their distances.
func stampAppendTime(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		produce, ok := req.(*kmsg.ProduceRequest)
		if !ok {
			return nil, nil, false
		}
		now := time.Now().UnixMilli()
		for _, topic := range produce.Topics {
			for i := range topic.Partitions {
				stamp(topic.Partitions[i].Records, now)
			}
		}
		return nil, nil, false
	})
}

// stamp sets the time of every whole batch of a record set, in place. What is no
// batch is left for the broker to refuse.
func stamp(raw []byte, now int64) {
	for len(raw) >= batchHeader && raw[magicAt] == 2 {
		length := int(int32(binary.BigEndian.Uint32(raw[lengthAt:]))) //nolint:gosec // a signed length on the wire
		end := lengthAt + 4 + length
		if length < batchHeader-lengthAt-4 || end > len(raw) {
			return
		}
		batch := raw[:end]
		table := crc32.MakeTable(crc32.Castagnoli)
		if crc32.Checksum(batch[attributesAt:], table) != binary.BigEndian.Uint32(batch[crcAt:]) {
			return
		}
		spread := binary.BigEndian.Uint64(batch[maxTimeAt:]) - binary.BigEndian.Uint64(batch[firstTimeAt:])
		binary.BigEndian.PutUint64(batch[firstTimeAt:], uint64(now))      //nolint:gosec // times after 1970
		binary.BigEndian.PutUint64(batch[maxTimeAt:], uint64(now)+spread) //nolint:gosec // as above
		binary.BigEndian.PutUint32(batch[crcAt:], crc32.Checksum(batch[attributesAt:], table))
		raw = raw[end:]
	}
}
