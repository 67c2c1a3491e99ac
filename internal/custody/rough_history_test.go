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

// rough is a history in a rougher world than that of history: writes are repeated,
// or arrive long after they were given up; custodians go on after they have been
// replaced; the three positions are committed one after the other; a takeover ends
// before all requests are read; gateways are silent for longer than the window,
// restart where they had committed, say goodbye, and have sessions of several types;
// messages expire. One seed is one history.
type rough struct {
	t    *testing.T
	rng  *rand.Rand
	now  time.Time
	seed uint64

	requests []roughOffering
	retry    []roughRetry
	receipts []push.Receipt
	dead     map[int]int // by message
	seen     map[int]int // deliveries by message
	messages int
	late     []func() // writes that were given up and are still under way

	gateways  []*roughGateway
	custodian *roughCustodian
	zombies   []*roughCustodian
	committed custody.Positions
	stage     int // which position is committed next
	smooth    bool
	story     []string
}

type roughOffering struct {
	message           int
	user, typ         string
	attempt, failures int
	endsWait          int64
	expires           time.Time
}

type roughRetry struct {
	ends   bool
	origin int64
	roughOffering
	reason push.Reason
	due    time.Time
}

type roughGateway struct {
	node      string
	epoch     int64
	alive     bool
	position  int64
	committed int64
	sessions  map[string][]string // types by user
	held      map[int64]string    // users by offset
	pending   push.Receipt
	bound     []roughBound
}

type roughBound struct {
	user, typ string
	from      int64
}

type roughCustodian struct {
	m                *custody.Machine
	nextReq, nextRec int64
	todo             []custody.Action
	zombie           bool
	life             int // steps a zombie has left
}

func (h *rough) tell(format string, args ...any) {
	h.story = append(h.story, fmt.Sprintf(format, args...))
}

func newRough(t *testing.T, seed uint64) *rough {
	h := &rough{t: t, seed: seed, now: noon, rng: rand.New(rand.NewPCG(seed, 7)), dead: map[int]int{}, seen: map[int]int{}}
	for _, node := range []string{"A", "B"} {
		g := &roughGateway{node: node}
		h.gateways = append(h.gateways, g)
		h.start(g)
	}
	h.takeOver()
	return h
}

func (h *rough) start(g *roughGateway) {
	g.epoch++
	g.alive = true
	g.position = int64(len(h.requests))
	if h.rng.IntN(2) == 0 {
		g.position = g.committed
	}
	g.sessions, g.held, g.bound = map[string][]string{}, map[int64]string{}, nil
	g.pending = push.Receipt{Presence: push.Announce}
	h.flush(g)
	h.tell("%s starts at %d", g.node, g.position)
}

func (h *rough) flush(g *roughGateway) {
	r := g.pending
	r.Node, r.Epoch, r.ReadThrough = g.node, g.epoch, g.position
	for _, b := range g.bound {
		r.Connected = append(r.Connected, push.Binding{User: b.user, Type: b.typ, Saw: g.position - b.from})
	}
	g.bound = nil
	h.receipts = append(h.receipts, r)
	if h.rng.IntN(15) == 0 { // the write was repeated
		h.receipts = append(h.receipts, r)
	}
	g.pending = push.Receipt{}
	g.committed = g.position
	for at := range g.held {
		_ = at
	}
	h.tell("%s says %+v as receipt %d", g.node, r, len(h.receipts)-1)
}

func roughPolicy(seed uint64) custody.Policy {
	p := policy()
	p.Retry.MaxAttempts, p.Waiting.MaxPerUser, p.Waiting.OfferMessages = 6, 50, 2
	p.Outcomes = seed%2 == 0
	return p
}

