package e2e

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// durationVariable and seedVariable are how long a soak lasts (20m), and what
	// its faults are drawn from.
	durationVariable = "PUSHGATE_E2E_SOAK"
	seedVariable     = "PUSHGATE_E2E_SEED"

	// growth is by how much the median of a node's memory in the last third of a
	// soak may exceed that of the middle third.
	growth = 0.15
	// strays is by how many the goroutines of all nodes, at rest after a soak, may
	// exceed those before it.
	strays = 12
)

// soak has one fault after another, drawn at random, hit a deployment whose last
// gateway is never ended: its memory is looked at.
func soak(t *testing.T) {
	length, seed := soakOf(t)
	t.Logf("seed %d: make soak SEED=%d draws the same faults again", seed, seed)
	r, ok := newRig(t, plan{gateways: 3, users: 1000, rate: 1000, away: 8 * time.Second, patience: time.Minute})
	if !ok {
		return
	}
	before := r.rest()
	r.load()
	watched := r.watch(10 * time.Second)
	draw := rand.New(rand.NewPCG(seed, seed))
	for end := time.Now().Add(length); time.Now().Before(end); {
		between := func(from, to time.Duration) time.Duration { return from + time.Duration(draw.Int64N(int64(to-from))) }
		r.plan.calm = between(2*time.Second, 6*time.Second)
		r.plan.down = between(time.Second, 6*time.Second)
		r.plan.silence = between(7*time.Second, 15*time.Second)
		r.strike(r.drawn(draw))
		report(t, r.soaked(watched.samples())...)
	}
	samples := watched.stop()
	r.keepProfile("loaded")
	r.complete()
	r.disperse()
	report(t, r.soaked(samples)...)
	last := r.names[len(r.names)-1]
	r.flat(samples[last])
	var after state
	assert.True(t, poll(2*time.Minute, func() bool {
		after = r.rest()
		return after.goroutines <= before.goroutines+strays
	}), "goroutines of all nodes at rest: %d before, %d after", before.goroutines, after.goroutines)
	r.keepProfile("rest")
	t.Logf("goroutines of all nodes at rest: %d before, %d after", before.goroutines, after.goroutines)
}

func soakOf(t *testing.T) (length time.Duration, seed uint64) {
	t.Helper()
	length, err := time.ParseDuration(cmp.Or(os.Getenv(durationVariable), "20m"))
	require.NoError(t, err)
	seed, err = strconv.ParseUint(cmp.Or(os.Getenv(seedVariable), fmt.Sprint(rand.Uint32())), 10, 64)
	require.NoError(t, err)
	return length, seed
}

// drawn is a fault that does not end the last gateway.
func (r *rig) drawn(draw *rand.Rand) fault {
	mortal, gateway, broker := draw.IntN(len(r.nodes)-1), draw.IntN(len(r.nodes)), draw.IntN(len(r.kafka.Addresses()))
	all := []fault{
		killGateways(mortal), killGateways(mortal), flapping(mortal), restartGateways(mortal), stopGateway(gateway), hiccups(gateway),
		stopGateways(), killBrokers(broker), killBrokers(broker), killMajority(), killBoth(mortal, broker), stopBroker(broker),
		cut(), cut(), deafen(), slowClients(), vanishing(),
	}
	all = append(all, r.directoryFaults()...)
	return all[draw.IntN(len(all))]
}

// state is what a node uses.
type state struct {
	at                  time.Duration
	resident, heap      float64 // bytes
	goroutines          int
	sessions, custodian int
}

// look asks a node, after a garbage collection.
func look(ctx context.Context, n *node) (state, error) {
	if _, _, err := get(ctx, "http://"+n.admin+"/debug/pprof/heap?gc=1"); err != nil {
		return state{}, err
	}
	_, body, err := get(ctx, "http://"+n.admin+"/metrics")
	if err != nil {
		return state{}, err
	}
	value := func(name string) float64 {
		sum, _ := valueOf(body, name)
		return sum
	}
	_, partitions := valueOf(body, "pushgate_custody_lag")
	return state{
		resident: value("process_resident_memory_bytes"), heap: value("go_memstats_heap_inuse_bytes"),
		goroutines: int(value("go_goroutines")), sessions: int(value("pushgate_sessions")), custodian: partitions,
	}, nil
}

// rest sums up what all nodes use.
func (r *rig) rest() state {
	r.t.Helper()
	const settle = 5 * time.Second
	wait(settle)
	var sum state
	for _, n := range r.nodes {
		s, err := look(r.ctx, n)
		require.NoError(r.t, err)
		sum.goroutines += s.goroutines
		r.t.Logf("%s at rest: %d goroutines, custodian of %d partitions, %s MiB of heap, %s MiB resident",
			n.id, s.goroutines, s.custodian, mebibytes(s.heap), mebibytes(s.resident))
	}
	return sum
}

