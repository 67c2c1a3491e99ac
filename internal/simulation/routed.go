package simulation

import (
	"slices"
	"time"

	"pushgate/internal/custody"
	"pushgate/internal/directory"
	"pushgate/internal/push"
	"pushgate/internal/targeted"
)

// restlessAfter is how many rounds a healed world may go on in which no time passes.
const restlessAfter = 400

// hearsay is what a custodian has learnt, as far as the promises of a steady world
// depend on it.
type hearsay struct {
	// calledFrom is what was the next request when a node was first heard to be called
	// of late.
	calledFrom map[string]int64
	// readsFrom is what was the next request when a node was first heard to read.
	readsFrom map[string]int64
	readAt    map[int64]int // the step in which a request was read
	// named is what was the next request when a session was first named.
	named map[*session]int64
	over  map[wordOf]bool
	// listed are offsets that some gateway has answered for.
	listed map[int64]bool

	// was are offsets that some node was called with, back those that have to be
	// looked up a second time.
	was  map[int64]bool
	back []int64
	// found says of users at how many nodes they were last found. Alone are offsets
	// for whose users that was not more than one since they were to be carried.
	found map[string]int
	alone map[int64]bool
	// owner is where users were last found, and met the last offset that a life of a
	// node was called with, for each user and type.
	owner map[string]directory.Entry
	met   map[meeting]int64
}

// meeting is of a life of a node with the messages of a user and type.
type meeting struct {
	node      string
	life      uint64
	user, typ string
}

// wordOf says which node has had its last word on which offset.
type wordOf struct {
	node   string
	offset int64
}

func (h *hearsay) isOver(node string, o int64) bool { return h.over[wordOf{node, o}] }

func (h *hearsay) isOverNow(w *World, node string, o int64) {
	if !w.nature.routed() {
		return
	}
	if h.over == nil {
		h.over = make(map[wordOf]bool)
	}
	h.over[wordOf{node, o}] = true
}

// watched says whether what a custodian learns has to be noted.
func (c *custodian) watched() bool { return c.w.nature.steady && c.w.nature.routed() }

// reads notes that a request was read.
func (c *custodian) reads(offset int64) {
	if !c.watched() {
		return
	}
	if c.heardOf.readAt == nil {
		c.heardOf.readAt = make(map[int64]int)
	}
	c.heardOf.readAt[offset] = c.w.step
}

// learnModes notes what a receipt says of its gateway and its sessions.
func (c *custodian) learnModes(r *push.Receipt) {
	if !c.watched() {
		return
	}
	h := &c.heardOf
	if h.calledFrom == nil {
		h.calledFrom, h.readsFrom, h.named = make(map[string]int64), make(map[string]int64), make(map[*session]int64)
	}
	if _, ok := h.readsFrom[r.Node]; r.Called {
		delete(h.readsFrom, r.Node)
	} else if !ok {
		h.readsFrom[r.Node] = c.nextReq
	}
	for _, g := range c.w.gateways {
		if g.node.name != r.Node {
			continue
		}
		if !r.Called {
			delete(h.calledFrom, r.Node)
		} else if g.workers[c.p.number].stintFrom == c.nextRec {
			h.calledFrom[r.Node] = c.nextReq
		}
		for _, b := range r.Connected {
			for _, s := range g.sessions[numberOf(b.User)] {
				if _, ok := h.named[s]; !ok && s.binding() == (push.Binding{User: b.User, Type: b.Type}) && s.entered {
					h.named[s] = c.nextReq
				}
			}
		}
	}
}

// knowsToRead says whether a custodian knows that a gateway reads, as it does.
func (c *custodian) knowsToRead(g *gateway) bool {
	if !c.w.nature.routed() {
		return true
	}
	wk := g.workers[c.p.number]
	return !wk.ledger.Called() && wk.stintFrom >= 0 && wk.stintFrom < c.nextRec
}

// callable returns the sessions for a message that the custodian's router has to find
// in the directory, of gateways that it has known to be called since before it read
// the message.
func (c *custodian) callable(origin int64) (sessions []*session, at []*gateway) {
	m := &c.p.requests[origin].msg
	for _, g := range c.w.gateways {
		wk := g.workers[c.p.number]
		from, ok := c.heardOf.calledFrom[g.node.name]
		if !wk.ledger.Called() || wk.stintFrom < 0 || wk.stintFrom >= c.nextRec || !ok || from > origin {
			continue
		}
		for _, s := range g.sessions[numberOf(m.User)] {
			if s.entered && s.enteredAt < c.heardOf.readAt[origin] && push.Takes(s.typ, m.Type) {
				sessions, at = append(sessions, s), append(at, g)
			}
		}
	}
	return sessions, at
}

