package custody

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"pushgate/internal/push"
)

// gateway is one life of a gateway, as its receipts on this partition tell it.
type gateway struct {
	node        string
	epoch       int64
	readThrough int64
	// heard and progressed are in observed time.
	heard, progressed time.Duration
	gone              bool
	// called: it reads no requests, so that readThrough is no evidence.
	called bool
}

// life tells one from all others, also from itself after it was taken for dead.
type life struct {
	node  string
	epoch int64
}

func (g *gateway) life() life { return life{g.node, g.epoch} }

// earlyWord is what a receipt said of a request this custodian has not read yet.
type earlyWord struct {
	from   *gateway
	status wordStatus
	reason push.Reason
	mark   *receiptMark
}

// earlyBinding is a session that was opened after its gateway had read further
// than this custodian: requests in between, the session has not seen.
type earlyBinding struct {
	session     string // the business type it takes
	readThrough int64
	mark        *receiptMark
}

type wordStatus uint8

const (
	wordDelivered wordStatus = iota // in the order of applyEarly
	wordClaimed                     // held or queued: that gateway answers for it
	wordFailed
)

// Receipt takes in the receipt at offset at of the receipt topic. Offsets must
// grow; one that was seen is ignored.
func (m *Machine) Receipt(at int64, r *push.Receipt) {
	if at < m.receipts.next {
		return
	}
	defer m.afterwards()
	g := m.gatewayOf(r)
	if at >= m.heed {
		m.heard(m.receipts.add(at), g, r)
	}
	m.ReceiptsRead(at + 1)
	if r.Presence == push.Goodbye && !g.gone {
		m.bury(g)
	}
	m.judge()
}

// heard takes in what a gateway says of requests and sessions.
func (m *Machine) heard(mark *receiptMark, g *gateway, r *push.Receipt) {
	for _, o := range r.Delivered {
		m.word(o, earlyWord{from: g, status: wordDelivered, mark: mark})
	}
	for _, list := range [][]int64{r.Held, r.Queued} {
		for _, o := range list {
			m.word(o, earlyWord{from: g, status: wordClaimed, mark: mark})
		}
	}
	for _, f := range r.Failed {
		m.word(f.Offset, earlyWord{from: g, status: wordFailed, reason: f.Reason, mark: mark})
	}
	for _, b := range r.Connected {
		if r.Called {
			m.found(mark, b)
		} else {
			m.connected(mark, b, r.ReadThrough-b.Saw)
		}
	}
}

// ReceiptsRead says that every receipt below next was read, also where the log
// has gaps or records that are no receipts.
func (m *Machine) ReceiptsRead(next int64) { m.receipts.next = max(m.receipts.next, next) }

// gatewayOf finds or makes the life a receipt speaks for. A newer epoch ends the
// older one. An older epoch (a process that shares its id with a newer one)
// speaks only for what it delivered or failed: it is returned as gone.
func (m *Machine) gatewayOf(r *push.Receipt) *gateway {
	g := m.gateways[r.Node]
	if g != nil && r.Epoch < g.epoch {
		return &gateway{node: r.Node, epoch: r.Epoch, gone: true}
	}
	if g == nil || r.Epoch > g.epoch {
		if g != nil {
			m.bury(g)
		}
		g = &gateway{node: r.Node, epoch: r.Epoch, progressed: m.observed, called: r.Called}
		m.gateways[r.Node] = g
		m.modes++
	}
	g.heard = m.observed
	if r.Called != g.called {
		m.changeMode(g, r)
	}
	if r.ReadThrough > g.readThrough {
		g.readThrough = r.ReadThrough
		g.progressed = m.observed
	}
	return g
}

// buryTheSilent ends the life of every gateway that was not heard for the window.
func (m *Machine) buryTheSilent() {
	var silent []*gateway
	for _, g := range m.gateways {
		if m.observed-g.heard > m.policy.Custody.Window {
			silent = append(silent, g)
		}
	}
	slices.SortFunc(silent, func(a, b *gateway) int { return cmp.Compare(a.node, b.node) })
	for _, g := range silent {
		m.bury(g)
	}
}

// bury ends the life of a gateway: nobody answers any more for what it claimed.
func (m *Machine) bury(g *gateway) {
	g.gone = true
	delete(m.gateways, g.node)
	m.modes++
	for _, e := range m.allBy(&m.flights) {
		m.noLonger(e, g)
	}
}

