package simulation

import (
	"time"

	"pushgate/internal/push"
)

// session is one connection of a user.
type session struct {
	user, typ string
	// acks: the client acknowledges; without it, written is delivered.
	acks bool
	// deaf: what is written goes into the void, and no acknowledgement comes.
	deaf bool
	// ended: nothing is delivered to it any more.
	ended bool
	// wrote: something was written to it.
	wrote bool
	// queue is accepted and not written; unacked is written; overdue was failed
	// for want of an acknowledgement, which may come late.
	queue, unacked, overdue []item

	// epoch names it in the directory. Entered: its node has entered it there; found:
	// and has said so.
	epoch          uint64
	since          time.Time
	entered, found bool
	enteredAt      int // step
}

func (s *session) binding() push.Binding { return push.Binding{User: s.user, Type: s.typ} }

// item is one message under way to a session.
type item struct {
	m       *push.Message
	message int
	r       push.Reporter
}

// deliver accepts a message, or fails it.
func (s *session) deliver(w *World, it item) {
	if len(s.queue)+len(s.unacked) >= w.nature.queueLimit && !w.healed && !w.nature.calm {
		it.r.Report(it.m, push.Failed, push.SlowConsumer)
		return
	}
	s.queue = append(s.queue, it)
	if w.one(3) {
		s.write(w)
	}
}

// write writes the oldest message that was accepted.
func (s *session) write(w *World) {
	if len(s.queue) == 0 {
		return
	}
	it := s.queue[0]
	s.queue, s.wrote = s.queue[1:], true
	if !s.acks {
		w.show(it)
		it.r.Report(it.m, push.Done, push.ReasonNone)
		return
	}
	if !s.deaf {
		w.show(it)
	}
	s.unacked = append(s.unacked, it)
	it.r.Report(it.m, push.Held, push.ReasonNone)
}

// ack lets the client acknowledge the oldest message.
func (s *session) ack() {
	if len(s.unacked) == 0 || s.deaf {
		return
	}
	it := s.unacked[0]
	s.unacked = s.unacked[1:]
	it.r.Report(it.m, push.Done, push.ReasonNone)
}

// timeOut fails the oldest message for want of an acknowledgement.
func (s *session) timeOut() {
	if len(s.unacked) == 0 {
		return
	}
	it := s.unacked[0]
	s.unacked = s.unacked[1:]
	it.r.Report(it.m, push.Failed, push.AckTimeout)
	if !s.deaf {
		s.overdue = append(s.overdue, it)
	}
}

// ackLate lets the client acknowledge what had timed out.
func (s *session) ackLate(w *World) {
	if len(s.overdue) == 0 {
		return
	}
	it := s.overdue[0]
	s.overdue = s.overdue[1:]
	w.tell(note{who: "client", what: "acknowledges late", message: it.message, user: s.user, partition: it.m.Partition, offset: it.m.Offset})
	it.r.Report(it.m, push.Done, push.ReasonNone)
}

// end fails what is under way.
func (s *session) end() {
	s.ended = true
	for _, it := range append(s.unacked, s.queue...) {
		it.r.Report(it.m, push.Failed, push.Offline)
	}
	s.queue, s.unacked, s.overdue = nil, nil, nil
}

func (s *session) idle() bool { return len(s.queue)+len(s.unacked) == 0 }

// chorus makes one report of what several sessions say about one message, as the
// hub does: done when one is done, failed when all have failed.
type chorus struct {
	r          push.Reporter
	left       int
	held, done bool
	failed     bool
	reason     push.Reason
}

// Report implements push.Reporter.
func (c *chorus) Report(m *push.Message, s push.Status, reason push.Reason) {
	switch s {
	case push.Held:
		if !c.held && !c.done && !c.failed {
			c.held = true
			c.r.Report(m, push.Held, push.ReasonNone)
		}
	case push.Done:
		if !c.done {
			c.done = true
			c.r.Report(m, push.Done, push.ReasonNone)
		}
	case push.Failed:
		c.left--
		if c.reason == push.ReasonNone || c.reason == push.Offline {
			c.reason = reason
		}
		if c.left == 0 && !c.done {
			c.failed = true
			c.r.Report(m, push.Failed, c.reason)
		}
	}
}

// show lets a client see a frame.
func (w *World) show(it item) {
	m := &w.messages[it.message]
	if m.seen == 0 && w.nature.keepsOrder() {
		w.checkOrder(it.message)
	}
	m.seen++
	if m.partition != it.m.Partition || m.offset != it.m.Offset {
		m.partition, m.offset = it.m.Partition, it.m.Offset
		m.offerings++
	}
	w.tell(note{who: "client", what: "sees the message", message: it.message, user: m.user, partition: it.m.Partition, offset: it.m.Offset})
	if w.nature.calm && m.offerings > 1 {
		w.broken(calmHasNoRepeats, it.message, "it was shown from a second offering")
	}
}
