package custody

import (
	"slices"

	"pushgate/internal/push"
)

// Targeted routing (Policy.Targeted). Gateways that are called read no requests:
// what is for them is carried to them. Each request is a parcel from when it is read,
// and claimed by the courier until the courier is done with it. Only then, and only
// if none of the gateways that were called answers for it, it is under judgement as
// any other: nobody is there when those gateways that read have read past it, too.
//
// An answer is acted upon at once where that makes something durable: what failed
// waits. That a message was delivered settles it only when the gateway's receipt says
// so. Until then the answer is a claim: should the gateway die before it has said it,
// no log would know what became of the message. A successor carries again what is not
// settled, and the gateway knows what it has delivered.

// carry makes an offering a parcel.
func (m *Machine) carry(e *entry) {
	if m.courier == nil {
		return
	}
	e.busy().claims = append(e.work.claims, m.courier)
	if m.restored {
		m.parcels = append(m.parcels, m.parcelOf(e))
	}
}

// carryAll hands out what was read while restoring, less what has turned out to be
// delivered.
func (m *Machine) carryAll() {
	if m.courier == nil {
		return
	}
	for _, e := range m.allBy(&m.flights) {
		if e.state == inFlight && slices.Contains(e.work.claims, m.courier) {
			m.parcels = append(m.parcels, m.parcelOf(e))
		}
	}
}

func (m *Machine) parcelOf(e *entry) push.Parcel {
	return push.Parcel{Offset: e.origin, User: m.userOf(e).name, Type: m.types.name(e.typ), Size: e.size}
}

// Parcels takes over what is to be carried since the last call, in order. Each is
// answered by Carried, in the end with Over.
func (m *Machine) Parcels() []push.Parcel {
	p := m.parcels
	m.parcels = nil
	return p
}

// Carried takes in what has been learnt of parcels.
func (m *Machine) Carried(c *push.Carried) {
	defer m.afterwards()
	mark := &receiptMark{at: noReceipt}
	if c.Receipt != nil {
		answer := *c.Receipt
		// An answer may be older than what the log has said of its gateway since.
		if g := m.gateways[answer.Node]; g != nil && g.epoch == answer.Epoch {
			answer.Called = g.called
		}
		answer.Held, answer.Delivered = slices.Concat(answer.Held, answer.Delivered), nil
		answer.ReadThrough, answer.Connected = 0, nil
		m.heard(mark, m.answering(&answer), &answer)
	}
	for _, f := range c.Failed {
		m.word(f.Offset, earlyWord{from: &gateway{node: c.Node, gone: true}, status: wordFailed, reason: f.Reason, mark: mark})
	}
	for _, origin := range c.Over {
		if e := m.flight(origin); e != nil {
			m.noLonger(e, m.courier)
		}
	}
	for _, b := range c.Present {
		m.found(mark, b)
	}
	m.judge()
}

// answering returns the gateway that answers. That it answers does not show that it
// lives: one that cannot write its receipts would never let go of what it claims.
func (m *Machine) answering(answer *push.Receipt) *gateway {
	g := m.gateways[answer.Node]
	if g == nil || g.epoch != answer.Epoch {
		return m.gatewayOf(answer)
	}
	return g
}

// changeMode takes in that a gateway reads from now on, or does so no more. What it
// reads next is where its log of readings begins again; whoever is connected there,
// it names again.
func (m *Machine) changeMode(g *gateway, r *push.Receipt) {
	g.called, g.readThrough, g.progressed = r.Called, r.ReadThrough, m.observed
	m.modes++
}

// Modes changes whenever Readers may.
func (m *Machine) Modes() uint64 { return m.modes }

// Readers are the nodes whose gateways read requests: nothing has to be carried to
// them. Sorted.
func (m *Machine) Readers() []string {
	var nodes []string
	for node, g := range m.gateways {
		if !g.called {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// Absent returns about n users for whom messages wait because they were not there,
// and where to go on; 0 begins, and ends. Users who come and go meanwhile may be left
// out.
func (m *Machine) Absent(from, n int) (users []string, next int) {
	last := len(m.users.chunks) * slabChunk
	for i := from; i < last; i++ {
		if len(users) == n {
			return users, i
		}
		if u := m.users.at(ref(i + 1)); m.isAbsent(u) { //nolint:gosec // slots are counted in 32 bits
			users = append(users, u.name)
		}
	}
	return users, 0
}

func (m *Machine) isAbsent(u *user) bool {
	for r := u.first; r != none; {
		e := m.entries.at(r)
		r = e.next
		if e.state == waiting && e.reason == push.Offline {
			return true
		}
	}
	return false
}