// noLonger takes in that somebody answers for a message no more, and has not said
// that it failed.
func (m *Machine) noLonger(e *entry, g *gateway) {
	if e.state == inFlight && e.work.unclaim(g) && len(e.work.claims) == 0 {
		m.giveBack(e)
	}
}

func (w *work) unclaim(g *gateway) bool {
	i := slices.Index(w.claims, g)
	if i < 0 {
		return false
	}
	w.claims = slices.Delete(w.claims, i, i+1)
	return true
}

// word applies what a gateway said of one offering.
func (m *Machine) word(origin int64, w earlyWord) {
	w.mark.through = max(w.mark.through, origin+1)
	// First of all: what waits under that name may turn out to be another message.
	if origin >= m.next {
		m.early[origin] = append(m.early[origin], w)
		return
	}
	if e := m.flight(origin); e != nil {
		m.apply(e, w)
		return
	}
	if e := m.waitOf(origin); e != nil && !e.isMisnamed() {
		m.wordLate(e, w)
	}
}

// wordLate applies a gateway's word to an offering that waits already.
func (m *Machine) wordLate(e *entry, w earlyWord) {
	switch w.status {
	case wordDelivered:
		m.deliveredLate(w.mark, e, w.from)
	case wordFailed:
		m.failedWhileWriting(w.mark, e, w.reason)
		m.failedLate(w.mark, e, w.reason)
	case wordClaimed: // a Delivered or Failed follows
	}
}

// apply applies a gateway's word to an offering in flight.
func (m *Machine) apply(e *entry, w earlyWord) {
	if d := e.work.detail; d != nil && d.written.IsZero() && w.status != wordFailed {
		d.written = m.now
	}
	switch w.status {
	case wordDelivered:
		m.delivered(e, w.from, w.mark)
	case wordClaimed:
		if e.state == inFlight && !w.from.gone && !slices.Contains(e.work.claims, w.from) && !slices.Contains(e.work.gaveUp, w.from.life()) {
			e.work.claims = append(e.work.claims, w.from)
		}
	case wordFailed:
		if e.state == inFlight {
			m.failedAt(e, w.from, w.reason)
		} else {
			m.failedWhileWriting(w.mark, e, w.reason)
		}
	}
}

// applyEarly applies what was said of an offering before it was read. That it was
// delivered goes first, then that a gateway answers for it: what failed elsewhere
// decides nothing then. Of one gateway's words a claim comes before its failure
// anyway.
func (m *Machine) applyEarly(origin int64, words []earlyWord) {
	slices.SortStableFunc(words, func(a, b earlyWord) int {
		return cmp.Compare(a.status, b.status)
	})
	for _, w := range words {
		if e := m.flight(origin); e != nil {
			m.apply(e, w)
		}
	}
}

// failedAt takes in that one gateway could not deliver. While another gateway
// answers for the message, nothing is decided.
func (m *Machine) failedAt(e *entry, g *gateway, reason push.Reason) {
	e.work.unclaim(g)
	if l := g.life(); !slices.Contains(e.work.gaveUp, l) {
		e.work.gaveUp = append(e.work.gaveUp, l)
	}
	if reason.UsesAttempt() {
		e.work.failed, e.reason = true, reason
	}
	switch {
	case len(e.work.claims) > 0:
	case e.work.failed:
		m.attemptFailed(e)
	default:
		m.giveBack(e) // the user left; others may hold them
	}
}

// giveBack puts an offering that a gateway gave up under judgement again.
func (m *Machine) giveBack(e *entry) {
	if e.work.failed {
		m.attemptFailed(e)
		return
	}
	if !e.work.returned {
		e.work.returned, m.jumbled = true, true
		m.returned = append(m.returned, e.origin)
	}
}

// judge concludes that nobody owns the user of an offering, where that is
// certain: every living gateway has read past it and none answers for it.
func (m *Machine) judge() {
	if !m.restored {
		return
	}
	for len(m.queue) > 0 {
		e := m.open(m.queue[0])
		if e != nil && !m.seenByAll(e) {
			break
		}
		m.queue = m.queue[1:]
		if e != nil {
			m.nobodyHere(e)
		}
	}
	m.judgeReturned()
}

// open returns the entry at an origin if it is in flight and no gateway answers
// for it, else nil.
func (m *Machine) open(origin int64) *entry {
	e := m.flight(origin)
	if e == nil || e.state != inFlight || len(e.work.claims) > 0 {
		return nil
	}
	return e
}

