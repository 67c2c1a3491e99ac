// Package gcpace sets how far the garbage collector lets the heap grow (GOGC) by what is
// to be done. A node that holds many idle connections wants little memory, and hardly
// allocates; one under load wants CPU, and has the memory. No single value serves both:
// docs/performance.md has what was measured.
package gcpace

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// interval is between two looks, and the least time between two collections that is
	// aimed at.
	interval = time.Second
	// pace bounds what collecting costs: it aims at looking at no more than that many
	// bytes a second. A core looks at a gigabyte a second or more, so that is a
	// twentieth of one at most.
	pace = 50 << 20
	// least and most are the bounds of GOGC: the heap may grow by that many percent of
	// what lives in it.
	least, most = 25, 400
	// usual is Go's own, from which on growth is bounded by room.
	usual = 100
	// room is how many bytes the heap may grow by, beyond what it might by the usual
	// value: with a lot that lives, a collection is no rarer for more.
	room = 256 << 20
)

// Start sets GOGC once a second until stop is called, which sets it to what it was. It
// does nothing where the environment has a GOGC of its own: whoever runs the process has
// decided. GOMEMLIMIT counts in any case: what comes near to it is collected earlier. One
// at a time: GOGC is the process's.
func Start() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	return start(debug.SetGCPercent, sampled)
}

func start(set func(percent int) (before int), sample func() usage) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		before := set(usual)
		defer set(before)
		percent, last := usual, sample()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			now := sample()
			if wanted := percentFor(now.allocated-last.allocated, now.live); differs(wanted, percent) {
				percent = wanted
				set(percent)
			}
			last = now
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}

// percentFor is the GOGC with which collections are as far apart as is aimed at where as
// much is allocated in each interval, within the bounds.
func percentFor(allocated, live uint64) int {
	if live == 0 {
		return usual
	}
	each := 100 / float64(live) // percent for each byte
	apart := max(1, float64(live)/pace)
	upper := min(most, max(usual, each*room))
	return int(math.Round(min(max(each*float64(allocated)*apart, least), upper)))
}

// differs says whether a change is worth it: each one stops the world for a moment.
func differs(wanted, percent int) bool {
	const worth = 5 // a fifth
	return wanted != percent && (wanted == least || worth*max(wanted-percent, percent-wanted) > percent)
}

// usage is what the heap has seen: bytes allocated since the start, and bytes that the
// last collection found alive, with what else it counts as reason to collect (stacks and
// globals).
type usage struct{ allocated, live uint64 }

func sampled() usage {
	samples := [...]metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}
	metrics.Read(samples[:])
	return usage{
		allocated: samples[0].Value.Uint64(),
		live:      samples[1].Value.Uint64() + samples[2].Value.Uint64() + samples[3].Value.Uint64(),
	}
}
