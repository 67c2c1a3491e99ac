package simulation

import (
	"slices"
	"time"

	"pushgate/internal/delivery/ledger"
	"pushgate/internal/push"
)

// visit is one call at the gateway, until its answer is given.
type visit struct {
	g       *gateway
	wk      *worker
	parcels []*carried
	refused []int64 // what nothing could be handed of
}

// carried is one message that was brought to a gateway. It implements push.Reporter.
type carried struct {
	v       *visit
	m       *push.Message
	message int
	told    push.Status
	reason  push.Reason
}

// Report implements push.Reporter.
func (c *carried) Report(m *push.Message, s push.Status, reason push.Reason) {
	if s == push.Done {
		c.v.g.remember(c.message)
	}
	late := c.told == push.Failed
	c.told, c.reason = s, reason
	c.v.wk.ledger.Word(m, ledger.Word{Status: s, Reason: reason, Late: late})
}

// carry hands what a custodian brings to the sessions. It is nil where the gateway
// does not take it.
func (g *gateway) carry(encoded []byte) *visit {
	w := g.w
	c, err := push.DecodeCarriage(encoded)
	if err != nil {
		w.broken(codecKeepsEverything, everybody, "a carriage cannot be read: %v", err)
		return nil
	}
	if int(c.Partition) >= len(g.workers) {
		return nil
	}
	v := &visit{g: g, wk: g.workers[c.Partition]}
	for i := range c.Records {
		g.carryOne(v, &c.Records[i])
	}
	return v
}

func (g *gateway) carryOne(v *visit, rec *push.Record) {
	w, r := g.w, &g.w.partitions[v.wk.number].requests[rec.Offset]
	m, err := push.ParseRequest(rec, requestTopic, limits())
	brought, inLog := m.Lineage(), r.msg.Lineage()
	brought.FirstSeen, inLog.FirstSeen = brought.FirstSeen.Truncate(time.Millisecond), inLog.FirstSeen.Truncate(time.Millisecond) // as a log keeps it
	if err != nil || !sameLineage(brought, inLog) || m.EndsWait != r.msg.EndsWait {
		w.broken(codecKeepsEverything, r.message, "what was carried is %+v (%v), and stands in the log as %+v", brought, err, inLog)
		return
	}
	w.checkKept(numberIn(rec.Value), m.ID, string(rec.Key), m.Type, m.Expires)
	g.brought(v.wk, rec.Offset, false)
	sessions := slices.DeleteFunc(slices.Clone(g.sessions[numberOf(m.User)]), func(s *session) bool { return !push.Takes(s.typ, m.Type) })
	if len(g.sessions[numberOf(m.User)]) == 0 {
		w.tell(note{who: g.who, what: "is called with it in vain", message: r.message, partition: v.wk.number, offset: m.Offset})
		return
	}
	if !g.now().Before(m.Expires) || w.nature.policy.Strict && m.Raw() {
		v.refused = append(v.refused, m.Offset)
		return
	}
	v.wk.ledger.Carry(m.Offset)
	p := &carried{v: v, m: &m, message: r.message}
	switch {
	case g.remembers(r.message):
		v.parcels = append(v.parcels, p)
		g.brought(v.wk, m.Offset, true)
		p.Report(&m, push.Done, push.ReasonNone)
		return
	case len(sessions) == 0:
		v.wk.ledger.CarryBack(m.Offset)
		w.tell(note{who: g.who, what: "is called with it in vain, as of its type", message: r.message, partition: v.wk.number, offset: m.Offset})
		return
	}
	v.parcels = append(v.parcels, p)
	g.brought(v.wk, m.Offset, true)
	w.tell(note{who: g.who, what: "is called, and has the user", message: r.message, partition: v.wk.number, offset: m.Offset})
	var to push.Reporter = p
	if len(sessions) > 1 {
		to = &chorus{r: p, left: len(sessions)}
	}
	for _, s := range sessions {
		s.deliver(w, item{m: &m, message: r.message, r: to})
	}
}

// cut makes the answer.
func (v *visit) cut() []byte {
	r := push.Receipt{Node: v.g.node.name, Epoch: v.g.epoch, Called: v.wk.ledger.Called()}
	for _, o := range v.refused {
		r.Failed = append(r.Failed, push.Failure{Offset: o, Reason: push.WriteError})
	}
	for _, p := range v.parcels {
		switch o := p.m.Offset; p.told {
		case push.Held:
			r.Held = append(r.Held, o)
		case push.Done:
			r.Delivered = append(r.Delivered, o)
		case push.Failed:
			r.Failed = append(r.Failed, push.Failure{Offset: o, Reason: p.reason})
		default:
			r.Queued = append(r.Queued, o)
		}
	}
	return r.AppendBinary(nil)
}

// remember notes that a message was delivered here.
func (g *gateway) remember(message int) {
	if g.w.nature.remembers {
		if g.delivered == nil {
			g.delivered = make(map[int]bool)
		}
		g.delivered[message] = true
	}
}

func (g *gateway) remembers(message int) bool { return g.delivered[message] }

// reminder remembers what is delivered of what was read.
type reminder struct {
	g       *gateway
	message int
	r       push.Reporter
}

// Report implements push.Reporter.
func (d *reminder) Report(m *push.Message, s push.Status, reason push.Reason) {
	if s == push.Done {
		d.g.remember(d.message)
	}
	d.r.Report(m, s, reason)
}

// lateVisit lets a call arrive whose caller has given it up.
func (w *World) lateVisit() {
	visit := w.visits[0]
	w.visits = w.visits[1:]
	w.happens("world", "a call that was given up arrives")
	visit()
}