func (h *rough) takeOver() {
	if h.custodian != nil && h.rng.IntN(3) == 0 && !h.smooth {
		z := h.custodian
		z.zombie, z.life = true, 5+h.rng.IntN(40)
		h.zombies = append(h.zombies, z)
		h.tell("the old custodian lives on as a zombie")
	}
	h.stage = 0
	back := int64(0)
	if h.rng.IntN(2) == 0 {
		back = int64(h.rng.IntN(30))
	}
	c := &roughCustodian{nextReq: h.committed.Requests, nextRec: max(min(h.committed.Receipts, int64(len(h.receipts))-back), 0)}
	h.custodian = c
	c.m = custody.NewMachine(custody.Start{Policy: roughPolicy(h.seed), RequestsEnd: int64(len(h.requests)), Now: h.now, Requests: c.nextReq, Receipts: c.nextRec, Retry: h.committed.Retry, Heed: h.committed.Receipts})
	for at := h.committed.Retry; at < int64(len(h.retry)); at++ {
		r := h.retry[at]
		if r.ends {
			c.m.RestoreEnd(r.origin)
			continue
		}
		c.m.RestoreWait(custody.Restored{At: at, User: r.user, Type: r.typ, Size: 100, Wait: push.Wait{
			Lineage: push.Lineage{Attempt: r.attempt, Failures: r.failures, Expires: r.expires},
			Origin:  r.origin, Reason: r.reason, Due: r.due,
		}})
	}
	c.m.RetryRead(int64(len(h.retry)))
	h.tell("custodian takes over at requests %d, receipts %d (from %d), retry %d", h.committed.Requests, h.committed.Receipts, c.nextRec, h.committed.Retry)
	early := h.rng.IntN(4) == 0
	recEnd, reqEnd := int64(len(h.receipts)), int64(len(h.requests))
	for c.nextRec < recEnd || c.nextReq < reqEnd && !early {
		if c.nextRec < recEnd && (h.rng.IntN(2) == 0 || c.nextReq >= reqEnd || early) {
			h.readReceipt(c)
		} else if c.nextReq < reqEnd {
			h.readRequest(c)
		}
		if h.rng.IntN(20) == 0 {
			h.carryOut(c, false)
		}
		if h.custodian != c {
			return
		}
	}
	c.m.Advance(h.now, false)
	c.m.Restored()
}

func (h *rough) readRequest(c *roughCustodian) {
	n := 1 + h.rng.IntN(3)
	for range n {
		if c.nextReq >= int64(len(h.requests)) {
			break
		}
		o := h.requests[c.nextReq]
		c.m.Request(custody.Request{
			Offset: c.nextReq, User: o.user, Type: o.typ, Expires: o.expires, Size: 100,
			Attempt: o.attempt, Failures: o.failures, EndsWait: o.endsWait,
		})
		c.nextReq++
	}
	c.m.RequestsRead(c.nextReq)
}

func (h *rough) readReceipt(c *roughCustodian) {
	if c.nextRec >= int64(len(h.receipts)) {
		return
	}
	r := h.receipts[c.nextRec]
	c.m.Receipt(c.nextRec, &r)
	c.nextRec++
}

// carryOut makes one action durable. Sometimes twice, sometimes its writer dies
// before it learns of it.
func (h *rough) carryOut(c *roughCustodian, forget bool) {
	c.todo = append(c.todo, c.m.Actions()...)
	if len(c.todo) == 0 {
		return
	}
	i := h.rng.IntN(len(c.todo))
	lane := func(k custody.ActionKind) int {
		if k == custody.MakeWait || k == custody.EndWait {
			return 0
		}
		return int(k)
	}
	i = slices.IndexFunc(c.todo, func(a custody.Action) bool { return lane(a.Kind) == lane(c.todo[i].Kind) })
	a := c.todo[i]
	c.todo = slices.Delete(c.todo, i, i+1)
	var src roughOffering
	if a.FromRetry {
		src = h.retry[a.RetryAt].roughOffering
	} else {
		src = h.requests[a.Origin]
	}
	src.attempt, src.failures = a.Attempt, a.Failures
	at := int64(0)
	write := func() {
		switch a.Kind {
		case custody.MakeWait:
			at = int64(len(h.retry))
			h.retry = append(h.retry, roughRetry{origin: a.Origin, roughOffering: src, reason: a.Reason, due: a.Due})
		case custody.EndWait:
			at = int64(len(h.retry))
			h.retry = append(h.retry, roughRetry{ends: true, origin: a.Origin})
		case custody.Offer:
			src.endsWait = push.NoWait
			if a.FromRetry {
				src.endsWait = a.Origin
			}
			at = int64(len(h.requests))
			h.requests = append(h.requests, src)
		case custody.DeadLetter:
			h.dead[src.message]++
		case custody.WriteOutcome:
		case custody.MoveHome:
			h.t.Fatal("nobody moved")
		}
		h.tell("%s of message %d (origin %d) at %d reason %s zombie %v", a.Kind, src.message, a.Origin, at, a.Reason, c.zombie)
	}
	write()
	if !h.smooth {
		switch h.rng.IntN(20) {
		case 0:
			write()
		case 1:
			h.late = append(h.late, func() { old := at; write(); at = old })
		}
	}
	if forget && !c.zombie {
		h.takeOver()
		return
	}
	c.m.Done(a.ID, at)
}

func (h *rough) takes(g *roughGateway, o roughOffering) bool {
	return slices.ContainsFunc(g.sessions[o.user], func(s string) bool { return push.Takes(s, o.typ) })
}

