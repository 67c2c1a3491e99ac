package simulation

import (
	"math/rand/v2"

	"pushgate/internal/delivery/ledger"
)

// brevity bounds what one receipt says. It has a source of chance of its own.
type brevity struct {
	rng  *rand.Rand
	most ledger.Most
}

// drawBrevity has one world in three make many parts of its receipts.
func drawBrevity(seed uint64) brevity {
	rng := rand.New(rand.NewPCG(seed, 4)) //nolint:gosec // it must be the same each time
	b := brevity{rng: rng, most: ledger.Most{Offsets: 20_000, Sessions: 1000}}
	if rng.IntN(3) == 0 {
		b.most = ledger.Most{Offsets: 1 + rng.IntN(3), Sessions: 1 + rng.IntN(2)}
	}
	return b
}

// some draws how many of n parts.
func (b *brevity) some(n int) int {
	if n == 0 {
		return 0
	}
	return b.rng.IntN(n + 1)
}
