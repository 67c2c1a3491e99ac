package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"pushgate/internal/delivery/ledger"
	"pushgate/internal/push"
	"pushgate/internal/repeats"
)

// firstWords is how long a call waits for the first word on each of its messages.
// What has none by then is listed as queued, which holds up nobody: its word follows in
// a receipt. It is above what a write to a client that reads takes, and no more, because
// whoever has a message in the next call waits for this one's answer.
const firstWords = 5 * time.Millisecond

// Carry hands what a custodian brings to the sessions of its users, in order, and
// returns the answer: what was delivered, is held, or has failed by then, and what is
// queued. What it does not list has no session here that takes it. What has one, but is
// no message that could be delivered, it lists as failed (write_error): it has expired
// by this clock, say, and will have by the custodian's after a backoff. It blocks for
// firstWords at most, less when ctx ends. The records, and what they alias, are not
// looked at afterwards.
//
// All that is said in the answer is said in receipts, too, and so is what becomes of a
// message later: the answer may be lost, and who asks tomorrow has only the log. An
// error means that nothing was handed to anybody.
//
// Several calls may be under way at once, also with the same offsets: a custodian has
// timed out, or has a successor. Each of them is told all. A session joins offerings
// of one message that it has not settled; one that it has, the window knows.
func (g *Gateway) Carry(ctx context.Context, c *push.Carriage) (push.Receipt, error) {
	w, err := g.calledFor(c.Partition)
	if err != nil {
		return push.Receipt{}, err
	}
	call := &call{worker: w, silent: len(c.Records) + 1, heard: make(chan struct{})}
	call.hand(c.Records)
	call.await(ctx)
	absent := len(c.Records) - len(call.parcels) - len(call.refused)
	answer := call.cut()
	g.p.Metrics.carriedAnswer(&answer, absent)
	return answer, nil
}

// calledFor returns the worker of a partition, or why there is none.
func (g *Gateway) calledFor(partition int32) (*worker, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	switch {
	case g.err != nil:
		return nil, fmt.Errorf("the gateway takes no messages: %w", g.err)
	case partition < 0 || int(partition) >= len(g.workers):
		return nil, fmt.Errorf("partition %d is not known here, which has %d: it will be in a moment, if it was added", partition, len(g.workers))
	}
	return g.workers[partition], nil
}

// call is one carriage until its answer is given.
type call struct {
	worker *worker

	mu      sync.Mutex
	parcels []*parcel     // handed to the hub, in order; nil once the answer is cut
	refused []int64       // those that nothing could be handed of
	silent  int           // how many of them have not had a word, and one while they are handed over
	heard   chan struct{} // closed when none is silent
}

// parcel is one message that was carried here, on its way to the sessions. It
// implements push.Reporter for it.
type parcel struct {
	call    *call
	message push.Message
	key     repeats.Key
	// told is the last word on it, guarded by the call's lock.
	told   push.Status
	reason push.Reason
}

// slab is how many parcels are allocated at once: few allocations a call, and little
// memory that is kept for one message that waits for its client.
const slab = 8

// hand gives messages to the hub, in order.
func (c *call) hand(records []push.Record) {
	w := c.worker
	c.parcels = make([]*parcel, 0, len(records))
	var room []parcel
	for i := range records {
		rec := &records[i]
		to := w.p.Hub.Of(rec.Key)
		if to == nil {
			continue
		}
		if len(room) == 0 {
			room = make([]parcel, min(slab, len(records)-i))
		}
		p := &room[0]
		if !w.understand(rec, &p.message, &p.key) {
			c.refused = append(c.refused, rec.Offset)
			continue
		}
		p.call = c
		if c.handOne(p, to, rec.Headers) {
			c.parcels = append(c.parcels, p)
			room = room[1:]
		}
	}
	c.lessSilent(1 + len(records) - len(c.parcels))
}

// handOne is false when nobody here takes the message.
func (c *call) handOne(p *parcel, to push.Recipient, headers push.Headers) bool {
	w, m := c.worker, &p.message
	w.ledger.Carry(m.Offset) // a report may come before Deliver returns
	if w.isRepeat(p.key) {
		w.p.Metrics.repeats.Inc()
		m.FirstSeen = time.Time{} // how long the delivery took was told before
		p.Report(m, push.Done, push.ReasonNone)
		return true
	}
	taken := to.Deliver(m, w.follow(m, headers, p))
	m.Data = nil // it is the caller's
	if !taken {
		w.ledger.CarryBack(m.Offset)
	}
	return taken
}

// Report implements push.Reporter.
func (p *parcel) Report(m *push.Message, s push.Status, reason push.Reason) {
	c := p.call
	if s == push.Done {
		c.worker.remember(p.key)
	}
	c.mu.Lock()
	first, late := p.told == 0, p.told == push.Failed
	p.told, p.reason = s, reason
	c.mu.Unlock()
	c.worker.ledger.Word(m, ledger.Word{Status: s, Reason: reason, Late: late})
	if first {
		c.lessSilent(1)
	}
}

func (c *call) lessSilent(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent -= n; c.silent == 0 {
		close(c.heard)
	}
}

// await returns when every message has had its first word, or has been given the time
// for it.
func (c *call) await(ctx context.Context) {
	select {
	case <-c.heard:
		return
	default:
	}
	timer := time.NewTimer(firstWords)
	defer timer.Stop()
	select {
	case <-c.heard:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// cut makes the answer: each message as far as it has come.
func (c *call) cut() push.Receipt {
	w := c.worker
	r := push.Receipt{Node: w.p.Node, Epoch: w.epoch, Called: w.ledger.Called()}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, offset := range c.refused {
		r.Failed = append(r.Failed, push.Failure{Offset: offset, Reason: push.WriteError})
	}
	for _, p := range c.parcels {
		switch p.told {
		case push.Held:
			r.Held = append(r.Held, p.message.Offset)
		case push.Done:
			r.Delivered = append(r.Delivered, p.message.Offset)
		case push.Failed:
			r.Failed = append(r.Failed, push.Failure{Offset: p.message.Offset, Reason: p.reason})
		default:
			r.Queued = append(r.Queued, p.message.Offset)
		}
	}
	c.parcels = nil // one that waits for its client must not keep all the others
	return r
}
