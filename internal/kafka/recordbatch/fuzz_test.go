package recordbatch_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/kafka/recordbatch"
	"pushgate/internal/push"
)

// mend puts the right checksum into every whole batch, so that what is fuzzed
// gets past the first check.
func mend(raw []byte) {
	const overhead, shortest = 12, 61
	for len(raw) >= shortest {
		length := int64(int32(binary.BigEndian.Uint32(raw[8:])))
		if length < shortest-overhead || length > int64(len(raw)-overhead) {
			return
		}
		sign(raw[:overhead+length])
		raw = raw[overhead+length:]
	}
}

func FuzzDecode(f *testing.F) {
	for _, codec := range codecs() {
		raw := batch{base: 7, codec: codec, producer: noProducer, records: recs(3)}.encode(f)
		f.Add(raw, int64(8), int64(0), int64(0), true)
		f.Add(join(raw, raw[:len(raw)-1]), int64(0), int64(0), int64(0), false)
	}
	f.Add(join(
		batch{base: 0, attributes: transactional, producer: 1, records: recs(2)}.encode(f),
		batch{base: 2, attributes: transactional | control, producer: 1, records: recs(1)}.encode(f),
	), int64(0), int64(1), int64(0), true)
	f.Fuzz(func(t *testing.T, raw []byte, from, producer, aborted int64, mended bool) {
		if mended {
			mend(raw)
		}
		fetched := recordbatch.Fetched{
			Partition: 1, Raw: raw, From: from, Aborted: []recordbatch.Aborted{{ProducerID: producer, FirstOffset: aborted}},
		}
		records, next, err := recordbatch.Decode(nil, fetched)
		assert.GreaterOrEqual(t, next, from, "reading never goes back")
		least := from
		for i := range records {
			assert.GreaterOrEqual(t, records[i].Offset, least, "offsets ascend")
			least = records[i].Offset + 1
			for range records[i].Headers.All() { // that it ends is what is tested
			}
		}
		assert.LessOrEqual(t, least, next, "what is read next was not read yet")
		if err != nil {
			assert.Equal(t, from, next, "an error is that of the first batch: the others are handed out before")
			assert.Empty(t, records)
		}
		again, nextAgain, _ := recordbatch.Decode(make([]push.Record, 0, len(records)), fetched)
		assert.Equal(t, next, nextAgain)
		assert.Len(t, again, len(records))
	})
}
