package custody

import (
	"fmt"
	"time"

	"pushgate/internal/push"
)

// Settled reports that the fate of one offering is decided; for metrics and
// logs. Outcome is OutcomeNone where the message goes on as another offering.
type Settled struct {
	Origin  int64
	Outcome push.Outcome
	Reason  push.Reason
	// Node delivered it; empty unless the outcome is Delivered.
	Node string
}

func (m *Machine) expired(e *entry) bool { return e.expires <= m.now.UnixMilli() }

// delivered ends an offering in flight.
func (m *Machine) delivered(e *entry, g *gateway, mark *receiptMark) {
	switch e.state {
	case inFlight:
		m.conclude(e, push.Delivered, push.ReasonNone, g.node)
	case waitPending, rewritePending:
		// Its wait is being written; it ends as soon as it is there.
		m.hold(e, mark)
		e.busy().over, e.work.overBy = true, g.node
	default:
		// The next place is being written already and decides.
	}
}

// deliveredLate ends a wait by a receipt that comes after all.
func (m *Machine) deliveredLate(mark *receiptMark, e *entry, g *gateway) {
	if e.state != waiting {
		m.delivered(e, g, mark)
		return
	}
	m.timers.remove(e)
	m.hold(e, mark)
	m.conclude(e, push.Delivered, push.ReasonNone, g.node)
}

// failedWhileWriting takes in that an attempt failed of what waits as soon as that
// is written. Of what is written because it failed, that is known: a gateway that was
// called says it twice.
func (m *Machine) failedWhileWriting(mark *receiptMark, e *entry, reason push.Reason) {
	if e.work != nil && e.work.failed {
		return
	}
	if (e.state == waitPending || e.state == rewritePending) && reason.UsesAttempt() {
		m.hold(e, mark)
		e.busy().late = reason
	}
}

// failedLate takes in that a gateway which had been taken for dead did try: the
// user is there, so the message need not wait for a session to be opened. The
// receipt is kept until the message is offered: its wait says otherwise.
func (m *Machine) failedLate(mark *receiptMark, e *entry, reason push.Reason) {
	if e.state != waiting || e.reason != push.Offline || !reason.UsesAttempt() {
		return
	}
	m.hold(e, mark)
	e.failures++
	e.reason = reason
	m.timers.remove(e)
	e.due = m.now.Add(m.policy.Retry.Backoff.wait(int(e.failures), e.seed())).UnixMilli()
	if m.restored {
		m.timers.add(e)
	}
}

// nobodyHere concludes that no gateway owns the user of an offering.
func (m *Machine) nobodyHere(e *entry) {
	switch {
	case m.expired(e):
		m.expire(e)
	case e.wanted:
		m.offerInTurn(e)
	default:
		recheck := spread(m.policy.Custody.OfflineRecheck, m.policy.Retry.Backoff.Jitter, e.seed())
		m.makeWait(e, push.Offline, recheck)
	}
}

// longestUnreachable bounds how long a message waits for a node that could not be
// called: one that stays away is out of the directory within seconds, and when one is
// back, nothing says so.
const longestUnreachable = 30 * time.Second

// attemptFailed counts a failed attempt and decides whether there is another. That a
// node could not be called is no fault of the message or its user: it waits, longer
// each time it was offered, and is exhausted by nothing of the kind.
func (m *Machine) attemptFailed(e *entry) {
	round := int(e.attempt)
	if e.reason != push.Unreachable {
		e.failures++
		round = int(e.failures)
	}
	switch limit := m.policy.Retry.MaxAttempts; {
	case m.expired(e):
		m.expire(e)
	case int(e.failures) >= limit && e.reason != push.Unreachable:
		m.die(e, push.Exhausted, fmt.Sprintf("%d of %d attempts failed, the last with %s", e.failures, limit, e.reason))
	case e.wanted && m.restored:
		m.offerInTurn(e)
	default:
		d := m.policy.Retry.Backoff.wait(round, e.seed())
		if e.reason == push.Unreachable {
			d = min(d, longestUnreachable)
		}
		m.makeWait(e, e.reason, d)
	}
}

// makeWait makes an offering wait, and what is queued behind it.
func (m *Machine) makeWait(e *entry, reason push.Reason, d time.Duration) {
	m.writeWait(e, reason, d)
	m.followers(e)
}

