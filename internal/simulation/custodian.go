package simulation

import (
	"strconv"
	"time"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// custodian is the shell around the machine of one partition.
type custodian struct {
	w    *World
	p    *partition
	m    *custody.Machine
	who  string
	skew time.Duration
	// count of partitions that it knows, and with which the machine knows homes.
	count, homes int32

	// begun: where to start is fixed, and the waits are not restored yet.
	begun                    bool
	start                    custody.Start
	nextReq, nextRec         int64
	requestsEnd, receiptsEnd int64
	retryEnd                 int64 // when the waits were restored
	restored                 bool
	// The positions of one moment are committed one after the other; stage says
	// which is next.
	settled custody.Positions
	stage   int
	lanes   [lanes][]ordered
	zombie  bool
	// answering are the nodes that answer for an offering, where it is steady.
	answering map[int64][]string
	life      int // steps a zombie has left
	courier   *courier
	heardOf   hearsay
	judges    judgement
}

// ordered is an action, and how far the receipts were read when it was asked for.
type ordered struct {
	custody.Action
	nextRec int64
}

// lanes are independent of each other; in each, writes keep their order.
const lanes = 5

func laneOf(k custody.ActionKind) int {
	switch k {
	case custody.MakeWait, custody.EndWait:
		return 0
	case custody.Offer:
		return 1
	case custody.DeadLetter:
		return 2
	case custody.MoveHome:
		return 3
	case custody.WriteOutcome:
	}
	return lanes - 1
}

// takeOver gives a partition a new custodian.
func (w *World) takeOver(p *partition) {
	p.lives++
	c := &custodian{w: w, p: p, skew: w.skew(), count: w.count(), begun: true}
	c.who = "custodian" + strconv.Itoa(p.lives) + "/" + strconv.Itoa(int(p.number))
	if w.nature.grows && p.number == 0 && !w.healed && w.one(3) {
		c.count = 1 // it has not heard of the second
	}
	c.homes = c.count
	c.nextReq, c.nextRec = p.committed.Requests, min(p.committed.Receipts, p.receiptsSince(c.now().Add(-w.policy().Custody.ReceiptsLookback)))
	c.requestsEnd, c.receiptsEnd = int64(len(p.requests)), int64(len(p.receipts))
	c.start = custody.Start{
		Policy: w.policy(), Now: c.now(), Requests: c.nextReq, Receipts: c.nextRec, Retry: p.committed.Retry,
		Heed: p.committed.Receipts, RequestsEnd: c.requestsEnd,
	}
	c.start.Policy.Targeted = w.drawMode()
	p.custodian = c
	if w.story != nil {
		w.happens(c.who, "takes over at requests "+strconv.FormatInt(c.nextReq, 10)+", receipts "+strconv.FormatInt(c.start.Heed, 10)+
			", retry "+strconv.FormatInt(c.start.Retry, 10))
	}
	if !w.nature.strays || w.one(2) {
		c.restoreWaits()
	}
}

// restoreWaits makes the machine and reads the retry log.
func (c *custodian) restoreWaits() {
	c.begun = false
	c.m = custody.NewMachine(c.start)
	c.courier = newCourier(c)
	for at := c.start.Retry; at < int64(len(c.p.retry)); at++ {
		r := &c.p.retry[at]
		if r.entry.Ends {
			c.m.RestoreEnd(r.entry.Origin)
			continue
		}
		home, foreign := c.homeOf(r.entry.User)
		c.m.RestoreWait(custody.Restored{
			At: at, User: r.entry.User, Type: r.entry.Type, Wait: r.entry.Wait, Foreign: foreign, Home: home, Size: int32(r.rec.Size()), //nolint:gosec // small
		})
	}
	c.retryEnd = int64(len(c.p.retry))
	c.m.RetryRead(c.retryEnd)
	c.restoredYet()
}

func (c *custodian) now() time.Time { return c.w.now.Add(c.skew) }

func (c *custodian) homeOf(user string) (home int32, foreign bool) {
	home = push.Home(user, c.count)
	return home, home != c.p.number
}

// full says that reading requests has to wait.
func (c *custodian) full() bool {
	s, limit := c.m.Stats(), c.w.policy().Custody.MaxInFlight
	return s.InFlight >= limit || s.Pending >= limit
}

// stuffed says that receipts are better left in the log.
func (c *custodian) stuffed() bool {
	s, limit := c.m.Stats(), c.w.policy().Custody.MaxInFlight
	return s.Pending >= limit && s.Early >= limit
}

// readRequests reads so many requests. It says whether there was one.
func (c *custodian) readRequests(n int) bool {
	if c.full() {
		return false
	}
	c.m.Advance(c.now(), false)
	c.gather()
	before := c.nextReq
	for ; n > 0 && c.nextReq < int64(len(c.p.requests)); n-- {
		c.m.Request(c.understand(&c.p.requests[c.nextReq]))
		c.reads(c.nextReq)
		c.weighsFrom(c.nextReq)
		c.nextReq++
	}
	c.m.RequestsRead(c.nextReq)
	c.gather()
	return c.nextReq > before
}

func (c *custodian) understand(rec *request) custody.Request {
	m := &rec.msg
	r := custody.Request{
		Offset: m.Offset, ID: m.ID, User: m.User, Type: m.Type, Accepted: m.FirstSeen, Expires: m.Expires, MayRepeat: m.MayRepeat,
		Attempt: m.Attempt, Failures: m.Failures, Order: m.Order, EndsWait: m.EndsWait, Size: int32(rec.rec.Size()), //nolint:gosec // small
	}
	if c.w.nature.policy.Strict && m.Raw() {
		r.Attempt = 0
	}
	if rec.invalid != nil {
		r.Invalid = rec.invalid
		return r
	}
	r.Home, r.Foreign = c.homeOf(m.User)
	return r
}

// readReceipts reads so many receipts. It says whether there was one.
func (c *custodian) readReceipts(n int) bool {
	if c.stuffed() {
		return false
	}
	c.m.Advance(c.now(), false)
	c.gather()
	before := c.nextRec
	for ; n > 0 && c.nextRec < int64(len(c.p.receipts)); n-- {
		if command := c.p.receipts[c.nextRec].command; command != nil {
			c.m.Command(c.nextRec, command)
			c.nextRec++
			c.gather()
			continue
		}
		r := c.p.receipts[c.nextRec].Receipt
		c.listen(&r)
		c.hears(&r)
		c.m.Receipt(c.nextRec, &r)
		c.courier.connected(r.Connected)
		c.nextRec++
		c.gather()
	}
	c.m.ReceiptsRead(c.nextRec)
	if c.nextRec == int64(len(c.p.receipts)) {
		c.m.Advance(c.now(), true)
	}
	c.gather()
	return c.nextRec > before
}

// hearNothing looks for receipts when time has passed.
func (c *custodian) hearNothing() {
	if c.nextRec == int64(len(c.p.receipts)) {
		c.m.Advance(c.now(), true)
	} else {
		c.m.Advance(c.now(), false)
	}
	c.gather()
}

// tick looks at the clock, and at how many partitions there are.
func (c *custodian) tick() {
	c.m.Advance(c.now(), false)
	c.count = c.w.count()
	if c.count != c.homes {
		c.w.happens(c.who, "learns of another partition")
		c.homes = c.count
		c.m.Rehome(c.homeOf)
	}
	c.gather()
}

func (c *custodian) readAll() {
	if c.begun {
		c.restoreWaits()
	}
	const enough = 10_000
	rounds := 0
	for again := true; again && c.w.failure == nil; rounds++ {
		if rounds > enough {
			c.w.broken(noMisstep, everybody, "%s never comes to rest", c.who)
			return
		}
		again = c.readReceipts(len(c.p.receipts))
		again = c.readRequests(len(c.p.requests)) || again
		for n := 0; n < enough && c.carryOut(knowing); n++ {
			again = true
		}
		again = c.courier.drain() || again
	}
}

// gather takes over what the machine wants written, and ends restoring when it
// is time.
func (c *custodian) gather() {
	c.restoredYet()
	for _, a := range c.m.Actions() {
		c.checkAction(&a)
		c.checkOutwaited(&a)
		lane := laneOf(a.Kind)
		c.lanes[lane] = append(c.lanes[lane], ordered{a, c.nextRec})
	}
	c.m.Settled()
	c.courier.give()
}

func (c *custodian) restoredYet() {
	makesRoom := c.w.policy().Strict && c.m.Stats().Pending > 0
	if c.restored || c.nextReq < c.requestsEnd && (!c.full() || makesRoom) || c.nextRec < c.receiptsEnd {
		return
	}
	c.restored = true
	c.m.Advance(c.now(), false)
	c.m.Restored()
	c.w.happens(c.who, "answers for the partition")
}

// How the writer of an action fares.
type fate int

const (
	knowing  fate = iota // it learns that it has written
	dying                // it dies before it learns
	tooLate              // it dies, and the write arrives long after
	rejected             // the broker refuses the record
)

// carryOutSome makes so many actions durable, unless the custodian dies of it.
func (c *custodian) carryOutSome(n int) {
	w := c.w
	for ; n > 0 && c.p.custodian == c; n-- {
		f := knowing
		if w.nature.deadly && w.one(8) {
			f = dying
		}
		c.carryOut(f)
		if w.nature.deadly && c.p.custodian == c && w.one(3) {
			c.commit(1 + w.rng.IntN(3))
			if w.one(12) {
				c.die()
			}
		}
	}
}

// carryOut makes one action durable, the first of any lane. It is false where
// there is none.
func (c *custodian) carryOut(f fate) bool {
	lane := c.anyLane()
	if lane < 0 {
		return false
	}
	o := c.lanes[lane][0]
	c.lanes[lane] = c.lanes[lane][1:]
	src := c.source(&o.Action)
	if o.Kind == custody.MakeWait && o.FromRetry && !c.w.nature.steady && !c.w.healed && c.w.one(8) {
		f = rejected // what cleans the log may be refused, too
	}
	if src == nil {
		c.w.broken(noMisstep, everybody, "%s of origin %d (retry %v at %d) names no record", o.Kind, o.Origin, o.FromRetry, o.RetryAt)
		return false
	}
	switch f {
	case tooLate:
		c.w.late = append(c.w.late, func() { c.write(&o, src, true) })
		c.die()
		return true
	case rejected:
		if o.Kind == custody.Offer || o.Kind == custody.MakeWait || o.Kind == custody.MoveHome {
			c.w.happens(c.who, "a record is refused: "+o.Kind.String())
			c.m.Refused(o.ID, "too large for its topic")
			c.gather()
			return true
		}
	case knowing, dying:
	}
	at := c.write(&o, src, c.zombie)
	if c.w.nature.strays && !c.w.healed {
		switch c.w.rng.IntN(24) {
		case 0:
			at = c.write(&o, src, true)
		case 1:
			c.w.late = append(c.w.late, func() { c.write(&o, src, true) })
		}
	}
	if f == dying && !c.zombie {
		c.die()
		return true
	}
	c.m.Done(o.ID, at)
	c.courier.stored(&o.Action)
	c.gather()
	return true
}

// anyLane chooses one of the lanes that have something to write, -1 if none has or
// it is slow.
func (c *custodian) anyLane() int {
	lane, n := -1, 0
	for i := range c.lanes {
		if len(c.lanes[i]) > 0 {
			if n++; c.w.rng.IntN(n) == 0 {
				lane = i
			}
		}
	}
	if lane >= 0 && lane == c.w.nature.slowLane && !c.w.healed && !c.w.one(6) {
		return -1
	}
	return lane
}

// source is the record that an action copies, as it is understood; nil where there
// is none.
type source struct {
	rec     *push.Record
	lineage push.Lineage
	message int
}

func (c *custodian) source(a *custody.Action) *source {
	if a.FromRetry {
		if a.RetryAt < 0 || a.RetryAt >= int64(len(c.p.retry)) {
			return nil
		}
		r := &c.p.retry[a.RetryAt]
		if r.entry.Ends || r.entry.Origin != a.Origin {
			return nil
		}
		return &source{&r.rec, r.entry.Lineage, r.message}
	}
	if a.Origin < 0 || a.Origin >= int64(len(c.p.requests)) {
		return nil
	}
	r := &c.p.requests[a.Origin]
	return &source{&r.rec, r.msg.Lineage(), r.message}
}

// write appends what an action asks for to its log.
func (c *custodian) write(o *ordered, src *source, stray bool) int64 {
	w, p, a := c.w, c.p, &o.Action
	origin := &p.requests[a.Origin]
	l := src.lineage
	l.Attempt, l.Failures, l.Order, l.MayRepeat = a.Attempt, a.Failures, a.Order, a.MayRepeat
	told := note{who: c.who, what: a.Kind.String() + " of " + strconv.FormatInt(a.Origin, 10), message: src.message, partition: p.number, offset: -1, reason: a.Reason}
	defer func() { w.tell(told) }()
	if stray {
		told.what += ", repeated, late, or by one who was replaced"
	}
	switch a.Kind {
	case custody.MakeWait:
		wait := push.Wait{Lineage: l, Origin: a.Origin, Reason: a.Reason, Due: a.Due}
		told.offset = p.addRetry(w, push.WaitRecord(src.rec, wait), src.message, stray)
		p.checkWait(w, told.offset, wait)
		return told.offset
	case custody.EndWait:
		told.offset = p.addRetry(w, push.EndRecord(a.User, a.Origin), src.message, stray)
		return told.offset
	case custody.Offer:
		origin.safe, origin.followed = true, true
		ends := push.NoWait
		if a.FromRetry {
			ends = a.Origin
			origin.wentOn = true
		}
		told.offset = p.addRequest(w, push.OfferRecord(src.rec, l, ends))
		p.checkLineage(w, told.offset, l, ends)
		return told.offset
	case custody.MoveHome:
		origin.safe, origin.followed = true, true
		told.partition = a.Home
		told.offset = w.partitions[a.Home].addRequest(w, push.OfferRecord(src.rec, l, push.NoWait))
		w.partitions[a.Home].checkLineage(w, told.offset, l, push.NoWait)
		return told.offset
	case custody.DeadLetter:
		w.checkDiscarded(src.message, a.Reason, origin)
		origin.safe, origin.followed = true, true
		w.messages[src.message].dead++
		w.checkExpiry(src.message, a.Reason)
	case custody.WriteOutcome:
		origin.followed = true
		c.writeOutcome(a, src)
		told.what += ": " + a.Report.Outcome.String()
	}
	return 0
}

// writeOutcome counts what became of a message, as it is reported.
func (c *custodian) writeOutcome(a *custody.Action, src *source) {
	r, m := a.Report, &c.w.messages[src.message]
	if r.ID == "" {
		r.ID, r.User = src.lineage.ID, string(src.rec.Key)
	}
	m.outcomes++
	if !r.MayRepeat {
		m.unmarked++
	}
	switch {
	case r.ID != m.id || r.User != m.user:
		c.w.broken(itsOwnPayload, src.message, "its outcome names message %q of user %q", r.ID, r.User)
	case r.Outcome == push.Delivered && m.seen == 0:
		c.w.broken(deliveredWasSeen, src.message, "the outcome of offering %d", a.Origin)
	case m.unmarked > 1 && !c.w.nature.strays:
		c.w.broken(oneUnmarkedOutcome, src.message, "the second is %s, of offering %d", r.Outcome, a.Origin)
	case r.Outcome == push.Expired:
		c.w.checkExpiry(src.message, push.TimeToLive)
	}
}

// commit commits so many of the three positions, one after the other.
func (c *custodian) commit(n int) {
	for range n {
		if c.stage == 0 {
			c.settled = c.m.Positions()
		}
		at := c.settled
		switch c.stage {
		case 0:
			c.checkRequests(at.Requests)
			c.p.committed.Requests = max(c.p.committed.Requests, at.Requests)
		case 1:
			c.checkReceipts(at)
			c.p.committed.Receipts = max(c.p.committed.Receipts, at.Receipts)
		case 2:
			c.checkRetry(at.Retry)
			c.p.committed.Retry = max(c.p.committed.Retry, at.Retry)
		}
		if c.w.story != nil {
			name := [...]string{" requests ", " receipts ", " retry "}[c.stage]
			c.w.happens(c.who, commits+name+strconv.FormatInt([...]int64{at.Requests, at.Receipts, at.Retry}[c.stage], 10))
		}
		c.stage = (c.stage + 1) % 3
	}
}

// die ends a custodian. It may go on as a zombie; another takes over, soon.
func (c *custodian) die() {
	w := c.w
	if c.p.custodian == c {
		c.p.custodian = nil
	}
	if w.nature.strays && !c.zombie && !c.begun && !w.healed && w.one(3) {
		c.zombie, c.life = true, 5+w.rng.IntN(40)
		w.zombies = append(w.zombies, c)
		w.happens(c.who, "is replaced, and goes on")
	} else {
		w.happens(c.who, "dies")
		c.courier.dies()
	}
	if c.p.custodian == nil && w.one(2) {
		w.takeOver(c.p)
	}
}
