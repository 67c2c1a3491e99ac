package custody_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// history is a random history of one partition: producers, two gateways, three
// users who come, go and move, and a custodian that dies at any moment - also
// between a write and learning of it. Logs are slices: what is appended is
// durable. One seed is one history.
type history struct {
	t    *testing.T
	rng  *rand.Rand
	now  time.Time
	seed uint64

	requests []offering
	retry    []retryRecord
	dead     map[int]int // by message
	receipts []push.Receipt
	messages int

	gateways []*simGateway
	seen     map[int]int // deliveries by message
	outcomes map[int][]push.OutcomeReport

	machine          *custody.Machine
	nextReq, nextRec int64
	committed        custody.Positions
	todo             []custody.Action
	story            []string
}

type offering struct {
	message  int
	user     string
	attempt  int
	failures int
	endsWait int64
	expires  time.Time
	repeat   bool
}

type retryRecord struct {
	ends   bool
	origin int64
	offering
	reason push.Reason
	due    time.Time
}

type simGateway struct {
	node     string
	epoch    int64
	alive    bool
	position int64
	sessions map[string]bool
	held     map[int64]bool // written, acknowledgement awaited
	pending  push.Receipt
	bound    map[string]int64 // position when the session was opened, until it is said
}

func (h *history) tell(format string, args ...any) {
	h.story = append(h.story, fmt.Sprintf(format, args...))
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{
		t: t, seed: seed, now: noon, rng: rand.New(rand.NewPCG(seed, 1)),
		dead: map[int]int{}, seen: map[int]int{}, outcomes: map[int][]push.OutcomeReport{},
	}
	for _, node := range []string{"A", "B"} {
		g := &simGateway{node: node}
		h.gateways = append(h.gateways, g)
		h.start(g)
	}
	h.takeOver()
	return h
}

var users = []string{"u", "v", "w"}

func (h *history) start(g *simGateway) {
	g.epoch++
	g.alive, g.position = true, int64(len(h.requests))
	g.sessions, g.held, g.bound = map[string]bool{}, map[int64]bool{}, map[string]int64{}
	g.pending = push.Receipt{Presence: push.Announce}
	h.flush(g)
	h.tell("%s starts at %d", g.node, g.position)
}

func (h *history) flush(g *simGateway) {
	r := g.pending
	r.Node, r.Epoch, r.ReadThrough = g.node, g.epoch, g.position
	for i := range r.Connected {
		r.Connected[i].Saw = g.position - g.bound[r.Connected[i].User]
	}
	h.receipts = append(h.receipts, r)
	g.pending = push.Receipt{}
}

// takeOver makes a new custodian out of what is committed and in the logs.
func (h *history) takeOver() {
	p := policy()
	p.Outcomes = h.seed%2 == 1
	p.Retry.MaxAttempts, p.Waiting.MaxPerUser, p.Waiting.OfferMessages = 4, 50, 2
	h.todo = nil
	h.nextReq, h.nextRec = h.committed.Requests, max(min(h.committed.Receipts, int64(len(h.receipts))-30), 0)
	h.machine = h.restored(p)
	for h.nextRec < int64(len(h.receipts)) {
		h.readReceipt()
	}
	for h.nextReq < int64(len(h.requests)) {
		h.readRequest()
	}
	h.machine.Restored()
	h.tell("custodian takes over at requests %d, retry %d", h.committed.Requests, h.committed.Retry)
}

// restored makes a machine and feeds it the retry log.
func (h *history) restored(p custody.Policy) *custody.Machine {
	m := custody.NewMachine(custody.Start{
		Policy: p, Now: h.now, Requests: h.nextReq, Receipts: h.nextRec, Retry: h.committed.Retry,
		RequestsEnd: int64(len(h.requests)),
	})
	for at := h.committed.Retry; at < int64(len(h.retry)); at++ {
		r := h.retry[at]
		if r.ends {
			m.RestoreEnd(r.origin)
			continue
		}
		m.RestoreWait(custody.Restored{At: at, User: r.user, Type: "order", Wait: push.Wait{
			Lineage: push.Lineage{Attempt: r.attempt, Failures: r.failures, Expires: r.expires, MayRepeat: r.repeat},
			Origin:  r.origin, Reason: r.reason, Due: r.due,
		}})
	}
	m.RetryRead(int64(len(h.retry)))
	return m
}

func (h *history) readRequest() {
	if h.nextReq >= int64(len(h.requests)) {
		return
	}
	o := h.requests[h.nextReq]
	h.machine.Request(custody.Request{
		Offset: h.nextReq, ID: fmt.Sprint(o.message), User: o.user, Type: "order", Expires: o.expires,
		Attempt: o.attempt, Failures: o.failures, EndsWait: o.endsWait, MayRepeat: o.repeat,
	})
	h.nextReq++
	h.machine.RequestsRead(h.nextReq)
}