// writeWait makes an offering wait, unless its user has too many waiting already.
func (m *Machine) writeWait(e *entry, reason push.Reason, d time.Duration) {
	if e.foreign {
		m.moveHome(e, e.work.home)
		return
	}
	if limit := m.policy.Waiting.MaxPerUser; m.overflows(e) {
		m.die(e, push.Overflow, fmt.Sprintf("%d messages wait for this user already, the limit is waiting.max_per_user", limit))
		return
	}
	if m.waits.find(e.origin) != none {
		m.offer(e) // another message waits under its name: it gets another one
		return
	}
	e.reason = reason
	e.work.detail = nil
	m.enter(e, waitPending)
	e.due = m.now.Add(d).UnixMilli()
	m.giveToken(e)
	m.act(e, Action{Kind: MakeWait, Reason: reason, Due: time.UnixMilli(e.due)})
}

// overflows says whether an entry is one too many for its user. Only what has not
// waited before can be: the oldest shall not die because newer ones took the room
// it left. And only what has come since the takeover: before it, much may turn out
// to have been offered.
func (m *Machine) overflows(e *entry) bool {
	firstWait := uint16(1)
	if m.policy.Strict {
		firstWait = 0
	}
	return m.restored && e.attempt <= firstWait && int(m.userOf(e).waiting) >= m.policy.Waiting.MaxPerUser
}

// leaveWaiting takes a wait off its timer: it is offered again, or it expires.
func (m *Machine) leaveWaiting(e *entry) {
	m.timers.remove(e)
	if m.expired(e) {
		m.expire(e)
		return
	}
	m.offerInTurn(e)
}

// offer writes the message to the request topic once more.
func (m *Machine) offer(e *entry) {
	m.takeToken(e)
	m.enter(e, offerPending)
	m.act(e, Action{Kind: Offer})
}

// moveHome writes the message to the partition its user lives in.
func (m *Machine) moveHome(e *entry, home int32) {
	m.enter(e, movePending)
	m.giveToken(e)
	m.act(e, Action{Kind: MoveHome, Home: home})
}

// expire ends a message whose time to live ran out.
func (m *Machine) expire(e *entry) {
	if !m.policy.DropExpired {
		m.die(e, push.TimeToLive, "its time to live ran out")
		return
	}
	m.conclude(e, push.Expired, push.TimeToLive, "")
}

// die dead-letters a message.
func (m *Machine) die(e *entry, reason push.Reason, text string) {
	e.reason = reason
	m.enter(e, deathPending)
	m.giveToken(e)
	m.act(e, Action{Kind: DeadLetter, Reason: reason, Text: text})
}

// conclude ends an entry whose message has its outcome: once that is written,
// where outcomes are.
func (m *Machine) conclude(e *entry, o push.Outcome, r push.Reason, node string) {
	if !m.policy.Outcomes {
		m.concluded(e, o, r, node)
		return
	}
	m.timers.remove(e)
	m.enter(e, outcomePending)
	report := push.OutcomeReport{
		Type: m.types.name(e.typ), Outcome: o, Reason: r, Node: node, Attempts: int(e.attempt), Failures: int(e.failures),
		Settled: m.now, Offset: e.origin, MayRepeat: e.restored || e.repeat,
	}
	if e.owner != none {
		report.User = m.userOf(e).name
	}
	if d := e.busy().detail; d != nil {
		report.ID, report.User, report.Accepted, report.FirstWritten = d.id, d.user, d.accepted, d.written
	}
	m.act(e, Action{Kind: WriteOutcome, Report: report})
}

// concluded: nothing is left to be written but the end of a wait.
func (m *Machine) concluded(e *entry, o push.Outcome, r push.Reason, node string) {
	m.report(e, o, r, node)
	if o == push.Delivered && m.policy.Strict && e.owner != none {
		m.nextIsReady(e)
	}
	m.leave(e)
}

// leave ends an entry whose message is safe elsewhere, or needs no place any
// more: a wait gets its end record, an offering in flight settles.
func (m *Machine) leave(e *entry) {
	if e.retryAt != notInRetry {
		m.endWait(e)
		return
	}
	m.release(e)
	origin := e.origin
	m.drop(e)
	m.settle(origin)
}

// endWait writes the record that ends a wait.
func (m *Machine) endWait(e *entry) {
	m.timers.remove(e)
	m.enter(e, endPending)
	m.act(e, Action{Kind: EndWait})
}

// settle settles an offering of the request topic, unless the wait it came from
// has yet to end: were it committed first, a crash would offer that wait again.
func (m *Machine) settle(origin int64) {
	if _, blocked := m.blocked[origin]; blocked {
		m.blocked[origin] = true
		return
	}
	m.requests.Settle(origin)
}

// seed of what is spread at random for this offering.
func (e *entry) seed() uint64 {
	return uint64(e.origin)<<16 ^ uint64(e.attempt) //nolint:gosec // bits to spread by, not a number
}

func (m *Machine) report(e *entry, o push.Outcome, r push.Reason, node string) {
	m.ended = append(m.ended, Settled{Origin: e.origin, Outcome: o, Reason: r, Node: node})
}
