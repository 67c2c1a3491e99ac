package custody

import (
	"fmt"
	"strings"

	"pushgate/internal/push"
)

// Command does what an operator asks for in the record at offset at of the receipt
// topic. Offsets must grow; one that was seen is ignored. What it names that does not
// wait here any more is passed over. The record is kept, as a receipt is, until what
// it caused is durable: a successor does it again.
func (m *Machine) Command(at int64, c *push.Command) {
	if at < m.receipts.next {
		return
	}
	defer m.afterwards()
	if at >= m.heed {
		mark, text := m.receipts.add(at), discardText(c)
		for _, w := range c.Waits {
			if e := m.commanded(w); e != nil {
				m.obey(mark, e, c.Kind, text)
			}
		}
	}
	m.ReceiptsRead(at + 1)
}

// commanded returns the wait that a command names, also where it is being written,
// nil if there is none.
func (m *Machine) commanded(w push.CommandWait) *entry {
	e := m.waitOf(w.Origin)
	if e == nil {
		e = m.flight(w.Origin)
	}
	if e == nil || e.owner == none || m.userOf(e).name != w.User || e.isMisnamed() {
		return nil
	}
	return e
}

func (m *Machine) obey(mark *receiptMark, e *entry, kind push.CommandKind, text string) {
	if e.state.countsAsWaiting() == 0 {
		if e.state != inFlight {
			m.hold(e, mark) // it is on its way out already, and still waits for a successor until it is out
		}
		return
	}
	if kind == push.Discard {
		m.hold(e, mark)
		e.busy().discard = text
		m.discard(e)
		return
	}
	e.wanted = true
	// What stands behind another may do so for a day, and is ready anyway.
	if m.isNext(e) {
		m.hold(e, mark)
	}
	if e.state == waiting && !e.ready && m.restored {
		m.leaveWaiting(e)
	}
}

// discard dead-letters a wait that is to be discarded, as soon as it may: a wait that
// is being written must be there first, and while restoring it may turn out to have
// ended.
func (m *Machine) discard(e *entry) {
	if e.state != waiting || !m.restored {
		return
	}
	m.timers.remove(e)
	m.die(e, push.Discarded, e.work.discard)
}

// longestWord bounds what of an operator's words goes into a dead letter, in bytes: it
// must never become too large for its topic.
const longestWord = 1 << 10

// discardText is what a dead letter says of who discarded it.
func discardText(c *push.Command) string {
	by, why := clip(c.By), clip(c.Why)
	if by == "" {
		by = "an operator"
	}
	if why == "" {
		return "discarded by " + by
	}
	return fmt.Sprintf("discarded by %s: %s", by, why)
}

func clip(s string) string {
	if len(s) <= longestWord {
		return s
	}
	return strings.ToValidUTF8(s[:longestWord], "")
}

// isDiscarded says whether an operator has discarded what waits.
func (e *entry) isDiscarded() bool { return e.work != nil && e.work.discard != "" }