func (h *rough) gatewayReads(g *roughGateway, kindly bool) {
	if !g.alive || g.position >= int64(len(h.requests)) {
		return
	}
	o, at := h.requests[g.position], g.position
	g.position++
	if !h.takes(g, o) || !h.now.Before(o.expires) {
		return
	}
	choice := h.rng.IntN(12)
	switch {
	case kindly || choice < 5:
		h.seen[o.message]++
		g.pending.Delivered = append(g.pending.Delivered, at)
		h.tell("%s delivers message %d (offset %d)", g.node, o.message, at)
	case choice < 7:
		g.held[at] = o.user
		g.pending.Held = append(g.pending.Held, at)
		h.tell("%s holds message %d (offset %d)", g.node, o.message, at)
	case choice < 9:
		g.held[at] = o.user
		g.pending.Queued = append(g.pending.Queued, at)
		h.tell("%s queues message %d (offset %d)", g.node, o.message, at)
	default:
		reason := push.SlowConsumer
		if h.rng.IntN(3) == 0 {
			reason = push.Offline
			// Only a session that is about to end says so.
			defer h.leave(g, o.user)
		}
		g.pending.Failed = append(g.pending.Failed, push.Failure{Offset: at, Reason: reason})
		h.tell("%s fails message %d (offset %d) %s", g.node, o.message, at, reason)
	}
}

func (h *rough) holdEnds(g *roughGateway, kindly bool) {
	if !g.alive || len(g.held) == 0 {
		return
	}
	for at := range int64(len(h.requests)) {
		if _, ok := g.held[at]; !ok {
			continue
		}
		if !kindly && h.rng.IntN(3) == 0 {
			continue
		}
		delete(g.held, at)
		if kindly || h.rng.IntN(2) == 0 {
			h.seen[h.requests[at].message]++
			g.pending.Delivered = append(g.pending.Delivered, at)
			h.tell("%s: message %d is acknowledged (offset %d)", g.node, h.requests[at].message, at)
		} else {
			g.pending.Failed = append(g.pending.Failed, push.Failure{Offset: at, Reason: push.AckTimeout})
			h.tell("%s: message %d timed out (offset %d)", g.node, h.requests[at].message, at)
		}
		return
	}
}

func (h *rough) leave(g *roughGateway, user string) {
	if !g.alive || len(g.sessions[user]) == 0 {
		return
	}
	delete(g.sessions, user)
	for at := range int64(len(h.requests)) {
		if g.held[at] == user && user != "" {
			delete(g.held, at)
			g.pending.Failed = append(g.pending.Failed, push.Failure{Offset: at, Reason: push.Offline})
		}
	}
	h.tell("%s leaves %s", user, g.node)
}

func (h *rough) join(g *roughGateway, user, typ string) {
	if !g.alive || len(g.sessions[user]) > 1 {
		return
	}
	g.sessions[user] = append(g.sessions[user], typ)
	g.bound = append(g.bound, roughBound{user: user, typ: typ, from: g.position})
	h.tell("%s joins %s for %s", user, g.node, typ)
}

// roughTypes are business types; messages have one of the first two.
var roughTypes = []string{"order", "chat", push.AllTypes}

func (h *rough) step() {
	if len(h.zombies) > 0 && h.rng.IntN(3) == 0 {
		h.zombieActs()
		return
	}
	g := h.gateways[h.rng.IntN(len(h.gateways))]
	user := users[h.rng.IntN(len(users))]
	c := h.custodian
	switch h.rng.IntN(27) {
	case 0, 1, 2:
		h.produce(user)
	case 3, 4, 5, 6:
		for range 1 + h.rng.IntN(3) {
			h.gatewayReads(g, false)
		}
	case 7, 8:
		if g.alive {
			h.flush(g)
		}
	case 9, 10:
		h.holdEnds(g, false)
	case 11, 12:
		h.join(g, user, roughTypes[h.rng.IntN(3)])
	case 13:
		h.leave(g, user)
	case 14, 15:
		h.readRequest(c)
	case 16, 17:
		h.readReceipt(c)
	case 18, 19, 20:
		h.carryOut(c, false)
	case 21:
		h.carryOut(c, h.rng.IntN(3) == 0)
	case 22:
		h.commit()
	case 23:
		h.pass(time.Duration(h.rng.IntN(1500)) * time.Millisecond)
	case 24:
		h.upset(g)
	case 25:
		if len(h.late) > 0 {
			arrives := h.late[0]
			h.late = h.late[1:]
			h.tell("a write that had been given up arrives")
			arrives()
		}
	case 26:
		if h.rng.IntN(10) == 0 {
			h.tell("no gateway says a word for 6s")
			for range 20 {
				h.pass(300 * time.Millisecond)
			}
		}
	}
}