// mayRead says whether a gateway was not known to be called before a message was
// read. Its session, if it was found earlier, is left to it.
func (c *custodian) mayRead(origin int64) bool {
	return slices.ContainsFunc(c.w.gateways, func(g *gateway) bool {
		from, ok := c.heardOf.calledFrom[g.node.name]
		return !ok || from > origin
	})
}

// checkCalled: a machine is about to take the user of an offering for absent.
func (c *custodian) checkCalled(a *custody.Action, origin *request) {
	if c.courier == nil || a.FromRetry || c.heardOf.listed[a.Origin] || c.mayRead(a.Origin) {
		return
	}
	_, at := c.callable(a.Origin)
	for _, g := range at {
		if !g.workers[c.p.number].wasCalled(a.Origin) {
			c.w.broken(calledFirst, origin.message, "offering %d/%d waits, and %s was not called with it", c.p.number, a.Origin, g.who)
		}
	}
}

// listen notes what has been learnt of parcels.
func (k *courier) listen(n *push.Carried) {
	c := k.c
	if !c.watched() {
		return
	}
	if n.Receipt != nil {
		c.learnWords(n.Receipt)
		c.learnListed(n.Receipt)
	}
	for _, o := range n.Over {
		sessions, at := c.callable(o)
		for i, g := range at {
			if from, ok := c.heardOf.named[sessions[i]]; ok && from <= o && !g.workers[c.p.number].wasCalled(o) {
				c.w.broken(namedIsCalled, c.p.requests[o].message, "nothing more is done about offering %d/%d, and %s was not called with it",
					c.p.number, o, g.who)
			}
		}
	}
}

// learnListed notes which offsets a gateway has answered for.
func (c *custodian) learnListed(r *push.Receipt) {
	if c.heardOf.listed == nil {
		c.heardOf.listed = make(map[int64]bool)
	}
	for _, list := range [][]int64{r.Delivered, r.Held, r.Queued} {
		for _, o := range list {
			c.heardOf.listed[o] = true
		}
	}
	for _, f := range r.Failed {
		c.heardOf.listed[f.Offset] = true
	}
}

// checkParcel: a machine wants a request carried.
func (k *courier) checkParcel(p *push.Parcel) {
	if r := &k.c.p.requests[p.Offset]; r.msg.User != p.User || r.msg.Type != p.Type {
		k.c.w.broken(itsOwnPayload, r.message, "parcel %d is for %q and %q", p.Offset, p.User, p.Type)
	}
	if h := &k.c.heardOf; k.c.watched() {
		if h.alone == nil {
			h.alone = make(map[int64]bool)
		}
		h.alone[p.Offset] = h.found[p.User] <= 1
	}
}

// checkCall: a node is about to be called.
func (k *courier) checkCall(call *targeted.Call) {
	c, h := k.c, &k.c.heardOf
	if !c.watched() {
		return
	}
	if h.was == nil {
		h.was = make(map[int64]bool)
	}
	for _, o := range call.Offsets {
		h.back = slices.DeleteFunc(h.back, func(b int64) bool { return b == o })
		if !h.was[o] {
			k.checkTurn(o)
		}
		if from, reads := h.readsFrom[call.Node]; reads && from <= o {
			c.w.broken(readersAreLeft, c.p.requests[o].message, "%s is called with offering %d/%d", call.Node, c.p.number, o)
		}
		k.checkOvertaken(call, o)
		m := &c.p.requests[o].msg
		h.alone[o] = h.alone[o] && !h.was[o] && h.found[m.User] == 1
		h.was[o] = true
	}
}

// checkOvertaken: a node is called with an offset, whose user was nowhere else since
// it was to be carried.
func (k *courier) checkOvertaken(call *targeted.Call, o int64) {
	h, m := &k.c.heardOf, &k.c.p.requests[o].msg
	if h.met == nil {
		h.met = make(map[meeting]int64)
	}
	here := meeting{call.Node, call.Life, m.User, m.Type}
	last, ok := h.met[here]
	if ok && last > o && h.alone[o] && !h.was[o] {
		k.c.w.broken(carriedInOrder, k.c.p.requests[o].message, "%s is called with offering %d/%d after %d", call.Node, k.c.p.number, o, last)
	}
	if !ok || last < o {
		h.met[here] = o
	}
}

