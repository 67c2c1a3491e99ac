package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// unit of the histograms.
	unit = time.Microsecond
	// longest is what anything longer counts as.
	longest = 10 * time.Minute
	// figures is how many significant digits a value keeps.
	figures = 3
	// shards of a recorder, so that receivers do not wait for each other.
	shards = 8
)

// recorder gathers times from many goroutines.
type recorder struct {
	shards [shards]struct {
		mu sync.Mutex
		h  *hdrhistogram.Histogram
	}
}

func newRecorder() *recorder {
	r := &recorder{}
	for i := range r.shards {
		r.shards[i].h = hdrhistogram.New(1, int64(longest/unit), figures)
	}
	return r
}

// record notes n times of the same length; by says who does, to spread the locks.
func (r *recorder) record(by int, d time.Duration, n int64) {
	s := &r.shards[uint(by)%shards]
	v := int64(min(max(d, 0), longest) / unit)
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.h.RecordValues(v, n) // v is within the bounds
}

func (r *recorder) distribution() Distribution {
	all := hdrhistogram.New(1, int64(longest/unit), figures)
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		all.Merge(s.h)
		s.mu.Unlock()
	}
	return Distribution{h: all}
}

// Distribution of times. The zero value is empty.
type Distribution struct{ h *hdrhistogram.Histogram }

// Count is how many times it holds.
func (d Distribution) Count() int64 {
	if d.h == nil {
		return 0
	}
	return d.h.TotalCount()
}

// At returns the time that percent of all do not exceed; 100 is the longest.
func (d Distribution) At(percent float64) time.Duration {
	if d.Count() == 0 {
		return 0
	}
	return time.Duration(d.h.ValueAtPercentile(percent)) * unit
}

// Plot writes the distribution in the form that HdrHistogram's plotter reads,
// in milliseconds.
func (d Distribution) Plot(w io.Writer) error {
	if d.h == nil {
		return nil
	}
	const ticks = 5
	if _, err := d.h.PercentilesPrint(w, ticks, float64(time.Millisecond/unit)); err != nil {
		return fmt.Errorf("writing the histogram: %w", err)
	}
	return nil
}

// MarshalJSON gives milliseconds.
func (d Distribution) MarshalJSON() ([]byte, error) {
	ms := func(percent float64) float64 { return float64(d.At(percent)) / float64(time.Millisecond) }
	out, err := json.Marshal(struct {
		Count int64   `json:"count"`
		P50   float64 `json:"p50_ms"`
		P90   float64 `json:"p90_ms"`
		P99   float64 `json:"p99_ms"`
		P999  float64 `json:"p99_9_ms"`
		Max   float64 `json:"max_ms"`
	}{d.Count(), ms(50), ms(90), ms(99), ms(99.9), ms(100)}) //nolint:mnd // the percentiles named beside them
	if err != nil {
		return nil, fmt.Errorf("encoding a distribution: %w", err)
	}
	return out, nil
}