func (h *history) readReceipt() {
	if h.nextRec >= int64(len(h.receipts)) {
		return
	}
	r := h.receipts[h.nextRec]
	h.machine.Receipt(h.nextRec, &r)
	h.nextRec++
}

// carryOut makes one action durable; forget: the custodian dies before it
// learns of it.
func (h *history) carryOut(forget bool) {
	h.todo = append(h.todo, h.machine.Actions()...)
	if len(h.todo) == 0 {
		return
	}
	// Lanes are independent: take the first action of any kind.
	i := h.rng.IntN(len(h.todo))
	lane := func(k custody.ActionKind) int {
		if k == custody.MakeWait || k == custody.EndWait {
			return 0
		}
		return int(k)
	}
	i = slices.IndexFunc(h.todo, func(a custody.Action) bool { return lane(a.Kind) == lane(h.todo[i].Kind) })
	a := h.todo[i]
	h.todo = slices.Delete(h.todo, i, i+1)
	var src offering
	if a.FromRetry {
		src = h.retry[a.RetryAt].offering
	} else {
		src = h.requests[a.Origin]
	}
	src.attempt, src.failures, src.repeat = a.Attempt, a.Failures, a.MayRepeat
	at := int64(0)
	switch a.Kind {
	case custody.MakeWait:
		at = int64(len(h.retry))
		h.retry = append(h.retry, retryRecord{origin: a.Origin, offering: src, reason: a.Reason, due: a.Due})
	case custody.EndWait:
		at = int64(len(h.retry))
		h.retry = append(h.retry, retryRecord{ends: true, origin: a.Origin})
	case custody.Offer:
		at = int64(len(h.requests))
		src.endsWait = push.NoWait
		if a.FromRetry {
			src.endsWait = a.Origin
		}
		h.requests = append(h.requests, src)
	case custody.DeadLetter:
		h.dead[src.message]++
	case custody.WriteOutcome:
		if a.Report.ID != "" {
			require.Equal(h.t, fmt.Sprint(src.message), a.Report.ID)
		}
		h.outcomes[src.message] = append(h.outcomes[src.message], a.Report)
	case custody.MoveHome:
		h.t.Fatal("nobody moved")
	}
	h.tell("%s of message %d (origin %d)", a.Kind, src.message, a.Origin)
	if forget {
		h.takeOver()
		return
	}
	h.machine.Done(a.ID, at)
}

// gatewayReads lets a gateway look at the next request.
func (h *history) gatewayReads(g *simGateway, kindly bool) {
	if !g.alive || g.position >= int64(len(h.requests)) {
		return
	}
	o, at := h.requests[g.position], g.position
	g.position++
	if !g.sessions[o.user] {
		return
	}
	choice := h.rng.IntN(10)
	switch {
	case kindly || choice < 5:
		h.seen[o.message]++
		g.pending.Delivered = append(g.pending.Delivered, at)
		h.tell("%s delivers message %d (offset %d)", g.node, o.message, at)
	case choice < 8:
		g.held[at] = true
		g.pending.Held = append(g.pending.Held, at)
		h.tell("%s holds message %d (offset %d)", g.node, o.message, at)
	default:
		g.pending.Failed = append(g.pending.Failed, push.Failure{Offset: at, Reason: push.SlowConsumer})
		h.tell("%s fails message %d (offset %d)", g.node, o.message, at)
	}
}

// holdEnds lets the client of one held message acknowledge, or not.
func (h *history) holdEnds(g *simGateway) {
	for at := range int64(len(h.requests)) {
		if !g.alive || !g.held[at] {
			continue
		}
		delete(g.held, at)
		if h.rng.IntN(2) == 0 {
			h.seen[h.requests[at].message]++
			g.pending.Delivered = append(g.pending.Delivered, at)
		} else {
			g.pending.Failed = append(g.pending.Failed, push.Failure{Offset: at, Reason: push.AckTimeout})
		}
		return
	}
}

func (h *history) leave(g *simGateway, user string) {
	if !g.alive || !g.sessions[user] {
		return
	}
	delete(g.sessions, user)
	for at := range int64(len(h.requests)) {
		if g.held[at] && h.requests[at].user == user {
			delete(g.held, at)
			g.pending.Failed = append(g.pending.Failed, push.Failure{Offset: at, Reason: push.Offline})
		}
	}
	h.tell("%s leaves %s", user, g.node)
}

