package gateway

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTheRateLimitAllowsOneSecondsWorthAtOnceAndThenItsRate(t *testing.T) {
	now := time.Now()
	r := rate{limit: 10}
	taken := func(n int) int {
		count := 0
		for range n {
			if r.take(now) {
				count++
			}
		}
		return count
	}
	assert.Equal(t, 10, taken(100))
	now = now.Add(50 * time.Millisecond)
	assert.Zero(t, taken(1), "half a place is none")
	now = now.Add(50 * time.Millisecond)
	assert.Equal(t, 1, taken(100))
	now = now.Add(300 * time.Millisecond)
	assert.Equal(t, 3, taken(100))
	now = now.Add(time.Hour)
	assert.Equal(t, 10, taken(100), "a quiet hour saves up no more than a second")
	now = now.Add(-time.Minute)
	assert.Zero(t, taken(1), "a clock that was set back gives nothing away")
}

func TestWithoutARateLimitNothingIsHeldBack(t *testing.T) {
	var r rate
	now := time.Now()
	for range 1000 {
		assert.True(t, r.take(now))
	}
}

func TestTheRateLimitHoldsWhenManyAskAtOnce(t *testing.T) {
	r := rate{limit: 50}
	now := time.Now()
	var all sync.WaitGroup
	var taken atomic.Int64
	for range 200 {
		all.Go(func() {
			if r.take(now) {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	assert.Equal(t, int64(50), taken.Load())
}

func TestLookingWhetherTheRateLimitIsSpentTakesNothing(t *testing.T) {
	now := time.Now()
	r := rate{limit: 2}
	for range 10 {
		assert.False(t, r.spent(now))
	}
	assert.True(t, r.take(now))
	assert.False(t, r.spent(now))
	assert.True(t, r.take(now))
	assert.True(t, r.spent(now))
	assert.False(t, r.spent(now.Add(500*time.Millisecond)), "half a second brings one")
	assert.False(t, (&rate{}).spent(now), "no limit is never spent")
}
