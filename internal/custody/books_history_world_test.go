package custody

import (
	"fmt"
	"time"

	"pushgate/internal/push"
)

// produce writes a message as a producer does.
func (h *history) produce() {
	ttl := 100 * time.Hour
	if h.rng.IntN(8) == 0 {
		ttl = time.Duration(h.rng.IntN(15)) * time.Second
	}
	r := Request{
		User: h.anyUser(), Type: h.anyType(), Expires: h.now.Add(ttl), EndsWait: push.NoWait,
		Size: int32(50 + h.rng.IntN(100)), Attempt: 1, ID: fmt.Sprint(len(h.fates)),
	}
	if h.policy.Strict {
		r.Attempt = 0
	}
	if h.rough && h.rng.IntN(40) == 0 {
		r.Invalid = &push.InvalidError{Reason: push.TooLarge, Text: "x"}
	}
	h.requests = append(h.requests, offering{r, len(h.fates)})
	h.fates = append(h.fates, fate{})
}

// say writes a receipt of some gateway: it has read on, or goes back to where it
// was some time ago, and says anything of what it has read.
func (h *history) say() {
	g := h.gateways[h.rng.IntN(2)]
	if h.rng.IntN(25) == 0 {
		g.epoch++
		g.readThrough = max(g.readThrough-int64(h.rng.IntN(4)), 0)
	}
	from := max(min(g.readThrough, h.requestsEnd())-int64(h.rng.IntN(6)), 0)
	g.readThrough = min(g.readThrough+int64(h.rng.IntN(6)), h.requestsEnd())
	r := push.Receipt{Node: g.node, Epoch: g.epoch, ReadThrough: g.readThrough}
	for at := from; at < g.readThrough; at++ {
		h.sayOf(&r, at)
	}
	if h.rng.IntN(4) == 0 {
		b := push.Binding{User: h.anyUser(), Type: push.AllTypes, Saw: int64(h.rng.IntN(int(g.readThrough) + 1))}
		if h.rng.IntN(2) == 0 {
			b.Type, b.Saw = h.anyType(), 0
		}
		r.Connected = append(r.Connected, b)
	}
	if h.rng.IntN(40) == 0 {
		r.Presence = push.Goodbye
	}
	if h.rough && h.rng.IntN(30) == 0 && r.Epoch > 1 {
		r.Epoch--
	}
	h.receipts = append(h.receipts, r)
	if h.rng.IntN(15) == 0 { // the write is repeated
		h.receipts = append(h.receipts, r)
	}
}

// sayOf puts something about one request into a receipt, or nothing.
func (h *history) sayOf(r *push.Receipt, at int64) {
	switch h.rng.IntN(9) {
	case 0, 1:
		r.Delivered = append(r.Delivered, at)
		h.fates[h.requests[at].message].delivered = true
	case 2:
		r.Held = append(r.Held, at)
	case 3:
		r.Failed = append(r.Failed, push.Failure{Offset: at, Reason: push.Offline})
	case 4, 5:
		r.Failed = append(r.Failed, push.Failure{Offset: at, Reason: push.SlowConsumer})
	}
}

// truncate has the requests or the retry log lose their end, as after an unclean
// election of a leader. Who answers for the partition is begun anew.
func (h *history) truncate() {
	const least = 3
	h.cut = true
	if h.rng.IntN(2) == 0 && len(h.requests) > least {
		h.truncateRequests()
	} else if len(h.retry) > least {
		h.truncateRetry()
	}
	h.takeOver()
}

func (h *history) truncateRequests() {
	n := len(h.requests) - 1 - h.rng.IntN(min(8, len(h.requests)-1))
	h.requests = h.requests[:n]
	if h.committed.Requests > int64(n) {
		h.committed.Requests = 0
	}
	h.committed.Receipts = h.receiptsEnd() // they speak of requests that are no more
	for _, g := range h.gateways {
		g.epoch++
		g.readThrough = min(g.readThrough, int64(n))
	}
	h.tell("requests cut to %d", n)
}

func (h *history) truncateRetry() {
	n := len(h.retry) - 1 - h.rng.IntN(min(5, len(h.retry)-1))
	h.retry = h.retry[:n]
	if h.committed.Retry > int64(n) {
		h.committed.Retry = 0
	}
	h.tell("retry cut to %d", n)
}
