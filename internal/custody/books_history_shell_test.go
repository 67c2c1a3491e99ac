package custody

import (
	"fmt"

	"pushgate/internal/push"
)

// Of what a shell does: it takes a partition over, reads, and carries out what the
// machine asks for, in lanes that do not wait for each other.

const lanes = 5

// write is an action that was carried out.
type write struct {
	Action
	at int64
}

// laneOf: what is written to one partition is written in order.
func laneOf(k ActionKind) int {
	switch k {
	case MakeWait, EndWait:
		return 0
	case Offer:
		return 1
	case DeadLetter:
		return 2
	case MoveHome:
		return 3
	case WriteOutcome:
	}
	return 4
}

// takeOver makes a new machine out of what is committed and in the logs. What the
// old one had asked for, or did not know of yet, is forgotten.
func (h *history) takeOver() {
	const lookback = 20 // receipts at most
	h.asked, h.durable = [lanes][]Action{}, [lanes][]write{}
	h.nextRequest = h.committed.Requests
	h.nextReceipt = max(min(h.committed.Receipts, h.receiptsEnd())-int64(h.rng.IntN(lookback)), 0)
	h.m = NewMachine(Start{
		Policy: h.policy, Now: h.now, Requests: h.nextRequest, Receipts: h.nextReceipt, Retry: h.committed.Retry,
		Heed: h.committed.Receipts, RequestsEnd: h.requestsEnd(),
	})
	h.tell("take over at %+v of %d %d %d", h.committed, h.requestsEnd(), h.receiptsEnd(), h.retryEnd())
	for at := h.committed.Retry; at < h.retryEnd(); at++ {
		r := h.retry[at]
		if r.ends {
			h.m.RestoreEnd(r.Origin)
		} else {
			r.At, r.Foreign, r.Home = at, h.foreign[r.User], 1
			h.m.RestoreWait(r.Restored)
		}
		h.look()
	}
	h.m.RetryRead(h.retryEnd())
	h.catchUp()
	h.m.Advance(h.now, false)
	h.look()
	h.m.Restored()
	h.look()
}

// catchUp reads what was in the logs at takeover. Not always all of the requests:
// the machine may be full, or the log slow.
func (h *history) catchUp() {
	requests, receipts := h.requestsEnd(), h.receiptsEnd()
	early := h.rng.IntN(6) == 0 && (h.rough || h.narrow)
	for h.failed == nil && (h.nextReceipt < receipts || h.nextRequest < requests && !early && !h.full()) {
		if h.rng.IntN(2) == 0 {
			h.readReceipt()
		} else if !early && h.nextRequest < requests {
			h.readRequest()
		}
		switch h.rng.IntN(12) {
		case 0:
			h.write()
		case 1:
			h.hear(h.rng.IntN(lanes))
		case 2:
			if h.rough {
				h.rehome()
			}
		}
	}
}

func (h *history) full() bool { return h.m.flights.n >= h.policy.Custody.MaxInFlight }

// readRequest reads a request if there is one and the machine is not full.
func (h *history) readRequest() {
	if h.nextRequest >= h.requestsEnd() || h.full() {
		return
	}
	r := h.requests[h.nextRequest]
	r.Offset, r.Foreign, r.Home = h.nextRequest, h.foreign[r.User], 1
	h.tell("request %d: msg %d user %s %s attempt %d order %d ends %d", r.Offset, r.message, r.User, r.Type, r.Attempt, r.Order, r.EndsWait)
	h.m.Request(r.Request)
	h.look()
	h.nextRequest++
	if h.rng.IntN(2) == 0 || h.nextRequest == h.requestsEnd() { // the last of a batch
		h.m.RequestsRead(h.nextRequest)
		h.look()
	}
}

func (h *history) readReceipt() {
	if h.nextReceipt >= h.receiptsEnd() {
		return
	}
	r := h.receipts[h.nextReceipt]
	h.tell("receipt %d: %+v", h.nextReceipt, r)
	h.m.Receipt(h.nextReceipt, &r)
	h.nextReceipt++
	h.look()
}

