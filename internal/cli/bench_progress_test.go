package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/bench"
)

func TestProgressOfABenchIsOneLineWithRates(t *testing.T) {
	before := bench.Progress{Elapsed: time.Second, Produced: 1000, Delivered: 990}
	now := bench.Progress{
		Phase: "measuring", Elapsed: 1500 * time.Millisecond, Left: 8600 * time.Millisecond,
		Connected: 50, Produced: 1500, Delivered: 1489,
	}
	assert.Equal(t, "measuring, 9s left: 50 connected, 1500 produced (1000/s), 1489 delivered (998/s)", progressLine(before, now))
	now.Phase, now.Left = "settling", 0
	assert.Equal(t, "settling: 50 connected, 1500 produced (0/s), 1489 delivered (0/s)", progressLine(now, now))
}
