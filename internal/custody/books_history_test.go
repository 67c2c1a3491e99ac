package custody

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

// history is a random history of one machine: the calls are those its shell makes,
// in any order that can come about, and after each the books have to add up. What
// gateways say is what a receipt can hold, whether or not a gateway would say it.
// Logs are slices: what is appended is durable. One seed is one history.
type history struct {
	seed   uint64
	rng    *rand.Rand
	now    time.Time
	policy Policy
	m      *Machine

	requests []offering
	retry    []retryRecord
	receipts []push.Receipt
	fates    []fate // by message
	gateways []*sayer
	foreign  map[string]bool // users whose home is another partition now

	nextRequest, nextReceipt int64
	committed                Positions
	asked                    [lanes][]Action // not written yet
	durable                  [lanes][]write  // and the machine does not know it yet

	rough   bool // writes are lost and refused, users move
	narrow  bool // few requests may be in flight
	cut     bool // a log has lost its end
	healing bool // from now on everything works

	story  []string
	failed error
}

// offering is a request and which message it is about.
type offering struct {
	Request
	message int
}

type retryRecord struct {
	Restored
	ends    bool
	message int
}

// fate of a message.
type fate struct{ delivered, dead, lost, moved bool }

// sayer is a gateway as far as its receipts tell.
type sayer struct {
	node        string
	epoch       int64
	readThrough int64
}

// defaults is the policy that is configured where nothing is.
func defaults() Policy {
	return Policy{Custody: DefaultConfig(), Retry: DefaultRetryConfig(), Waiting: DefaultWaitingConfig()}
}

const tight = 8 // requests in flight, where they are few

func newHistory(seed uint64) *history {
	h := &history{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 99)), now: time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC),
		policy: defaults(), foreign: map[string]bool{}, rough: seed%5 != 0, narrow: seed%7 == 0,
	}
	p := &h.policy
	p.Strict, p.Outcomes, p.DropExpired = seed%2 == 0, seed%4 < 2, seed%3 == 0
	p.Retry.MaxAttempts, p.LeastSpan = 5, int64(1+seed%13)
	p.Waiting.MaxPerUser, p.Waiting.OfferMessages, p.Waiting.OfferBytes = 40, 1+int(seed%3), 250
	if h.narrow {
		p.Custody.MaxInFlight = tight
	}
	for _, node := range []string{"A", "B"} {
		h.gateways = append(h.gateways, &sayer{node: node, epoch: 1})
		h.receipts = append(h.receipts, push.Receipt{Node: node, Epoch: 1, Presence: push.Announce})
	}
	h.takeOver()
	return h
}

func (h *history) tell(format string, args ...any) {
	h.story = append(h.story, fmt.Sprintf(format, args...))
}

// look has the books looked at, unless something was found already.
func (h *history) look() {
	if h.failed == nil {
		h.failed = h.m.Books()
	}
}

func users() []string { return []string{"u", "v", "w"} }

func (h *history) anyUser() string { return users()[h.rng.IntN(len(users()))] }

func (h *history) anyType() string { return []string{"order", "chat"}[h.rng.IntN(2)] }

func (h *history) requestsEnd() int64 { return int64(len(h.requests)) }

func (h *history) receiptsEnd() int64 { return int64(len(h.receipts)) }

func (h *history) retryEnd() int64 { return int64(len(h.retry)) }

// play lets a number of things happen, then heals the world.
func (h *history) play(steps int) {
	for i := 0; i < steps && h.failed == nil; i++ {
		h.step()
	}
	if h.failed == nil {
		h.heal()
	}
	if h.failed == nil {
		h.failed = h.leftovers()
	}
	if h.failed == nil {
		h.failed = h.lostMessages()
	}
}

func (h *history) step() {
	switch h.rng.IntN(24) {
	case 0, 1, 2:
		h.produce()
	case 3, 4, 5, 6:
		h.readRequest()
	case 7, 8, 9:
		h.say()
	case 10, 11, 12:
		h.readReceipt()
	case 13, 14, 15, 16, 17:
		h.write()
	case 18:
		h.hear(h.rng.IntN(lanes))
	case 19, 20:
		h.now = h.now.Add(time.Duration(h.rng.IntN(2500)) * time.Millisecond)
		h.m.Advance(h.now, h.nextReceipt == h.receiptsEnd())
		h.look()
	case 21:
		h.committed = h.m.Positions()
	case 22:
		h.upset()
	case 23:
		h.growRetry()
	}
}

// upset takes the partition away, adds partitions, or has a log lose its end.
func (h *history) upset() {
	switch n := h.rng.IntN(12); {
	case n == 0:
		h.takeOver()
	case n == 1 && h.rough:
		h.rehome()
	case n == 2 && h.rough && h.seed%3 == 1:
		h.truncate()
	}
}

// growRetry: waits of others have come and ended, so that it is time to clean.
func (h *history) growRetry() {
	const records = 700
	if h.rng.IntN(10) > 0 {
		return
	}
	for range records {
		h.retry = append(h.retry, retryRecord{ends: true, Restored: Restored{Wait: push.Wait{Origin: -5}}})
	}
	h.m.RetryRead(h.retryEnd())
}

func TestTheBooksAddUpAfterEveryEventAndNoMessageIsLost(t *testing.T) {
	const histories, steps = 200, 300
	for seed := range uint64(histories) {
		h := newHistory(seed)
		h.play(steps)
		require.NoError(t, h.failed, "seed %d:\n%s", seed, strings.Join(h.story, "\n"))
	}
}

func TestTheSameEventsGiveTheSameActions(t *testing.T) {
	const histories, steps = 10, 300
	for seed := range uint64(histories) {
		first, second := newHistory(seed), newHistory(seed)
		first.play(steps)
		second.play(steps)
		require.NoError(t, first.failed, "seed %d", seed)
		require.Equal(t, first.story, second.story, "seed %d", seed)
	}
}