// write carries out the next action of some lane, and says whether there was one.
func (h *history) write() bool {
	for _, a := range h.m.Actions() {
		h.asked[laneOf(a.Kind)] = append(h.asked[laneOf(a.Kind)], a)
	}
	lane := h.rng.IntN(lanes)
	for range lanes {
		if len(h.asked[lane]) > 0 {
			break
		}
		lane = (lane + 1) % lanes
	}
	if len(h.asked[lane]) == 0 {
		return false
	}
	a := h.asked[lane][0]
	h.asked[lane] = h.asked[lane][1:]
	source, err := h.source(a)
	if err != nil {
		h.failed = err
		return false
	}
	h.tell("write %s id %d of msg %d origin %d (retryAt %d) order %d", a.Kind, a.ID, source.message, a.Origin, a.RetryAt, a.Order)
	if h.fails(a, lane, source.message) {
		return true
	}
	h.durable[lane] = append(h.durable[lane], write{a, h.append(a, source)})
	if h.healing || h.rng.IntN(2) == 0 {
		h.hear(lane)
	}
	return true
}

// source finds the message an action is about, where the action says it stands.
func (h *history) source(a Action) (offering, error) {
	if !a.FromRetry {
		return h.requests[a.Origin], nil
	}
	if a.RetryAt >= h.retryEnd() || h.retry[a.RetryAt].ends {
		return offering{}, fmt.Errorf("%s of %d: no wait at %d", a.Kind, a.Origin, a.RetryAt)
	}
	w := h.retry[a.RetryAt]
	return offering{Request{User: w.User, Type: w.Type, Expires: w.Expires, Size: w.Size}, w.message}, nil
}

// fails says whether a write comes to nothing: now and then, in a rough world, its
// message is gone from the log, or the broker refuses it.
func (h *history) fails(a Action, lane, message int) bool {
	if !h.rough || h.healing {
		return false
	}
	switch n := h.rng.IntN(60); {
	case n == 0 && a.Kind != EndWait && (a.Kind != WriteOutcome || a.Report.ID == ""):
		h.hear(lane)
		h.tell("  lost")
		h.fates[message].lost = true
		h.m.Lost(a.ID)
	case n == 1 && (a.Kind == MakeWait || a.Kind == Offer || a.Kind == MoveHome):
		h.hear(lane)
		h.tell("  refused")
		h.m.Refused(a.ID, "no")
	default:
		return false
	}
	h.look()
	return true
}

// append makes an action durable and says where.
func (h *history) append(a Action, source offering) (at int64) {
	switch a.Kind {
	case MakeWait:
		at = h.retryEnd()
		h.retry = append(h.retry, retryRecord{message: source.message, Restored: Restored{
			User: source.User, Type: source.Type, Size: source.Size, Wait: push.Wait{
				Lineage: push.Lineage{
					Attempt: a.Attempt, Failures: a.Failures, Order: a.Order, MayRepeat: a.MayRepeat, Expires: source.Expires,
				},
				Origin: a.Origin, Reason: a.Reason, Due: a.Due,
			},
		}})
	case EndWait:
		at = h.retryEnd()
		h.retry = append(h.retry, retryRecord{ends: true, Restored: Restored{Wait: push.Wait{Origin: a.Origin}}})
	case Offer:
		at = h.requestsEnd()
		h.inOrder(source)
		source.Attempt, source.Failures, source.Order, source.MayRepeat = a.Attempt, a.Failures, a.Order, a.MayRepeat
		source.EndsWait = push.NoWait
		if a.FromRetry {
			source.EndsWait = a.Origin
		}
		h.requests = append(h.requests, source)
	case DeadLetter:
		h.fates[source.message].dead = true
	case MoveHome:
		h.fates[source.message].moved = true
	case WriteOutcome:
	}
	return at
}

// hear has the machine hear of what is durable in a lane.
func (h *history) hear(lane int) {
	for len(h.durable[lane]) > 0 {
		w := h.durable[lane][0]
		h.durable[lane] = h.durable[lane][1:]
		h.tell("done %s id %d at %d", w.Kind, w.ID, w.at)
		h.m.Done(w.ID, w.at)
		h.look()
	}
}

// rehome adds partitions, after which some users live elsewhere.
func (h *history) rehome() {
	if h.rng.IntN(4) == 0 {
		h.foreign[h.anyUser()] = true
	}
	h.tell("rehome %v", h.foreign)
	h.m.Rehome(func(user string) (int32, bool) { return 1, h.foreign[user] })
	h.look()
}