func (h *rough) produce(user string) {
	ttl := 1000 * time.Hour
	if h.rng.IntN(10) == 0 {
		ttl = time.Duration(h.rng.IntN(20)) * time.Second
	}
	h.requests = append(h.requests, roughOffering{
		message: h.messages, user: user, typ: roughTypes[h.rng.IntN(2)], attempt: 1, endsWait: push.NoWait, expires: h.now.Add(ttl),
	})
	h.tell("message %d for %s at %d", h.messages, user, len(h.requests)-1)
	h.messages++
}

func (h *rough) pass(d time.Duration) {
	h.now = h.now.Add(d)
	h.custodian.m.Advance(h.now, h.custodian.nextRec == int64(len(h.receipts)))
}

// zombieActs lets a custodian that was replaced go on. It cannot commit any more.
func (h *rough) zombieActs() {
	z := h.zombies[0]
	if z.life--; z.life < 0 {
		h.zombies = h.zombies[1:]
		return
	}
	switch h.rng.IntN(5) {
	case 0:
		h.readRequest(z)
	case 1:
		h.readReceipt(z)
	case 2:
		z.m.Advance(h.now, z.nextRec == int64(len(h.receipts)))
	default:
		h.carryOut(z, false)
	}
}

// commit commits the next of the three positions, or some of them: a custodian may
// die in between.
func (h *rough) commit() {
	p := h.custodian.m.Positions()
	for range 1 + h.rng.IntN(3) {
		switch h.stage {
		case 0:
			h.committed.Requests = max(p.Requests, h.committed.Requests)
		case 1:
			h.committed.Receipts = max(p.Receipts, h.committed.Receipts)
		case 2:
			h.committed.Retry = max(p.Retry, h.committed.Retry)
		}
		h.tell("position %d of %+v is committed", h.stage, p)
		h.stage = (h.stage + 1) % 3
	}
}

// upset ends something, or starts a gateway again.
func (h *rough) upset(g *roughGateway) {
	switch n := h.rng.IntN(4); {
	case n == 0:
		h.tell("custodian dies")
		h.takeOver()
	case g.alive && n == 1:
		for _, u := range users {
			h.leave(g, u)
		}
		g.pending.Presence = push.Goodbye
		h.flush(g)
		g.alive = false
	case g.alive:
		h.tell("%s is killed", g.node)
		g.alive = false
	default:
		h.start(g)
	}
}

// heal lets everything work again until nothing is left to do. Only users who have
// no session connect: whoever has one must not need to.
func (h *rough) heal() {
	h.smooth = true
	for _, arrives := range h.late {
		arrives()
	}
	h.late, h.zombies = nil, nil
	for _, g := range h.gateways {
		if !g.alive {
			h.start(g)
		}
	}
	h.tell("everything works again")
	for _, u := range users {
		if !slices.ContainsFunc(h.gateways, func(g *roughGateway) bool { return slices.Contains(g.sessions[u], push.AllTypes) }) {
			g := h.gateways[0]
			g.sessions[u] = append(g.sessions[u], push.AllTypes)
			g.bound = append(g.bound, roughBound{user: u, typ: push.AllTypes, from: g.position})
			h.tell("%s joins %s for all", u, g.node)
		}
	}
	const rounds = 300 // far less than the slow timer needs
	for range rounds {
		h.round()
	}
}

func (h *rough) round() {
	for _, g := range h.gateways {
		for g.position < int64(len(h.requests)) {
			h.gatewayReads(g, true)
		}
		for len(g.held) > 0 {
			h.holdEnds(g, true)
		}
		h.flush(g)
	}
	c := h.custodian
	for c.nextReq < int64(len(h.requests)) {
		h.readRequest(c)
	}
	for c.nextRec < int64(len(h.receipts)) {
		h.readReceipt(c)
	}
	h.pass(800 * time.Millisecond)
	for c.todo = append(c.todo, c.m.Actions()...); len(c.todo) > 0; c.todo = append(c.todo, c.m.Actions()...) {
		h.carryOut(c, false)
	}
	h.committed = c.m.Positions()
}

func (h *rough) check() {
	for m := range h.messages {
		if h.seen[m] == 0 && h.dead[m] == 0 {
			for _, line := range h.story {
				h.t.Log(line)
			}
			require.Failf(h.t, "a message has not come", "seed %d: message %d was neither delivered nor dead-lettered, though its user is connected; machine: %+v",
				h.seed, m, h.custodian.m.Stats())
		}
	}
}

func TestNoHistoryOfARoughWorldLosesAMessageOrKeepsAConnectedUserWaiting(t *testing.T) {
	const histories, steps = 400, 400
	seeds := []uint64{1293, 1740, 3639, 4394, 5451, 5828} // each has found something once
	for seed := range uint64(histories) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		h := newRough(t, seed)
		for range steps {
			h.step()
		}
		h.heal()
		h.check()
	}
}
