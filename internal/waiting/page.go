package waiting

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgate/internal/push"
)

// Page is a part of what waits.
type Page struct {
	// Waits by partition, and there in the order in which they were offered last.
	Waits []Wait `json:"waits"`
	// Next is the cursor of the next page, empty at the end.
	Next string `json:"next"`
	// Complete: nothing follows.
	Complete bool `json:"complete"`
	// Malformed records of the retry topic were passed over.
	Malformed int `json:"malformed,omitempty"`
}

// pageTime is after how long a page that is not full yet is handed out: between
// partitions only.
const pageTime = 800 * time.Millisecond

// maxPage bounds a page.
const maxPage = 1000

// Page returns up to limit waits, from a cursor on; "" is the beginning. One partition
// at a time is read, whole. A page may be short, or empty, and have a Next. It waits
// for others who page or count, and returns a *BadRequestError for a filter or cursor that is none.
func (s *Store) Page(ctx context.Context, f Filter, limit int, cursor string) (Page, error) {
	if err := f.check(); err != nil {
		return Page{}, err
	}
	at, err := parseCursor(cursor)
	if err != nil {
		return Page{}, err
	}
	limit = min(max(limit, 1), maxPage)
	numbers, err := s.partitions(ctx, f)
	if err != nil {
		return Page{}, err
	}
	leave, err := s.take(ctx)
	if err != nil {
		return Page{}, err
	}
	defer leave()
	began := time.Now()
	page := Page{Waits: []Wait{}}
	for _, number := range numbers {
		if number < at.partition {
			continue
		}
		if page.full(limit) || len(page.Waits) > 0 && time.Since(began) > pageTime {
			page.Next = place{partition: number}.String()
			return page, nil
		}
		x, err := s.scan(ctx, number, f, began)
		if err != nil {
			return page, fmt.Errorf("partition %d: %w", number, err)
		}
		if page.add(x, at, limit); page.Next != "" {
			return page, nil
		}
	}
	page.Complete = true
	return page, nil
}

// add takes over what of a partition fits, from a place on.
func (p *Page) add(x *index, from place, limit int) {
	p.Malformed += x.malformed
	for _, origin := range x.origins() {
		switch {
		case x.partition == from.partition && origin < from.origin:
		case p.full(limit):
			p.Next = place{x.partition, origin}.String()
			return
		default:
			p.Waits = append(p.Waits, x.waits[origin].wait(x.partition, origin))
		}
	}
}

func (p *Page) full(limit int) bool { return len(p.Waits) >= limit }

// place is where a page begins.
type place struct {
	partition int32
	origin    int64
}

func (p place) String() string { return fmt.Sprintf("%d-%d", p.partition, p.origin) }

func parseCursor(text string) (place, error) {
	if text == "" {
		return place{}, nil
	}
	a, b, ok := strings.Cut(text, "-")
	partition, err1 := strconv.ParseInt(a, 10, 32)
	origin, err2 := strconv.ParseInt(b, 10, 64)
	if !ok || err1 != nil || err2 != nil || partition < 0 || origin < 0 {
		return place{}, &BadRequestError{fmt.Sprintf("cursor %q is none that a page has named as its next", text)}
	}
	return place{int32(partition), origin}, nil
}

// Each calls do for everything a filter takes, one partition after the other. It holds
// the index of one partition in memory.
func (s *Store) Each(ctx context.Context, f Filter, do func(Wait) error) (malformed int, err error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	numbers, err := s.partitions(ctx, f)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	for _, number := range numbers {
		x, err := s.scan(ctx, number, f, now)
		if err != nil {
			return malformed, fmt.Errorf("partition %d: %w", number, err)
		}
		malformed += x.malformed
		for _, origin := range x.origins() {
			if err := do(x.waits[origin].wait(number, origin)); err != nil {
				return malformed, err
			}
		}
	}
	return malformed, nil
}

// fillBytes bounds what Fill reads at once: a page of many large messages must not take
// the memory of a node that delivers.
const fillBytes = 4 << 20

// Fill reads payload and headers of waits, in order, until it has read 4 MiB; those that
// follow stay as they are, with their Size, and so do those whose record the log does not
// hold any more, because they were written anew or trimmed since. The first is read
// whatever its size. It returns how many it has looked at.
func (s *Store) Fill(ctx context.Context, waits []Wait) (int, error) {
	for n, bytes := 0, 0; n < len(waits); n++ {
		if bytes += waits[n].Size; bytes > fillBytes && n > 0 {
			waits = waits[:n]
		}
	}
	byPartition := make(map[int32][]int64)
	for i := range waits {
		byPartition[waits[i].Partition] = append(byPartition[waits[i].Partition], waits[i].At)
	}
	type at struct {
		partition int32
		offset    int64
	}
	found := make(map[at]push.Record)
	for number, offsets := range byPartition {
		slices.Sort(offsets)
		records, err := s.p.Log.Find(ctx, s.p.Topics.Retry, number, slices.Compact(offsets))
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", s.p.Topics.Retry, err)
		}
		for _, rec := range records {
			found[at{number, rec.Offset}] = rec
		}
	}
	for i := range waits {
		if rec, ok := found[at{waits[i].Partition, waits[i].At}]; ok {
			waits[i].Data, waits[i].Headers = rec.Value, rec.Headers.List()
		}
	}
	return len(waits), nil
}