// judgeReturned is the same for what gateways gave up. It looks no further than the
// first that not all have seen, as those that follow have been seen by fewer: there
// may be tens of thousands, and this is done with every receipt.
func (m *Machine) judgeReturned() {
	if m.jumbled {
		slices.Sort(m.returned)
		m.jumbled = false
	}
	for len(m.returned) > 0 {
		e := m.open(m.returned[0])
		if e != nil && !m.seenByAll(e) {
			return
		}
		if claimed := m.flight(m.returned[0]); claimed != nil {
			claimed.work.returned = false
		}
		m.returned = m.returned[1:]
		if e != nil {
			m.nobodyHere(e)
		}
	}
}

// seenByAll says whether every living gateway has looked at the offering. One
// that has stood still for the window, though there was something to read, is
// outwaited.
func (m *Machine) seenByAll(e *entry) bool {
	for _, g := range m.gateways {
		if g.called && m.courier != nil {
			continue // see carry
		}
		if g.readThrough > e.origin {
			continue
		}
		if m.observed-max(g.progressed, e.work.readAt) <= m.policy.Custody.Window {
			return false
		}
	}
	return true
}

// connected takes in that a session was opened at a gateway that had read
// through: what is below that, the session has not seen. What is not, the gateway
// has listed if it was for this user.
func (m *Machine) connected(mark *receiptMark, b push.Binding, readThrough int64) {
	mark.through = max(mark.through, readThrough)
	if readThrough > m.next {
		m.bindEarly(b.User, earlyBinding{session: b.Type, readThrough: readThrough, mark: mark})
	}
	m.want(mark, b, readThrough)
}

// found takes in that a session can be found by those who carry. It has seen nothing
// of what is here; what is read here later finds it. A wait that was restored may
// stand at an offset that was not read yet, and is not carried from there.
func (m *Machine) found(mark *receiptMark, b push.Binding) {
	mark.through = max(mark.through, m.next)
	m.want(mark, b, math.MaxInt64)
}

// want marks what a session has not seen, below an offset, and offers what of it
// waits.
func (m *Machine) want(mark *receiptMark, b push.Binding, below int64) {
	u := m.named(b.User)
	if u == nil {
		return
	}
	var held []ref // types, where order is strict
	for r := u.first; r != none; {
		e := m.entries.at(r)
		r = e.next // leaving may unlink e
		if !push.Takes(b.Type, m.types.name(e.typ)) || e.origin >= below || m.queued(e) {
			continue
		}
		e.wanted = true
		// What stands behind another may do so for a day. It needs no receipt: see
		// nextIsReady.
		if !slices.Contains(held, e.typ) {
			m.hold(e, mark)
			if m.policy.Strict && (e.state == inFlight || e.state.countsAsWaiting() > 0) {
				held = append(held, e.typ)
			}
		}
		if e.state == waiting && !e.ready && m.restored {
			m.leaveWaiting(e)
		}
	}
}

// bindEarly remembers a session for the requests it has not seen and that were not
// read here yet. What that makes superfluous is forgotten: a user may come and go
// all day.
func (m *Machine) bindEarly(user string, b earlyBinding) {
	list := slices.DeleteFunc(m.earlyBound[user], func(old earlyBinding) bool {
		return old.readThrough <= m.next || old.session == b.session && old.readThrough <= b.readThrough
	})
	m.earlyBound[user] = append(list, b)
}

// boundEarly returns the receipt that names a session which takes the request and
// was opened, before it was read here, without having seen it; nil if there is none.
func (m *Machine) boundEarly(r Request) *receiptMark {
	for _, b := range m.earlyBound[r.User] {
		if r.Offset < b.readThrough && push.Takes(b.session, r.Type) {
			return b.mark
		}
	}
	return nil
}

// readUpTo moves on to next, and now and then forgets the early words and
// sessions that are about requests below it.
func (m *Machine) readUpTo(next int64) {
	m.next = next
	m.requests.Advance(next)
	const few = 1024
	if kept := len(m.early) + len(m.earlyBound); kept <= max(m.earlySweep, few) {
		return
	}
	maps.DeleteFunc(m.early, func(origin int64, _ []earlyWord) bool { return origin < next })
	maps.DeleteFunc(m.earlyBound, func(_ string, list []earlyBinding) bool {
		return !slices.ContainsFunc(list, func(b earlyBinding) bool { return b.readThrough > next })
	})
	m.earlySweep = 2 * (len(m.early) + len(m.earlyBound))
}
