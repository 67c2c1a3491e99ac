package custody

import (
	"fmt"
	"time"

	"pushgate/internal/push"
)

// heal lets everything work: the old gateways go, and a new one has a session of
// every user and delivers all there is, until nothing is left to do.
func (h *history) heal() {
	const rounds, atLeast = 600, 5
	h.healing = true
	for _, g := range h.gateways {
		h.receipts = append(h.receipts, push.Receipt{Node: g.node, Epoch: g.epoch, ReadThrough: g.readThrough, Presence: push.Goodbye})
	}
	z := &sayer{node: "Z", epoch: 1, readThrough: h.requestsEnd()}
	h.receipts = append(h.receipts, push.Receipt{Node: z.node, Epoch: z.epoch, ReadThrough: z.readThrough, Presence: push.Announce})
	for round := range rounds {
		r := h.deliverAll(z)
		if round == 0 {
			for _, user := range users() {
				r.Connected = append(r.Connected, push.Binding{User: user, Type: push.AllTypes})
			}
		}
		h.receipts = append(h.receipts, r)
		h.readAll()
		h.writeAll()
		h.now = h.now.Add(900 * time.Millisecond)
		h.m.Advance(h.now, true)
		h.look()
		h.writeOut()
		idle := h.m.entries.used == 0 && h.nextRequest == h.requestsEnd() && z.readThrough == h.requestsEnd()
		if h.failed != nil || idle && round >= atLeast-1 {
			return
		}
	}
}

// deliverAll has a gateway deliver what it has not read: not what was only queued,
// nor what is for users of other partitions.
func (h *history) deliverAll(z *sayer) push.Receipt {
	r := push.Receipt{Node: z.node, Epoch: z.epoch}
	for ; z.readThrough < h.requestsEnd(); z.readThrough++ {
		o := h.requests[z.readThrough]
		if h.policy.Strict && o.Attempt == 0 || h.foreign[o.User] {
			continue
		}
		r.Delivered = append(r.Delivered, z.readThrough)
		h.fates[o.message].delivered = true
	}
	r.ReadThrough = z.readThrough
	return r
}

func (h *history) readAll() {
	const most = 10_000
	for range most {
		requests, receipts := h.nextRequest, h.nextReceipt
		h.readRequest()
		h.readReceipt()
		if h.nextRequest == requests && h.nextReceipt == receipts {
			return
		}
	}
}

func (h *history) writeAll() {
	for lane := range lanes {
		h.hear(lane)
	}
	h.writeOut()
	for lane := range lanes {
		h.hear(lane)
	}
}

func (h *history) writeOut() {
	for more := true; more && h.failed == nil; {
		more = h.write()
	}
}

// leftovers says what is left though everything is settled.
func (h *history) leftovers() error {
	m := h.m
	m.RequestsRead(h.nextRequest)
	h.committed = m.Positions()
	counts := map[string]int{
		"entries": m.entries.used, "users": m.users.used, "types": m.types.slots.used,
		"slots of entries": left(&m.entries), "slots of users": left(&m.users), "slots of types": left(&m.types.slots),
		"offerings in the log": len(m.inLog), "blocked requests": len(m.blocked), "pending writes": len(m.pending),
		"users touched": len(m.touched), "timers": len(m.timers.heap),
		"receipts": len(m.receipts.marks), "waits written anew": m.waitLog.rewriting,
	}
	for what, n := range counts {
		if n != 0 {
			return fmt.Errorf("%d %s are left: %+v", n, what, m.Stats())
		}
	}
	if h.committed.Requests != h.requestsEnd() || h.committed.Retry != h.retryEnd() {
		return fmt.Errorf("positions %+v, the logs end at %d and %d", h.committed, h.requestsEnd(), h.retryEnd())
	}
	return nil
}

// lostMessages says which message was neither delivered nor dead-lettered, where
// nothing but the machine can have lost it.
func (h *history) lostMessages() error {
	if h.cut || h.policy.DropExpired {
		return nil
	}
	for message, f := range h.fates {
		if !f.delivered && !f.dead && !f.moved && !f.lost {
			return fmt.Errorf("message %d is lost", message)
		}
	}
	return nil
}

// inOrder sees to it that, where order is strict, a message is offered when those
// before it are settled. In a rough world they may be gone; a narrow one forgets,
// at a takeover, what was offered.
func (h *history) inOrder(next offering) {
	if !h.policy.Strict || h.rough || h.narrow {
		return
	}
	for _, o := range h.requests {
		if o.message >= next.message || o.User != next.User || o.Type != next.Type || !o.Expires.After(h.now) {
			continue
		}
		if f := h.fates[o.message]; !f.delivered && !f.dead {
			h.failed = fmt.Errorf("message %d is offered before %d is settled", next.message, o.message)
		}
	}
}
