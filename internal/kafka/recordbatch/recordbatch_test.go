package recordbatch_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pushgate/internal/kafka/recordbatch"
	"pushgate/internal/push"
)

func decode(t *testing.T, f recordbatch.Fetched) (records []push.Record, next int64) {
	t.Helper()
	records, next, err := recordbatch.Decode(nil, f)
	require.NoError(t, err)
	return records, next
}

func values(records []push.Record) []string {
	list := []string{}
	for _, r := range records {
		list = append(list, string(r.Value))
	}
	return list
}

func offsetsOf(records []push.Record) []int64 {
	list := []int64{}
	for _, r := range records {
		list = append(list, r.Offset)
	}
	return list
}

func codecs() map[string]kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
}

func TestWhatAnotherClientEncodesIsReadBackWhateverTheCompression(t *testing.T) {
	for name, codec := range codecs() {
		t.Run(name, func(t *testing.T) {
			raw := batch{base: 40, codec: codec, producer: noProducer, records: []kmsg.Record{
				rec(0, "alice", `{"n":1}`, kmsg.Header{Key: "ce_id", Value: []byte("a")}, kmsg.Header{Key: "none"}),
				rec(1, "bob", strings.Repeat("long ", 5000)),
				rec(7, "", ""),
			}}.encode(t)
			records, next := decode(t, recordbatch.Fetched{Partition: 3, Raw: raw, From: 40})
			assert.Equal(t, int64(48), next)
			require.Len(t, records, 3)
			assert.Equal(t, push.Record{
				Partition: 3, Offset: 40, Time: time.UnixMilli(first), Key: []byte("alice"), Value: []byte(`{"n":1}`),
				Headers: push.NewHeaders(push.Header{Key: "ce_id", Value: []byte("a")}, push.Header{Key: "none"}),
			}, records[0])
			assert.Equal(t, strings.Repeat("long ", 5000), string(records[1].Value))
			assert.Equal(t, int64(47), records[2].Offset, "offsets may have gaps")
			assert.Equal(t, time.UnixMilli(first+7000), records[2].Time)
		})
	}
}

func TestNullAndEmptyAreNotTheSame(t *testing.T) {
	raw := batch{producer: noProducer, records: []kmsg.Record{
		{Key: nil, Value: []byte{}}, {OffsetDelta: 1, Key: []byte{}, Value: nil},
	}}.encode(t)
	records, _ := decode(t, recordbatch.Fetched{Raw: raw})
	require.Len(t, records, 2)
	assert.Nil(t, records[0].Key)
	assert.NotNil(t, records[0].Value)
	assert.NotNil(t, records[1].Key)
	assert.Nil(t, records[1].Value)
}

func TestWhereTheTopicKeepsTheBrokersTimeItIsTaken(t *testing.T) {
	raw := batch{attributes: logAppendTime, producer: noProducer, records: recs(3)}.encode(t)
	records, _ := decode(t, recordbatch.Fetched{Raw: raw})
	for _, r := range records {
		assert.Equal(t, time.UnixMilli(first+60_000), r.Time)
	}
}

func TestAReadBeginsInTheMiddleOfABatch(t *testing.T) {
	raw := join(
		batch{base: 0, producer: noProducer, records: recs(3)}.encode(t),
		batch{base: 3, producer: noProducer, records: recs(3)}.encode(t),
	)
	records, next := decode(t, recordbatch.Fetched{Raw: raw, From: 4})
	assert.Equal(t, []int64{4, 5}, offsetsOf(records))
	assert.Equal(t, int64(6), next)
}

func TestABatchThatWasCutOffIsLeftForTheNextRead(t *testing.T) {
	whole := batch{base: 0, producer: noProducer, records: recs(3)}.encode(t)
	second := batch{base: 3, producer: noProducer, records: recs(3)}.encode(t)
	for cut := range second {
		records, next := decode(t, recordbatch.Fetched{Raw: join(whole, second[:cut])})
		assert.Len(t, records, 3, "cut at %d", cut)
		assert.Equal(t, int64(3), next, "cut at %d", cut)
	}
	records, next := decode(t, recordbatch.Fetched{Raw: whole[:len(whole)-1], From: 2})
	assert.Empty(t, records)
	assert.Equal(t, int64(2), next)
}

func TestNothingIsReadAsNothing(t *testing.T) {
	records, next := decode(t, recordbatch.Fetched{From: 9})
	assert.Empty(t, records)
	assert.Equal(t, int64(9), next)
}

func TestRecordsAreAppendedToWhatIsThere(t *testing.T) {
	raw := batch{base: 5, producer: noProducer, records: recs(1)}.encode(t)
	records, _, err := recordbatch.Decode([]push.Record{{Offset: 1}}, recordbatch.Fetched{Raw: raw, From: 5})
	require.NoError(t, err)
	assert.Equal(t, []int64{1, 5}, offsetsOf(records))
}

func TestABatchThatCannotBeRightIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*kmsg.RecordBatch)
		says  string
	}{
		"an old format":          {func(b *kmsg.RecordBatch) { b.Magic = 1 }, "format 1"},
		"an unknown compression": {func(b *kmsg.RecordBatch) { b.Attributes = 7 }, "unknown compression"},
		"no compressed bytes":    {func(b *kmsg.RecordBatch) { b.Attributes = 1 }, "inflating gzip"},
		"ends before it begins":  {func(b *kmsg.RecordBatch) { b.LastOffsetDelta = -1 }, "ends at"},
		"ends after all offsets": {func(b *kmsg.RecordBatch) { b.FirstOffset = math.MaxInt64 - 2 }, "ends at"},
		"more records than said": {func(b *kmsg.RecordBatch) { b.NumRecords = 4 }, "ends early"},
		"offsets past its end":   {func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 1 }, "do not ascend"},
		"bytes that are none":    {func(b *kmsg.RecordBatch) { b.Records = []byte{0xff, 0xff} }, "ends early"},
		"offsets that repeat": {func(b *kmsg.RecordBatch) {
			b.Records = appendRecord(appendRecord(nil, rec(2, "u", "a")), rec(2, "u", "b"))
			b.NumRecords = 2
		}, "do not ascend"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := batch{producer: noProducer, records: recs(3), spoil: row.spoil}.encode(t)
			records, next, err := recordbatch.Decode(nil, recordbatch.Fetched{Raw: raw})
			require.ErrorContains(t, err, row.says)
			assert.Empty(t, records)
			assert.Zero(t, next)
		})
	}
}

func TestABitThatFlippedIsSeenByTheChecksum(t *testing.T) {
	whole := batch{producer: noProducer, records: recs(3)}.encode(t)
	for at := 21; at < len(whole); at++ {
		raw := slices.Clone(whole)
		raw[at] ^= 1
		_, _, err := recordbatch.Decode(nil, recordbatch.Fetched{Raw: raw})
		assert.ErrorContains(t, err, "checksum", "byte %d", at)
	}
}

func TestALengthThatCannotBeIsRefused(t *testing.T) {
	raw := batch{producer: noProducer, records: recs(1)}.encode(t)
	raw[8], raw[9], raw[10], raw[11] = 0xff, 0xff, 0xff, 0xff
	_, _, err := recordbatch.Decode(nil, recordbatch.Fetched{Raw: raw})
	require.ErrorContains(t, err, "batch of -1 bytes")
}

func TestABadBatchDoesNotHoldBackTheGoodOnesBeforeIt(t *testing.T) {
	good := batch{base: 0, producer: noProducer, records: recs(3)}.encode(t)
	// Its first two records can be decoded; that must not be seen.
	bad := batch{base: 3, producer: noProducer, records: recs(2), spoil: func(b *kmsg.RecordBatch) { b.NumRecords = 3 }}.encode(t)
	records, next := decode(t, recordbatch.Fetched{Raw: join(good, bad)})
	assert.Equal(t, []int64{0, 1, 2}, offsetsOf(records))
	assert.Equal(t, int64(3), next)
	_, next, err := recordbatch.Decode(nil, recordbatch.Fetched{Raw: join(good, bad), From: next})
	require.ErrorContains(t, err, "record batch at 3")
	assert.Equal(t, int64(3), next)
}

func TestNoOffsetIsHandedOutTwice(t *testing.T) {
	one := batch{base: 0, producer: noProducer, records: recs(3)}.encode(t)
	overlapping := batch{base: 1, producer: noProducer, records: recs(4)}.encode(t)
	records, next := decode(t, recordbatch.Fetched{Raw: join(one, one, overlapping, one)})
	assert.Equal(t, []int64{0, 1, 2, 3, 4}, offsetsOf(records))
	assert.Equal(t, int64(5), next)
	bad := batch{base: 0, producer: noProducer, records: recs(3), spoil: func(b *kmsg.RecordBatch) { b.NumRecords = 9 }}.encode(t)
	_, next = decode(t, recordbatch.Fetched{Raw: join(one, bad, overlapping)})
	assert.Equal(t, int64(5), next, "what was read is not even looked at again")
}

// log is a partition as a broker keeps it: batches, and which of them belong to
// transactions that were aborted.
type log struct {
	t       *testing.T
	batches [][]byte
	bases   []int64
	next    int64
	aborted []recordbatch.Aborted
	ends    []int64         // of the aborted transactions: their markers
	open    map[int64]int64 // first offset by producer
}

func (l *log) add(b batch, size int64) {
	b.base = l.next
	l.batches = append(l.batches, b.encode(l.t))
	l.bases = append(l.bases, l.next)
	l.next += size
}

