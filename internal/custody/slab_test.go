package custody

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type slot struct{ key int64 }

func TestAnIndexFindsWhatAMapFinds(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var slots slab[slot]
		x := index[int64]{
			key:  func(r ref) int64 { return slots.at(r).key },
			hash: func(k int64) uint64 { return uint64(k % 7) }, // many keys share a place
		}
		if seed%2 == 0 {
			x.hash = func(k int64) uint64 { return mix(uint64(k)) }
		}
		model := map[int64]ref{}
		keys := 1 + rng.Int64N(300)
		for range 2000 {
			k := rng.Int64N(keys)
			switch r := model[k]; {
			case rng.IntN(2) == 0 && r == none:
				r, s := slots.take()
				s.key = k
				x.put(r)
				model[k] = r
			case r != none:
				x.remove(k)
				slots.give(r)
				delete(model, k)
			default:
				x.remove(k)
			}
			require.Equal(t, len(model), x.n, "seed %d", seed)
			require.Equal(t, len(model), slots.used, "seed %d", seed)
		}
		require.Len(t, x.all(), len(model))
		for k := range keys {
			require.Equal(t, model[k], x.find(k), "seed %d, key %d", seed, k)
		}
	}
}

func TestASlotIsZeroWhenItIsTakenAgain(t *testing.T) {
	var slots slab[slot]
	first, s := slots.take()
	s.key = 5
	_, other := slots.take()
	other.key = 6
	slots.give(first)
	again, s := slots.take()
	assert.Equal(t, first, again)
	assert.Zero(t, s.key)
}

func TestASlabLetsGoOfItsMemoryWithTheLastSlot(t *testing.T) {
	var slots slab[slot]
	var refs []ref
	for range 3 * slabChunk {
		r, _ := slots.take()
		refs = append(refs, r)
	}
	assert.Len(t, slots.chunks, 3)
	for _, r := range refs {
		slots.give(r)
	}
	assert.Len(t, slots.chunks, 1, "the next one is not to need a new chunk")
	assert.Equal(t, 1, cap(slots.chunks))
	r, s := slots.take()
	assert.Same(t, s, slots.at(r))
}
