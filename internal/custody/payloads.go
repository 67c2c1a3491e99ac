package custody

import (
	"sync"

	"pushgate/internal/push"
)

// payloadCacheBytes bounds what one partition keeps of waiting messages, so that
// a user who is back within moments is served without a look into the log; and, in
// targeted routing, of requests that are to be carried.
const payloadCacheBytes = 4 << 20

// payloads keeps the latest records of one log, oldest out first. What is not here
// is read from the log. Safe for concurrent use.
type payloads struct {
	mu      sync.Mutex
	limit   int
	bytes   int
	order   []int64 // offsets, oldest first
	records map[int64]push.Record
}

func newPayloads(limit int) *payloads {
	return &payloads{limit: limit, records: make(map[int64]push.Record)}
}

// put keeps the record at an offset. The record is copied.
func (c *payloads) put(at int64, rec push.Record) {
	size := rec.Size()
	if size > c.limit {
		return
	}
	kept := rec.Clone()
	kept.Offset = at
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.records[at]; ok {
		return
	}
	c.records[at] = kept
	c.order = append(c.order, at)
	for c.bytes += size; c.bytes > c.limit; {
		oldest := c.records[c.order[0]]
		c.bytes -= oldest.Size()
		delete(c.records, c.order[0])
		c.order = c.order[1:]
	}
}

func (c *payloads) get(at int64) (push.Record, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec, ok := c.records[at]
	return rec, ok
}
