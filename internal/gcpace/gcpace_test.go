package gcpace

import (
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheHeapGrowsByWhatIsAllocatedInASecondWithinBounds(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		allocated, live uint64
		want            int
	}{
		"idle":                             {allocated: 0, live: 20 * mib, want: 25},
		"hardly anything to do":            {allocated: 2 * mib, live: 20 * mib, want: 25},
		"busy":                             {allocated: 50 * mib, live: 20 * mib, want: 250},
		"very busy":                        {allocated: 500 * mib, live: 20 * mib, want: 400},
		"very busy, with a lot that lives": {allocated: 2000 * mib, live: 128 * mib, want: 200},
		"very busy, with more than that":   {allocated: 9000 * mib, live: 4000 * mib, want: 100},
		"idle, with a lot that lives":      {allocated: 5 * mib, live: 1000 * mib, want: 25},
		"not quite idle, with a lot":       {allocated: 25 * mib, live: 1000 * mib, want: 50},
		"before the first collection":      {allocated: 3 * mib, live: 0, want: 100},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, percentFor(c.allocated, c.live)) })
	}
}

// process is a heap of which a test says how it is used.
type process struct {
	mu   sync.Mutex
	now  usage
	sets []int
}

func (p *process) allocate(bytes uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.allocated += bytes
}

func (p *process) sample() usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *process) set(percent int) (before int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before = 77
	if n := len(p.sets); n > 0 {
		before = p.sets[n-1]
	}
	p.sets = append(p.sets, percent)
	return before
}

func TestItFollowsTheLoadAndPutsBackWhatItFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &process{now: usage{live: 10 << 20}}
		stop := start(p.set, p.sample)
		for _, percent := range []uint64{0, 0, 300, 310, 900, 900, 390, 0, 0} {
			<-time.After(interval / 2)
			p.allocate(percent * (10 << 20) / 100)
			<-time.After(interval / 2)
			synctest.Wait()
		}
		stop()
		assert.Equal(t, []int{100, 25, 300, 400, 25, 77}, p.sets, "small changes are not worth stopping the world")
	})
}

func TestWhoeverSetsGOGCHasDecided(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "100")
	Start()()
	assert.Equal(t, 100, debug.SetGCPercent(100))
}

func TestTheRuntimeSaysHowItsHeapIsUsed(t *testing.T) {
	t.Setenv("GOGC", "")
	stop := Start()
	defer stop()
	u := sampled()
	assert.Positive(t, u.allocated)
	assert.Positive(t, u.live)
}
