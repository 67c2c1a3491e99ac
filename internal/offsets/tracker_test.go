package offsets_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"pushgate/internal/offsets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyTheContiguousPrefixIsCommittable(t *testing.T) {
	tr := offsets.New(5)
	assert.Equal(t, int64(5), tr.Committable())
	tr.Track(5)
	tr.Track(6)
	tr.Track(9) // 7 and 8 are not ours
	tr.Advance(12)
	tr.Settle(6)
	assert.Equal(t, int64(5), tr.Committable())
	tr.Settle(5)
	assert.Equal(t, int64(9), tr.Committable())
	tr.Settle(9)
	assert.Equal(t, int64(12), tr.Committable())
}

func TestGapsStallNothing(t *testing.T) {
	tr := offsets.New(0)
	tr.Advance(1_000_000)
	assert.Equal(t, int64(1_000_000), tr.Committable())
}

func TestUnknownAndRepeatedSettlesAreIgnored(t *testing.T) {
	tr := offsets.New(0)
	tr.Settle(3)
	tr.Track(3)
	tr.Track(3)
	tr.Track(1)
	assert.Equal(t, 1, tr.Unsettled())
	tr.Settle(3)
	tr.Settle(3)
	assert.Zero(t, tr.Unsettled())
	assert.Equal(t, int64(4), tr.Committable())
}

func TestItAgreesWithANaiveModelInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(0, 100).Draw(t, "start")
		tr, next := offsets.New(start), start
		open := map[int64]bool{}
		last := tr.Committable()
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				next += rapid.Int64Range(0, 3).Draw(t, "gap")
				tr.Track(next)
				open[next] = true
				next++
			case 1:
				next += rapid.Int64Range(0, 3).Draw(t, "gap")
				tr.Advance(next)
			case 2:
				o := rapid.Int64Range(start, next).Draw(t, "settle")
				tr.Settle(o)
				delete(open, o)
			}
			want := next
			for o := range open {
				want = min(want, o)
			}
			require.Equal(t, want, tr.Committable())
			require.Len(t, open, tr.Unsettled())
			require.GreaterOrEqual(t, tr.Committable(), last, "never backwards")
			last = tr.Committable()
		}
	})
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	tr := offsets.New(0)
	next := int64(0)
	round := func() {
		for range 100 {
			tr.Track(next)
			next++
		}
		for o := next - 1; o >= next-100; o-- {
			tr.Settle(o)
		}
	}
	round()
	assert.Zero(t, testing.AllocsPerRun(100, round))
}

func BenchmarkTrackAndSettle(b *testing.B) {
	tr := offsets.New(0)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		tr.Track(i)
		if i >= 100 {
			tr.Settle(i - 100)
		}
	}
}
