package simulation

import (
	"math/rand/v2"
	"time"

	"pushgate/internal/custody"
)

// nature is what kind of world a history plays in. It is drawn from the seed, so
// that some histories concentrate on one thing, and a promise that only a milder
// world can keep is checked there.
type nature struct {
	// calm: nothing dies, is lost or lags for longer than the window; clients are
	// quick, acknowledge, and leave only when nothing is under way to them.
	calm bool
	// steady: nothing dies, is lost or lags, as where it is calm; clients are slow,
	// and leave as they please.
	steady bool
	// strays: writes are repeated, or arrive long after they were given up, and
	// custodians go on after they were replaced.
	strays bool
	// namesakes: a node may be started a second time while it runs.
	namesakes bool
	// skewed: the clocks of nodes differ, and step.
	skewed bool
	// tardy: receipts may arrive a second time, after the next one.
	tardy bool
	// grows: the request topic begins with one partition and gets a second.
	grows bool
	// wrongHomes: producers write to any partition.
	wrongHomes bool

	// deadly: custodians die all the time, and commit as often.
	deadly bool
	// sluggish: gateways lag, and clients are slow, all the time.
	sluggish bool

	// slowLane is the one of a custodian's lanes that is slower than the others: that
	// of the retry log more often than another, and sometimes none.
	slowLane int

	gateways, partitions int
	// users is how many there are: the fewer, the more wait for each.
	users int
	steps int
	// maxCatchUp is delivery's limit of that name.
	maxCatchUp int64
	// queueLimit is what a session accepts before it is too slow.
	queueLimit int
	policy     custody.Policy
	ways
}

// keepsOrder says whether the order of messages can be promised: it is strict, no
// write is repeated or late, users do not move to another partition, and a
// takeover reads all that there is. Where a custodian may have few in flight, it
// begins to offer as soon as it has these.
func (n *nature) keepsOrder() bool {
	return n.policy.Strict && !n.strays && !n.grows && n.policy.Custody.MaxInFlight == custody.DefaultConfig().MaxInFlight
}

// How far a clock may be off, either way.
const maxSkew = 2 * time.Second

func drawNature(rng *rand.Rand) nature {
	one := func(of int) bool { return rng.IntN(of) == 0 }
	n := nature{
		calm: one(4), skewed: one(2), wrongHomes: one(3),
		gateways: 2 + rng.IntN(2), users: 1 + rng.IntN(len(users)), partitions: 1 + rng.IntN(2),
		slowLane: max(rng.IntN(2*lanes)-3, 0), // or none: they end before that
		steps:    150 + rng.IntN(200), maxCatchUp: 1000, queueLimit: 2 + rng.IntN(3),
		policy: drawPolicy(rng),
	}
	n.steady = n.calm || one(8)
	if !n.steady {
		n.strays, n.namesakes, n.tardy = one(3), one(4), one(8)
		n.deadly, n.sluggish = one(3), one(4)
		if n.sluggish {
			n.queueLimit = 1
		}
		n.grows = n.partitions == 1 && one(2)
		if one(3) {
			n.maxCatchUp = int64(rng.IntN(6))
		}
	}
	return n
}

func drawPolicy(rng *rand.Rand) custody.Policy {
	one := func(of int) bool { return rng.IntN(of) == 0 }
	p := custody.Policy{
		Custody: custody.DefaultConfig(), Retry: custody.DefaultRetryConfig(), Waiting: custody.DefaultWaitingConfig(),
		Outcomes: one(2), DropExpired: one(4), Strict: one(3),
	}
	p.Custody.ReceiptsLookback = 8 * time.Second
	if one(8) {
		p.Custody.MaxInFlight = 2 + rng.IntN(8)
	}
	if one(3) { // else no log here is worth cleaning
		p.LeastSpan = int64(1 + rng.IntN(8))
	}
	p.Retry.MaxAttempts = 1 + rng.IntN(6)
	p.Retry.Backoff.Max = 4 * time.Second
	p.Waiting.MaxPerUser = 50
	if one(6) {
		p.Waiting.MaxPerUser = 1 + rng.IntN(4)
	}
	p.Waiting.OfferMessages = 1 + rng.IntN(4)
	if one(4) {
		p.Waiting.OfferBytes = 200 + rng.IntN(600)
	}
	return p
}
