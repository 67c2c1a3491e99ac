package simulation

import (
	"math"
	"slices"
	"time"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// checkKept: a record that carries a message carries that message.
func (w *World) checkKept(number int, id, user, typ string, expires time.Time) {
	if number < 0 || number >= len(w.messages) {
		w.broken(itsOwnPayload, everybody, "a record carries the payload of no message")
		return
	}
	m := &w.messages[number]
	if m.id != id || m.user != user || m.typ != typ || !m.expires.Equal(expires) {
		w.broken(itsOwnPayload, number, "a record has id %q, user %q, type %q, expiry %s; it was %q, %q, %q, %s",
			id, user, typ, expires, m.id, m.user, m.typ, m.expires)
	}
}

// checkLineage: an offering was written.
func (p *partition) checkLineage(w *World, at int64, l push.Lineage, endsWait int64) {
	if r := &p.requests[at]; !sameLineage(l, r.msg.Lineage()) || r.msg.EndsWait != endsWait || r.msg.Raw() != (l.Attempt == 0) {
		w.broken(codecKeepsEverything, r.message, "offering %d/%d was to be %+v and end wait %d; it is %+v, and ends %d",
			p.number, at, l, endsWait, r.msg.Lineage(), r.msg.EndsWait)
	}
}

// checkWait: a wait was written.
func (p *partition) checkWait(w *World, at int64, wait push.Wait) {
	if w.failure != nil {
		return
	}
	r := &p.retry[at]
	if got := r.entry.Wait; !sameLineage(wait.Lineage, got.Lineage) || got.Origin != wait.Origin || got.Reason != wait.Reason || !got.Due.Equal(wait.Due) {
		w.broken(codecKeepsEverything, r.message, "a wait was to be %+v; it is %+v", wait, got)
	}
}

func sameLineage(a, b push.Lineage) bool {
	alike := a.Expires.Equal(b.Expires) && a.FirstSeen.Equal(b.FirstSeen)
	a.Expires, a.FirstSeen, b.Expires, b.FirstSeen = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return alike && a == b
}

// checkEnd: a wait is about to end.
func (p *partition) checkEnd(w *World, origin *request) {
	if origin.waitAt < 0 {
		w.broken(endsAfterTheNext, origin.message, "a wait ends that was never made, of offering %d/%d", p.number, origin.rec.Offset)
	}
	if !origin.followed && !origin.delivered && !w.mayHaveExpired(origin.message) {
		w.broken(endsAfterTheNext, origin.message, "the wait of offering %d/%d ends, and nothing has followed it", p.number, origin.rec.Offset)
	}
}

// mayHaveExpired says whether a message may be gone without a trace.
func (w *World) mayHaveExpired(number int) bool {
	return w.nature.policy.DropExpired && !w.messages[number].expires.After(w.now.Add(maxSkew))
}

// checkOrder: a message is about to be shown for the first time.
func (w *World) checkOrder(number int) {
	m := &w.messages[number]
	turn := &w.turns[numberOf(m.user)][slices.Index(types[:], m.typ)]
	for turn.next < m.place-1 {
		first := turn.messages[turn.next]
		if earlier := &w.messages[first]; earlier.seen == 0 && earlier.dead == 0 && earlier.valid && earlier.expires.After(w.now.Add(maxSkew)) {
			w.broken(inOrder, number, "message %d stands before it at its user's home, and was not shown yet", first)
			return
		}
		turn.next++
	}
}

// checkExpiry: a message is said to have died.
func (w *World) checkExpiry(number int, reason push.Reason) {
	if expires := w.messages[number].expires; reason == push.TimeToLive && expires.After(w.now.Add(maxSkew)) {
		w.broken(expiredInItsTime, number, "it is %s, and it expires at %s", w.now, expires)
	}
}

// checkAction: a machine asks for a write.
func (c *custodian) checkAction(a *custody.Action) {
	if a.Origin < 0 || a.Origin >= int64(len(c.p.requests)) {
		return // carrying it out fails
	}
	origin := &c.p.requests[a.Origin]
	if a.Kind == custody.Offer && origin.delivered && a.Origin < c.nextReq && c.heard(origin.deliveredAt) {
		c.w.broken(deliveredIsOver, origin.message, "%s of offering %d/%d, of which receipt %d has said that it was delivered",
			a.Kind, c.p.number, a.Origin, origin.deliveredAt)
	}
	if a.FromRetry && origin.ended && origin.endedAt > origin.waitAt && origin.endedAt < c.retryEnd {
		c.w.broken(endedIsOver, origin.message, "%s of offering %d/%d, the wait of which has ended in retry record %d",
			a.Kind, c.p.number, a.Origin, origin.endedAt)
	}
	if c.w.nature.steady {
		c.checkSteady(a, origin)
	}
}

// checkSteady: a machine asks for a write in a world where no gateway dies or lags.
func (c *custodian) checkSteady(a *custody.Action, origin *request) {
	if a.Kind == custody.MakeWait && a.Reason == push.Offline && a.Attempt > 0 {
		c.checkCalled(a, origin)
		for _, g := range c.w.gateways {
			if at := g.workers[c.p.number].position; at <= a.Origin && c.knowsToRead(g) {
				c.w.broken(judgedByAll, origin.message, "offering %d/%d waits, and %s has read to %d", c.p.number, a.Origin, g.who, at)
			}
		}
	}
	if by := c.answering[a.Origin]; len(by) > 0 && !a.FromRetry && (a.Kind == custody.MakeWait || a.Kind == custody.Offer || a.Reason == push.Exhausted) {
		c.w.broken(leftToWhoAnswers, origin.message, "%s of offering %d/%d; %s answers for it", a.Kind, c.p.number, a.Origin, by[0])
	}
}

// listen notes which gateways have said that they answer for an offering.
func (c *custodian) listen(r *push.Receipt) {
	if !c.w.nature.steady {
		return
	}
	c.learnModes(r)
	c.learnWords(r)
}

// learnWords notes what a receipt, or an answer, says of offerings.
func (c *custodian) learnWords(r *push.Receipt) {
	if c.answering == nil {
		c.answering = make(map[int64][]string)
	}
	for _, list := range [][]int64{r.Held, r.Queued} {
		for _, o := range list {
			if !c.heardOf.isOver(r.Node, o) && !slices.Contains(r.Delivered, o) && !slices.ContainsFunc(r.Failed, func(f push.Failure) bool { return f.Offset == o }) {
				c.answering[o] = append(c.answering[o], r.Node)
			}
		}
	}
	ends := func(o int64) {
		c.heardOf.isOverNow(c.w, r.Node, o)
		c.answering[o] = slices.DeleteFunc(c.answering[o], func(node string) bool { return node == r.Node })
	}
	for _, o := range r.Delivered {
		ends(o)
	}
	for _, f := range r.Failed {
		ends(f.Offset)
	}
}

// heard says whether the custodian has read a receipt, and has to heed it.
func (c *custodian) heard(receipt int64) bool { return receipt >= c.start.Heed && receipt < c.nextRec }

// checkThrough: a receipt of a gateway, or a part of one, is durable. That it reads no more,
// which it did by its last one, is evidence of all that it has read.
func (g *gateway) checkThrough(wk *worker, r *push.Receipt) {
	through := r.ReadThrough
	if r.Called && wk.saidToRead {
		through = math.MaxInt64
	}
	wk.saidToRead = !r.Called
	for wk.cutIn == wk.stints && wk.listed < len(wk.owned) && wk.owned[wk.listed].offset < through {
		o := wk.owned[wk.listed]
		if !o.listed {
			g.w.broken(throughIsEvidence, g.w.partitions[wk.number].requests[o.offset].message,
				"%s has said that it had read through %d, and never listed offering %d/%d, which it had", g.who, through, wk.number, o.offset)
			return
		}
		wk.listed++
	}
}

// checkCommit: a gateway commits.
func (g *gateway) checkCommit(wk *worker, at int64) {
	for wk.told < len(wk.owned) && wk.owned[wk.told].offset < at {
		o := wk.owned[wk.told]
		if !o.told {
			g.w.broken(gatewayCommits, g.w.partitions[wk.number].requests[o.offset].message,
				"%s commits %d, and no receipt says what became of offering %d/%d", g.who, at, wk.number, o.offset)
			return
		}
		wk.told++
	}
	if at > wk.position {
		g.w.broken(gatewayCommits, everybody, "%s commits %d and has read to %d", g.who, at, wk.position)
	}
}

// checkRequests: a custodian commits requests below at.
func (c *custodian) checkRequests(at int64) {
	p := c.p
	for ; p.checked.Requests < at; p.checked.Requests++ {
		r := &p.requests[p.checked.Requests]
		if !r.safe && !c.w.mayHaveExpired(r.message) {
			c.w.broken(custodianCommits, r.message, "%s commits %d", c.who, at)
			return
		}
		if from := r.msg.EndsWait; from >= 0 && !p.requests[from].ended && !c.w.nature.strays {
			c.w.broken(endedBeforeCommit, r.message, "%s commits %d; the wait of offering %d has not ended", c.who, at, from)
			return
		}
	}
}

// checkReceipts: a custodian commits receipts.
func (c *custodian) checkReceipts(at custody.Positions) {
	p := c.p
	for ; p.checked.Receipts < at.Receipts; p.checked.Receipts++ {
		if r := &p.receipts[p.checked.Receipts]; r.through > at.Requests {
			c.w.broken(receiptsCommit, everybody, "%s commits receipts %d; receipt %d speaks of what is below %d, and requests are settled to %d only",
				c.who, at.Receipts, p.checked.Receipts, r.through, at.Requests)
			return
		}
	}
}

// checkRetry: a custodian commits the retry log below at.
func (c *custodian) checkRetry(at int64) {
	p := c.p
	for ; p.checked.Retry < at; p.checked.Retry++ {
		r := &p.retry[p.checked.Retry]
		if r.entry.Ends || r.stray || c.w.nature.strays {
			continue
		}
		if origin := &p.requests[r.entry.Origin]; !origin.ended && origin.waitAt < at {
			c.w.broken(retryCommits, r.message, "%s commits %d; the wait of offering %d/%d has not ended", c.who, at, p.number, r.entry.Origin)
			return
		}
	}
}

// checkEnd checks what must be true of a world that has had its time to become
// quiet.
func (w *World) checkEnd() {
	for _, p := range w.partitions {
		if s := p.custodian.m.Stats(); s.InFlight+s.Waiting+s.Pending > 0 {
			w.broken(nothingWaits, p.unsettledMessage(), "partition %d after %d seconds: %+v", p.number, patience, s)
		}
	}
	for number := range w.messages {
		m := &w.messages[number]
		switch {
		case m.seen == 0 && m.dead == 0 && !w.mayHaveExpired(number):
			w.broken(nothingLost, number, "it was neither seen nor dead-lettered; its user is connected")
		case w.nature.policy.Outcomes && m.outcomes == 0:
			w.broken(anOutcomeEach, number, "it has none")
		}
	}
	for _, p := range w.partitions {
		want := custody.Positions{Requests: int64(len(p.requests)), Receipts: int64(len(p.receipts)), Retry: int64(len(p.retry))}
		for want.Retry > p.committed.Retry && p.retry[want.Retry-1].stray {
			want.Retry-- // its custodian does not know of it
		}
		if p.committed != want {
			w.broken(allCommittable, p.unsettledMessage(), "partition %d is committed to %+v of %+v", p.number, p.committed, want)
		}
		for _, g := range w.gateways[:w.reading()] {
			if wk := g.workers[p.number]; wk.ledger.Called() {
				continue
			} else if at := wk.ledger.Committable(); at != int64(len(p.requests)) {
				w.broken(allCommittable, everybody, "%s has settled partition %d to %d of %d", g.who, p.number, at, len(p.requests))
			}
		}
	}
}

// unsettledMessage guesses which message a story should be about.
func (p *partition) unsettledMessage() int {
	for i := range p.requests {
		if r := &p.requests[i]; r.waitAt >= 0 && !r.ended || !r.safe {
			return r.message
		}
	}
	return everybody
}