// keepProfile keeps the heap profile of the gateway that was never ended, where
// things are kept.
func (r *rig) keepProfile(name string) {
	r.t.Helper()
	dir := os.Getenv(keepVariable)
	if dir == "" {
		return
	}
	_, body, err := get(r.ctx, "http://"+r.nodes[len(r.nodes)-1].admin+"/debug/pprof/heap?gc=1")
	require.NoError(r.t, err)
	require.NoError(r.t, os.WriteFile(filepath.Join(dir, "heap-"+name+".pb.gz"), []byte(body), 0o600))
}

// watch looks at the nodes at regular times.
type watch struct {
	end   context.CancelFunc
	done  sync.WaitGroup
	mu    sync.Mutex
	found map[string][]state
}

func (r *rig) watch(every time.Duration) *watch {
	ctx, end := context.WithCancel(r.ctx)
	w := &watch{end: end, found: map[string][]state{}}
	nodes := slices.Clone(r.nodes) // their addresses stay
	began := time.Now()
	w.done.Go(func() {
		for ctx.Err() == nil {
			pause(ctx, every)
			for _, n := range nodes {
				s, err := look(ctx, n)
				if err != nil {
					continue // It is dead or stopped at the moment.
				}
				s.at = time.Since(began)
				w.mu.Lock()
				w.found[n.id] = append(w.found[n.id], s)
				w.mu.Unlock()
			}
		}
	})
	r.t.Cleanup(func() { w.stop() })
	return w
}

func (w *watch) stop() map[string][]state {
	w.end()
	w.done.Wait()
	return w.samples()
}

func (w *watch) samples() map[string][]state {
	w.mu.Lock()
	defer w.mu.Unlock()
	clone := map[string][]state{}
	for k, v := range w.found {
		clone[k] = slices.Clone(v)
	}
	return clone
}

// flat compares the last third of the samples with the middle one.
func (r *rig) flat(samples []state) {
	r.t.Helper()
	require.NotEmpty(r.t, samples)
	length := samples[len(samples)-1].at
	for name, of := range map[string]func(state) float64{
		"resident memory": func(s state) float64 { return s.resident },
		"heap":            func(s state) float64 { return s.heap },
		"goroutines":      func(s state) float64 { return float64(s.goroutines) },
	} {
		middle, last := median(samples, of, length/3, 2*length/3), median(samples, of, 2*length/3, length)
		r.t.Logf("%s of the gateway that was never ended: %.0f in the middle third, %.0f in the last (medians)", name, middle, last)
		assert.LessOrEqual(r.t, last, middle*(1+growth), "%s grows", name)
	}
}

func median(samples []state, of func(state) float64, from, to time.Duration) float64 {
	var all []float64
	for _, s := range samples {
		if s.at >= from && s.at <= to {
			all = append(all, of(s))
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// soaked is the report: the faults by kind, and the last gateway over time.
func (r *rig) soaked(samples map[string][]state) []string {
	lines := []string{
		"| fault | times | messages | lost | repeats | longest until seen | last one after the fault's end | unexplained |",
		"| --- | --- | --- | --- | --- | --- | --- | --- |",
	}
	kinds := map[string][]row{}
	for _, one := range r.rows {
		kinds[one.name] = append(kinds[one.name], one)
	}
	line := func(name string, rows []row) string {
		var s sum
		unexplained := 0
		for _, one := range rows {
			s.accepted += one.accepted
			s.lost += one.lost
			s.repeats += one.repeats
			s.longest = max(s.longest, one.longest)
			s.last = max(s.last, one.last)
			unexplained += len(one.ledger.Unexplained)
		}
		return fmt.Sprintf("| %s | %d | %d | %d | %d | %s s | %s s | %d |",
			name, len(rows), s.accepted, s.lost, s.repeats, seconds(s.longest), seconds(s.last), unexplained)
	}
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lines = append(lines, line(name, kinds[name]))
	}
	lines = append(lines, line("all", r.rows), "",
		"| after | resident | heap in use | goroutines | connections | custodian of partitions |",
		"| --- | --- | --- | --- | --- | --- |")
	const every = time.Minute
	next := time.Duration(0)
	for _, s := range samples[r.names[len(r.names)-1]] {
		if s.at < next {
			continue
		}
		next = s.at.Truncate(every) + every
		lines = append(lines, fmt.Sprintf("| %s | %s MiB | %s MiB | %d | %d | %d |", s.at.Round(time.Second), mebibytes(s.resident),
			mebibytes(s.heap), s.goroutines, s.sessions, s.custodian))
	}
	return lines
}

func mebibytes(b float64) string { return fmt.Sprintf("%.1f", b/(1<<20)) }
