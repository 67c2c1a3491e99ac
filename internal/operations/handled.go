package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/internal/push"
)

// Handling is what was done to a dead letter last.
type Handling uint8

// Open: nothing. The others say what an operator did.
const (
	Open Handling = iota
	Replayed
	Discarded
)

func (h Handling) String() string {
	switch h {
	case Open:
		return "open"
	case Replayed:
		return "replayed"
	case Discarded:
		return "discarded"
	default:
		return fmt.Sprintf("handling(%d)", h)
	}
}

// handledRecord says which letters of a partition were handled.
type handledRecord struct {
	Operation string `json:"operation"`
	Kind      Kind   `json:"kind"`
	// Runs are pairs: the first offset, and how many from there on.
	Runs []int64 `json:"runs"`
}

func runsOf(offsets []int64) []int64 {
	var runs []int64
	for _, o := range offsets {
		if n := len(runs); n > 0 && runs[n-2]+runs[n-1] == o {
			runs[n-1]++
			continue
		}
		runs = append(runs, o, 1)
	}
	return runs
}

// each calls do for each run, as far as the record makes sense.
func (h *handledRecord) each(do func(first, count int64)) {
	for i := 0; i+1 < len(h.Runs); i += 2 {
		if h.Runs[i] >= 0 && h.Runs[i+1] > 0 {
			do(h.Runs[i], h.Runs[i+1])
		}
	}
}

func parseHandled(rec *push.Record) (handledRecord, bool) {
	var h handledRecord
	ok := rec.Headers.Text(push.HeaderKind) == kindHandled && json.Unmarshal(rec.Value, &h) == nil && h.Kind.letters()
	return h, ok
}

// Handled writes down that the operation has handled letters of a partition, by
// ascending offsets. It returns when that is durable.
func (r *Run) Handled(ctx context.Context, partition int32, offsets []int64) error {
	r.mu.Lock()
	h := handledRecord{Operation: r.op.ID, Kind: r.op.Kind, Runs: runsOf(offsets)}
	r.mu.Unlock()
	value, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("recording what is handled: %w", err)
	}
	_, err = r.log.put(ctx, partition, recordOf(kindHandled, h.Operation, value))
	return err
}

// Letters is what is known of the letters of some partitions: what was handled until
// it was asked for. Safe for concurrent use.
type Letters struct{ partitions map[int32]*handled }

// Letters reads which letters of the partitions are handled: what was written since
// the last time.
func (l *Log) Letters(ctx context.Context, partitions []int32) (*Letters, error) {
	const concurrent = 8
	found := &Letters{partitions: make(map[int32]*handled, len(partitions))}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrent)
	for _, p := range partitions {
		one := l.partition(p)
		found.partitions[p] = one
		group.Go(func() error { return one.catchUp(ctx, l, p) })
	}
	return found, group.Wait()
}

func (l *Log) partition(p int32) *handled {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.handled[p]
	if one == nil {
		one = &handled{reading: make(chan struct{}, 1), blocks: make(map[int64]*block)}
		l.handled[p] = one
	}
	return one
}

// Of returns what was done to the letter at an offset, which was written at a time.
func (l *Letters) Of(partition int32, offset int64, written time.Time) Handling {
	one := l.partitions[partition]
	if one == nil {
		return Open
	}
	return one.of(offset, written)
}

// By returns the operation that handled a letter last, and how; Open where none did.
// It reads all that is kept about the partition.
func (l *Log) By(ctx context.Context, partition int32, offset int64) (id string, h Handling, err error) {
	if there, err := l.has(ctx, partition); err != nil || !there {
		return "", Open, err
	}
	start, end, err := l.records.Bounds(ctx, l.topic, partition)
	if err != nil {
		return "", Open, fmt.Errorf("looking for what was done to a letter: %w", err)
	}
	err = l.each(ctx, partition, start, end, func(rec *push.Record) {
		record, ok := parseHandled(rec)
		if !ok {
			return
		}
		record.each(func(first, count int64) {
			if offset >= first && offset < first+count {
				id, h = record.Operation, handlingOf(record.Kind)
			}
		})
	})
	return id, h, err
}

func handlingOf(k Kind) Handling {
	if k == Discard {
		return Discarded
	}
	return Replayed
}

// handled are the handled letters of one partition: when, and how, in blocks that are
// there where a letter is handled. It takes some four bytes a letter.
type handled struct {
	// reading holds a value while somebody catches up. It is waited for with a context:
	// whoever reads may wait for Kafka, without an end.
	reading chan struct{}
	next    int64 // where to read on; of reading

	mu     sync.RWMutex
	blocks map[int64]*block
}

const blockLetters = 512

type block struct {
	// at is when each letter was handled, in Unix seconds; 0: it is open.
	at        [blockLetters]uint32
	discarded [blockLetters / 64]uint64
}

func (h *handled) catchUp(ctx context.Context, l *Log, partition int32) error {
	select {
	case h.reading <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for what is handled: %w", ctx.Err())
	}
	defer func() { <-h.reading }()
	if there, err := l.has(ctx, partition); err != nil || !there {
		return err
	}
	start, end, err := l.records.Bounds(ctx, l.topic, partition)
	if err != nil {
		return fmt.Errorf("finding what is handled: %w", err)
	}
	if end < h.next { // the topic was made anew
		h.mu.Lock()
		clear(h.blocks)
		h.mu.Unlock()
		h.next = 0
	}
	err = l.each(ctx, partition, max(start, h.next), end, func(rec *push.Record) {
		if record, ok := parseHandled(rec); ok {
			record.each(func(first, count int64) { h.set(first, count, handlingOf(record.Kind), rec.Time) })
		}
	})
	if err == nil {
		h.next = end
	}
	return err
}

func (h *handled) set(first, count int64, as Handling, at time.Time) {
	const most = 1 << 20 // of one run: more is no progress of ours
	h.mu.Lock()
	defer h.mu.Unlock()
	for offset := first; offset < first+min(count, most); offset++ {
		b := h.blocks[offset/blockLetters]
		if b == nil {
			b = &block{}
			h.blocks[offset/blockLetters] = b
		}
		b.at[offset%blockLetters] = uint32(max(at.Unix(), 1)) //nolint:gosec // good until 2106
		word, bit := offset%blockLetters/64, uint64(1)<<(offset%64)
		if as == Discarded {
			b.discarded[word] |= bit
		} else {
			b.discarded[word] &^= bit
		}
	}
}

// of: a letter that was written after the one at its offset was handled cannot be
// meant. The topic of dead letters was made anew then, and its offsets began again.
func (h *handled) of(offset int64, written time.Time) Handling {
	h.mu.RLock()
	defer h.mu.RUnlock()
	b := h.blocks[offset/blockLetters]
	if b == nil {
		return Open
	}
	at := b.at[offset%blockLetters]
	switch {
	case at == 0 || written.After(time.Unix(int64(at), 0).Add(clockMargin)):
		return Open
	case b.discarded[offset%blockLetters/64]&(1<<(offset%64)) != 0:
		return Discarded
	default:
		return Replayed
	}
}
