package custody

import (
	"slices"
	"time"

	"pushgate/internal/push"
)

// ActionKind is what is to be written.
type ActionKind uint8

// The actions.
const (
	// MakeWait writes the message to the retry log.
	MakeWait ActionKind = iota + 1
	// Offer writes it to this request partition once more.
	Offer
	// EndWait writes the end of its wait to the retry log.
	EndWait
	// DeadLetter writes it to the dead letters.
	DeadLetter
	// MoveHome writes it to the request partition its user lives in.
	MoveHome
	// WriteOutcome writes what became of it to the outcome topic.
	WriteOutcome
)

func (k ActionKind) String() string {
	names := [...]string{"", "make wait", "offer", "end wait", "dead-letter", "move home", "write outcome"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Action is one durable write the machine asks for. Whoever carries it out
// answers with Done, Lost or Refused.
type Action struct {
	ID   uint64
	Kind ActionKind
	// Origin is the offset of the offering it is about. Where FromRetry is set, the
	// message stands in the retry log at RetryAt, else in the request partition at
	// Origin.
	Origin    int64
	FromRetry bool
	RetryAt   int64
	User      string

	Attempt, Failures int
	Order             int64
	MayRepeat         bool
	Reason            push.Reason
	Text              string
	Due               time.Time
	Home              int32
	// Report is what WriteOutcome writes. Its ID is empty where it has to be taken
	// from the message.
	Report push.OutcomeReport
}

type pendingAction struct {
	kind   ActionKind
	entry  *entry
	report push.OutcomeReport
}

// act asks for a write on behalf of an entry.
func (m *Machine) act(e *entry, a Action) {
	m.nextID++
	a.ID, a.Origin, a.RetryAt = m.nextID, e.origin, e.retryAt
	a.FromRetry = e.retryAt != notInRetry
	a.Attempt, a.Failures, a.Order, a.MayRepeat = int(e.attempt), int(e.failures), e.order, e.repeat
	switch a.Kind {
	case Offer:
		a.Attempt++
		// The predecessor may have concluded it, or moved it, and not ended its wait.
		a.MayRepeat = e.repeat || e.restored
	case MoveHome:
		a.Order = 0 // a place in this partition means nothing in another
		a.MayRepeat = e.repeat || e.restored
	case MakeWait, EndWait, DeadLetter, WriteOutcome:
	}
	if e.owner != none {
		a.User = m.userOf(e).name
	}
	m.pending[a.ID] = pendingAction{kind: a.Kind, entry: e, report: a.Report}
	m.actions = append(m.actions, a)
}

// Actions takes over what is to be written since the last call, in order. Writes
// to one partition must be carried out in that order.
func (m *Machine) Actions() []Action {
	a := m.actions
	m.actions = nil
	return a
}

// Settled takes over what has been decided since the last call.
func (m *Machine) Settled() []Settled {
	s := m.ended
	m.ended = nil
	return s
}

// Done says that an action is durable, at offset at of its log.
func (m *Machine) Done(id uint64, at int64) {
	p, ok := m.pending[id]
	if !ok {
		return
	}
	defer m.afterwards()
	delete(m.pending, id)
	e := p.entry
	switch p.kind {
	case MakeWait:
		if e.state == rewritePending {
			m.rewritten(e, at)
		} else {
			m.waitWritten(e, at)
		}
	case Offer, MoveHome:
		m.passToken(e, at)
		m.report(e, push.OutcomeNone, e.reason, "")
		m.release(e)
		m.leave(e)
	case DeadLetter:
		outcome := push.DeadLettered
		if e.reason == push.TimeToLive {
			outcome = push.Expired
		}
		m.conclude(e, outcome, e.reason, "")
	case WriteOutcome:
		m.concluded(e, p.report.Outcome, p.report.Reason, p.report.Node)
	case EndWait:
		m.waitLog.advance(at + 1)
		m.waitEnded(e)
	}
	m.trimReceipts()
}

// waitEnded: nothing of the wait is needed any more.
func (m *Machine) waitEnded(e *entry) {
	m.release(e)
	var blocks []int64
	if e.work != nil {
		blocks = e.work.blocks
	}
	m.drop(e)
	for _, o := range blocks {
		settled := m.blocked[o]
		delete(m.blocked, o)
		if settled {
			m.requests.Settle(o)
		}
	}
}

// Lost says that the message an action is about cannot be read any more: its log
// was trimmed past it. There is nothing left to keep; the caller reports it.
func (m *Machine) Lost(id uint64) {
	p, ok := m.pending[id]
	if !ok {
		return
	}
	defer m.afterwards()
	delete(m.pending, id)
	e := p.entry
	if e.state == rewritePending {
		m.waitLog.rewriting--
		if e.work != nil && e.work.over {
			m.conclude(e, push.Delivered, push.ReasonNone, e.work.overBy)
			return
		}
	}
	m.release(e)
	m.leave(e)
	m.trimReceipts()
}

// Refused says that the broker will never take an action's record. The message
// is dead-lettered instead, with the broker's words.
func (m *Machine) Refused(id uint64, text string) {
	p, ok := m.pending[id]
	if !ok || p.kind == EndWait || p.kind == DeadLetter || p.kind == WriteOutcome {
		return // no other place is left: the caller keeps trying
	}
	defer m.afterwards()
	delete(m.pending, id)
	if p.entry.state == rewritePending {
		m.notRewritten(p.entry)
		return
	}
	m.die(p.entry, push.TooLarge, text)
}

// Restored wait, as read from the retry log.
type Restored struct {
	// At is its offset in the retry log.
	At         int64
	User, Type string
	// Size of the record in bytes.
	Size int32
	push.Wait
	// Foreign: the user's home is the partition Home, not this one.
	Foreign bool
	Home    int32
}

// RestoreWait takes in a wait record read at takeover. A wait that was written
// twice stands where it was written last.
func (m *Machine) RestoreWait(r Restored) {
	m.waitLog.advance(r.At + 1)
	if m.past[r.Origin] == pastOf(&r) {
		return // a write of it that had been given up has come after its end
	}
	if e := m.waitOf(r.Origin); e != nil {
		m.waitLog.remove(e)
		m.waitLog.add(e, r.At)
		e.due, e.reason, e.failures = r.Due.UnixMilli(), r.Reason, uint16(r.Failures) //nolint:gosec // at most 32,768
		return
	}
	e := m.newEntry(r.Type)
	e.origin, e.order, e.reason = r.Origin, r.Order, r.Reason
	e.expires, e.due, e.size = r.Expires.UnixMilli(), r.Due.UnixMilli(), r.Size
	e.attempt, e.failures = uint16(r.Attempt), uint16(r.Failures) //nolint:gosec // at most 32,768
	e.foreign, e.restored, e.repeat = r.Foreign, true, r.MayRepeat
	if r.Foreign {
		e.busy().home = r.Home
	}
	m.waits.put(e.self)
	m.waitLog.add(e, r.At)
	m.link(e, r.User)
	m.enter(e, waiting)
}

// RestoreEnd takes in an end record read at takeover.
func (m *Machine) RestoreEnd(origin int64) {
	if e := m.waitOf(origin); e != nil {
		if !m.restored {
			m.past[origin] = pastWait{m.userOf(e).name, int(e.attempt), e.expires, e.due}
		}
		m.drop(e)
		m.afterwards()
	}
}

// pastWait identifies a wait that has ended, as isOf does.
type pastWait struct {
	user         string
	attempt      int
	expires, due int64 // Unix milliseconds
}

func pastOf(r *Restored) pastWait {
	return pastWait{r.User, r.Attempt, r.Expires.UnixMilli(), r.Due.UnixMilli()}
}

// RetryRead says that every retry record below next was read.
func (m *Machine) RetryRead(next int64) { m.waitLog.advance(next) }

// Positions is what may be committed: nothing below these offsets is needed to
// take over the partition.
type Positions struct{ Requests, Receipts, Retry int64 }

// Positions returns what may be committed now. They never go back.
func (m *Machine) Positions() Positions {
	m.trimReceipts()
	return Positions{
		Requests: m.requests.Committable(),
		Receipts: m.receipts.committable(),
		Retry:    m.waitLog.committable(),
	}
}

// Stats counts what the machine holds.
type Stats struct {
	InFlight, Waiting, Pending, Gateways int
	// Early counts requests of which something was said that were not read yet.
	Early int
	// RetrySpan is how many retry records a successor would have to read.
	RetrySpan int64
	// Next is the next request to read; Unsettled the oldest that is not settled.
	Next, Unsettled int64
}

// Stats returns the current counts.
func (m *Machine) Stats() Stats {
	return Stats{
		InFlight: m.flights.n, Waiting: m.waits.n, Pending: len(m.pending), Gateways: len(m.gateways),
		Early: len(m.early), RetrySpan: m.waitLog.span(),
		Next: m.next, Unsettled: m.requests.Committable(),
	}
}

// receiptMarks knows which receipts a successor would still need: those that
// speak of unsettled requests, and those whose consequences are not durable.
type receiptMarks struct {
	marks []*receiptMark
	next  int64
}

// noReceipt is where a mark stands of what no log says.
const noReceipt int64 = -1

type receiptMark struct {
	at int64
	// through: the receipt says nothing of requests from here on.
	through int64
	// holds counts the waits that end or are offered because of it.
	holds int
}

func (r *receiptMarks) add(at int64) *receiptMark {
	mark := &receiptMark{at: at}
	r.marks = append(r.marks, mark)
	r.next = at + 1
	return mark
}

func (r *receiptMarks) committable() int64 {
	if len(r.marks) > 0 {
		return r.marks[0].at
	}
	return r.next
}

// trimReceipts forgets the oldest receipts as far as nobody needs them.
func (m *Machine) trimReceipts() {
	settled := m.requests.Committable()
	needed := slices.IndexFunc(m.receipts.marks, func(r *receiptMark) bool {
		return r.holds > 0 || r.through > settled
	})
	if needed < 0 {
		needed = len(m.receipts.marks)
	}
	clear(m.receipts.marks[:needed])
	m.receipts.marks = m.receipts.marks[needed:]
}

// hold keeps a receipt until what it caused for e is durable. A nil mark stands
// for a receipt that is kept for another reason.
func (m *Machine) hold(e *entry, mark *receiptMark) {
	if mark != nil && mark.at != noReceipt && e.busy().mark == nil {
		e.work.mark = mark
		mark.holds++
	}
}

func (m *Machine) release(e *entry) {
	if e.work != nil && e.work.mark != nil {
		e.work.mark.holds--
		e.work.mark = nil
	}
}