func (h *history) join(g *simGateway, user string) {
	if !g.alive || g.sessions[user] {
		return
	}
	g.sessions[user] = true
	g.bound[user] = g.position
	g.pending.Connected = append(g.pending.Connected, push.Binding{User: user, Type: push.AllTypes})
	h.tell("%s joins %s", user, g.node)
}

func (h *history) step() {
	g := h.gateways[h.rng.IntN(len(h.gateways))]
	user := users[h.rng.IntN(len(users))]
	switch h.rng.IntN(24) {
	case 0, 1, 2:
		h.requests = append(h.requests, offering{
			message: h.messages, user: user, attempt: 1, endsWait: push.NoWait, expires: noon.Add(1000 * time.Hour),
		})
		h.messages++
	case 3, 4, 5, 6:
		h.gatewayReads(g, false)
	case 7, 8:
		if g.alive {
			h.flush(g)
		}
	case 9, 10:
		h.holdEnds(g)
	case 11, 12:
		h.join(g, user)
	case 13:
		h.leave(g, user)
	case 14, 15:
		h.readRequest()
	case 16, 17:
		h.readReceipt()
	case 18, 19:
		h.carryOut(false)
	case 20:
		h.carryOut(h.rng.IntN(3) == 0)
	case 21:
		h.committed = h.machine.Positions()
	case 22:
		h.now = h.now.Add(time.Duration(h.rng.IntN(1500)) * time.Millisecond)
		h.machine.Advance(h.now, h.nextRec == int64(len(h.receipts)))
	case 23:
		h.upset(g)
	}
}

// upset kills something.
func (h *history) upset(g *simGateway) {
	switch {
	case h.rng.IntN(3) == 0:
		h.tell("custodian dies")
		h.takeOver()
	case g.alive:
		h.tell("%s is killed", g.node)
		g.alive = false
	default:
		h.start(g)
	}
}

// heal lets everything work again, with every user on gateway A, until nothing
// is left to do.
func (h *history) heal() {
	for _, g := range h.gateways {
		if !g.alive {
			h.start(g)
		}
	}
	for _, u := range users {
		h.join(h.gateways[0], u)
	}
	for range 200 {
		for _, g := range h.gateways {
			for g.position < int64(len(h.requests)) {
				h.gatewayReads(g, true)
			}
			for len(g.held) > 0 {
				h.holdEnds(g)
			}
			h.flush(g)
		}
		for h.nextReq < int64(len(h.requests)) {
			h.readRequest()
		}
		for h.nextRec < int64(len(h.receipts)) {
			h.readReceipt()
		}
		h.now = h.now.Add(800 * time.Millisecond)
		h.machine.Advance(h.now, true)
		for h.todo = append(h.todo, h.machine.Actions()...); len(h.todo) > 0; h.todo = append(h.todo, h.machine.Actions()...) {
			h.carryOut(false)
		}
		h.committed = h.machine.Positions()
	}
}

func (h *history) check() {
	s := h.machine.Stats()
	for m := range h.messages {
		if h.seen[m] == 0 && h.dead[m] == 0 {
			for _, line := range h.story {
				h.t.Log(line)
			}
			require.Failf(h.t, "a message was lost", "seed %d: message %d was neither delivered nor dead-lettered; machine: %+v", h.seed, m, s)
		}
	}
	h.checkOutcomes()
	require.Zero(h.t, s.Waiting, "seed %d: still waiting: %+v", h.seed, s)
	require.Zero(h.t, s.InFlight, "seed %d: still in flight: %+v", h.seed, s)
	require.Equal(h.t, int64(len(h.requests)), h.committed.Requests, "seed %d: everything settled is committed", h.seed)
	require.Equal(h.t, int64(len(h.retry)), h.committed.Retry, "seed %d", h.seed)
	require.Equal(h.t, int64(len(h.receipts)), h.committed.Receipts, "seed %d", h.seed)
}

// checkOutcomes: each message has one, and a repeat is marked.
func (h *history) checkOutcomes() {
	if h.seed%2 == 0 {
		return
	}
	for m := range h.messages {
		unmarked := 0
		for _, o := range h.outcomes[m] {
			if !o.MayRepeat {
				unmarked++
			}
		}
		if len(h.outcomes[m]) == 0 || unmarked > 1 {
			for _, line := range h.story {
				h.t.Log(line)
			}
			require.Failf(h.t, "not one outcome", "seed %d: message %d has %+v", h.seed, m, h.outcomes[m])
		}
	}
}

func TestNoHistoryLosesAMessage(t *testing.T) {
	const histories, steps = 4_000, 300
	for seed := range uint64(histories) {
		h := newHistory(t, seed)
		for range steps {
			h.step()
		}
		h.heal()
		h.check()
	}
}