// checkTurn: an offset is about to be carried for the first time.
func (k *courier) checkTurn(o int64) {
	c := k.c
	m := &c.p.requests[o].msg
	for _, b := range c.heardOf.back {
		if e := &c.p.requests[b].msg; b < o && e.User == m.User && e.Type == m.Type {
			c.w.broken(carriedInOrder, c.p.requests[b].message, "offering %d/%d goes before %d", c.p.number, o, b)
		}
	}
}

// comesBack notes what an answer does not list and has to be looked up again.
func (k *courier) comesBack(call *targeted.Call, answer *push.Receipt) {
	h := &k.c.heardOf
	if !k.c.watched() {
		return
	}
	for _, o := range call.Offsets {
		listed := slices.Contains(answer.Delivered, o) || slices.Contains(answer.Held, o) || slices.Contains(answer.Queued, o) ||
			slices.ContainsFunc(answer.Failed, func(f push.Failure) bool { return f.Offset == o })
		if h.alone[o] && !listed {
			h.back = append(h.back, o)
		}
	}
}

// brought notes that a gateway was called with a request, and whether it took it.
func (g *gateway) brought(wk *worker, offset int64, takes bool) {
	if !g.w.nature.steady {
		return
	}
	if wk.carried == nil {
		wk.carried = make(map[int64]bool)
	}
	if wk.carried[offset] {
		g.w.broken(notCalledTwice, g.w.partitions[wk.number].requests[offset].message, "%s is called with offering %d/%d", g.who, wk.number, offset)
	}
	wk.carried[offset] = takes
}

// wasCalled says whether a gateway was called with a request.
func (wk *worker) wasCalled(offset int64) bool {
	_, ok := wk.carried[offset]
	return ok
}

// absentAreAbsent checks, where all gateways are called and live, that what comes for
// users who are away waits at once, and rests.
func (w *World) absentAreAbsent() {
	if w.nature.routing != called || w.nature.policy.Strict || w.reading() < len(w.gateways) || w.one(2) {
		return
	}
	w.leaveTheDeaf()
	const untilTheDeadAreBuried = 8
	for range untilTheDeadAreBuried {
		w.untilItRests()
		w.now = w.now.Add(second)
	}
	for n := range w.nature.users {
		m := message{user: users[n], typ: types[w.rng.IntN(len(types))], valid: true, offset: -1, expires: w.now.Add(1000 * time.Hour).Truncate(time.Millisecond)}
		w.write(push.Home(m.user, w.count()), m)
	}
	w.untilItRests()
	for _, p := range w.partitions {
		if s := p.custodian.m.Stats(); w.failure == nil && s.InFlight > 0 {
			w.broken(judgedInTime, p.unsettledMessage(), "partition %d: %+v", p.number, s)
		}
	}
}

// untilItRests lets everybody do what there is to do, while no time passes.
func (w *World) untilItRests() {
	for rounds, quiet := 0, 0; w.failure == nil && quiet < 3; rounds++ {
		if quiet++; w.round() {
			quiet = 0
		}
		if rounds > restlessAfter {
			w.broken(comesToRest, everybody, "it goes on for %d rounds, in which no time passes", rounds)
		}
	}
}

// leaveTheDeaf ends the sessions of clients that say nothing any more.
func (w *World) leaveTheDeaf() {
	for _, g := range w.gateways {
		for _, list := range g.sessions {
			for _, s := range slices.Clone(list) {
				if s.deaf {
					g.leave(s)
				}
			}
		}
	}
}

// learnOwners notes at how many nodes users were found.
func (k *courier) learnOwners(found []directory.Found) {
	h := &k.c.heardOf
	if !k.c.watched() {
		return
	}
	if h.found == nil {
		h.found, h.owner = make(map[string]int), make(map[string]directory.Entry)
	}
	for i, user := range k.users {
		owners := directory.Owners(found[i].Entries)
		h.found[user] = len(owners)
		if len(owners) > 0 {
			was, known := h.owner[user]
			if h.owner[user] = found[i].Entries[0]; len(owners) > 1 || known && (was.Node != owners[0].Node || was.Life != owners[0].Life) {
				k.notAlone(user)
			}
		}
	}
}

func (k *courier) notAlone(user string) {
	for o := range k.c.heardOf.alone {
		if k.c.p.requests[o].msg.User == user && !k.c.heardOf.was[o] {
			k.c.heardOf.alone[o] = false
		}
	}
}