// write appends a batch of two records of a transaction, or of none.
func (l *log) write(producer int64, value string) {
	attributes := int16(0)
	if producer != noProducer {
		attributes = transactional
		if _, ok := l.open[producer]; !ok {
			l.open[producer] = l.next
		}
	}
	l.add(batch{attributes: attributes, producer: producer, records: []kmsg.Record{rec(0, "u", value+"a"), rec(1, "u", value+"b")}}, 2)
}

func (l *log) end(producer int64, commit bool) {
	from, ok := l.open[producer]
	if !ok {
		return
	}
	delete(l.open, producer)
	marker := kmsg.Record{Key: []byte{0, 0, 0, 0}, Value: []byte{0, 0, 0, 0, 0, 0}}
	if commit {
		marker.Key[3] = 1
	} else {
		l.aborted = append(l.aborted, recordbatch.Aborted{ProducerID: producer, FirstOffset: from})
		l.ends = append(l.ends, l.next)
	}
	l.add(batch{attributes: transactional | control, producer: producer, records: []kmsg.Record{marker}}, 1)
}

// fetch is what a broker answers: whole batches from the one that holds from on,
// and the aborted transactions that reach into them.
func (l *log) fetch(from int64, batches int) recordbatch.Fetched {
	f := recordbatch.Fetched{From: from}
	end := from
	for i, b := range l.batches {
		last := l.next
		if i+1 < len(l.bases) {
			last = l.bases[i+1]
		}
		if last > from && batches > 0 {
			f.Raw = append(f.Raw, b...)
			end = last
			batches--
		}
	}
	for i, a := range l.aborted {
		if l.ends[i] >= from && a.FirstOffset < end {
			f.Aborted = append(f.Aborted, a)
		}
	}
	// Brokers name them by their markers; only the order by first offset is
	// promised to us.
	slices.SortFunc(f.Aborted, func(a, b recordbatch.Aborted) int { return int(a.FirstOffset - b.FirstOffset) })
	return f
}

func TestRecordsOfAbortedTransactionsDoNotCountHoweverReadsAreCut(t *testing.T) {
	l := &log{t: t, open: map[int64]int64{}}
	const shop, bank = 11, 12
	l.write(noProducer, "plain")
	l.write(shop, "aborted1")
	l.write(bank, "kept1")
	l.write(shop, "aborted2")
	l.end(shop, false)
	l.write(shop, "kept2")
	l.end(bank, true)
	l.end(shop, true)
	l.write(bank, "aborted3")
	l.write(noProducer, "between")
	l.end(bank, false)
	l.write(bank, "kept3")
	l.end(bank, true)
	want := []string{"plaina", "plainb", "kept1a", "kept1b", "kept2a", "kept2b", "betweena", "betweenb", "kept3a", "kept3b"}
	for perRead := 1; perRead <= len(l.batches); perRead++ {
		got := []string{}
		for next := int64(0); next < l.next; {
			records, after := decode(t, l.fetch(next, perRead))
			require.Greater(t, after, next, "a read must get on")
			got, next = append(got, values(records)...), after
		}
		assert.Equal(t, want, got, "%d batches a read", perRead)
	}
}

// A read that begins at the marker is told of the aborted transaction, though
// none of its records are there.
func TestAnAbortedTransactionDoesNotTakeTheNextOneOfItsProducerWithIt(t *testing.T) {
	l := &log{t: t, open: map[int64]int64{}}
	l.write(1, "aborted")
	l.end(1, false)
	l.write(1, "kept")
	l.end(1, true)
	records, _ := decode(t, l.fetch(2, 100))
	assert.Equal(t, []string{"kepta", "keptb"}, values(records))
}

func TestUncompressedBatchesAreDecodedWithoutAllocating(t *testing.T) {
	raw := batch{producer: noProducer, records: recs(100)}.encode(t)
	records := make([]push.Record, 0, 100)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		records, _, _ = recordbatch.Decode(records[:0], recordbatch.Fetched{Raw: raw})
	}))
	assert.Len(t, records, 100)
}

// BenchmarkDecode is what reading and dropping costs before a hub is asked.
func BenchmarkDecode(b *testing.B) {
	list := make([]kmsg.Record, 0, 1000)
	for i := range int32(1000) {
		list = append(list, rec(i, fmt.Sprint("user", i), strings.Repeat("x", 200),
			kmsg.Header{Key: "ce_id", Value: []byte("0198c5f2-7a3e-7c11-9f0e-6f1d2a3b4c5d")},
			kmsg.Header{Key: "ce_type", Value: []byte("order")},
			kmsg.Header{Key: "content-type", Value: []byte("application/json")}))
	}
	all := codecs()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.Run(name, func(b *testing.B) {
			raw := batch{codec: all[name], producer: noProducer, records: list}.encode(b)
			records := make([]push.Record, 0, len(list))
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				var err error
				records, _, err = recordbatch.Decode(records[:0], recordbatch.Fetched{Raw: raw})
				if err != nil || len(records) != len(list) {
					b.Fatal(err, len(records))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/record")
		})
	}
}
