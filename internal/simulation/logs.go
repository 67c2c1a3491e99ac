package simulation

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// Topic that requests seem to stand in.
const requestTopic = "push.requests"

// partition is the logs that have one number, and who answers for them. What is
// appended is durable.
type partition struct {
	number    int32
	requests  []request
	retry     []retryRecord
	receipts  []receipt
	committed custody.Positions
	// checked is how far the promises about commits were checked.
	checked   custody.Positions
	custodian *custodian
	lives     int
}

// request is a record of the request log, with what is true of it.
type request struct {
	rec     push.Record
	msg     push.Message // as it is understood
	invalid *push.InvalidError
	message int
	// delivered: a durable receipt, the first of which stands at deliveredAt, says so.
	delivered   bool
	deliveredAt int64
	// safe: concluded, or its message is durable elsewhere.
	safe bool
	// waitAt is where its wait stands, -1 if it has none; followed: the next place
	// of the message is durable; ended: so is the wait's end.
	waitAt          int64
	followed, ended bool
	wentOn          bool // an offering is durable that names its wait
	endedAt         int64
}

type retryRecord struct {
	rec     push.Record
	entry   push.RetryEntry
	message int
	// stray: written by somebody who had been replaced, or a second time.
	stray bool
}

// receipt with when the broker appended it, and below which offset it speaks of
// requests; or a command of an operator.
type receipt struct {
	push.Receipt
	command *push.Command
	at      time.Time
	through int64
}

// numberIn reads the number of a message out of its payload.
func numberIn(value []byte) int {
	n, err := strconv.Atoi(string(value))
	if err != nil {
		return -1
	}
	return n
}

// addRequest appends to the request log and returns the offset.
func (p *partition) addRequest(w *World, rec push.Record) int64 {
	at := int64(len(p.requests))
	rec.Partition, rec.Offset = p.number, at
	if rec.Time.IsZero() {
		rec.Time = w.now
	}
	r := request{rec: rec, message: numberIn(rec.Value), deliveredAt: -1, waitAt: -1}
	var err error
	r.msg, err = push.ParseRequest(&rec, requestTopic, limits())
	if invalid, ok := errors.AsType[*push.InvalidError](err); ok {
		r.invalid = invalid
	}
	w.checkKept(r.message, r.msg.ID, string(rec.Key), r.msg.Type, r.msg.Expires)
	p.requests = append(p.requests, r)
	if m := &w.messages[r.message]; m.place == 0 && push.Home(m.user, w.count()) == p.number {
		t := &w.turns[numberOf(m.user)][slices.Index(types[:], m.typ)]
		t.messages = append(t.messages, r.message)
		m.place = len(t.messages)
	}
	return at
}

// addRetry appends to the retry log and returns the offset.
func (p *partition) addRetry(w *World, rec push.Record, message int, stray bool) int64 {
	at := int64(len(p.retry))
	rec.Partition, rec.Offset, rec.Time = p.number, at, w.now
	entry, err := push.ParseRetry(&rec)
	if err != nil {
		w.broken(codecKeepsEverything, message, "a retry record cannot be read: %v", err)
		return at
	}
	p.retry = append(p.retry, retryRecord{rec: rec, entry: entry, message: message, stray: stray})
	if entry.Origin < 0 || entry.Origin >= int64(len(p.requests)) {
		w.broken(codecKeepsEverything, message, "a retry record names origin %d", entry.Origin)
		return at
	}
	origin := &p.requests[entry.Origin]
	if entry.Ends {
		p.checkEnd(w, origin)
		origin.ended, origin.endedAt = true, at
		return at
	}
	w.checkKept(message, entry.ID, string(rec.Key), entry.Type, entry.Expires)
	w.revenant = w.revenant || stray
	origin.waitAt, origin.safe = at, true
	return at
}

// addReceipt appends the receipt that a gateway has encoded.
func (p *partition) addReceipt(w *World, encoded []byte) {
	r, err := push.DecodeReceipt(encoded)
	if err != nil {
		w.broken(codecKeepsEverything, everybody, "a receipt cannot be read: %v", err)
		return
	}
	at := int64(len(p.receipts))
	rec := receipt{Receipt: r, at: w.now}
	for _, o := range r.Delivered {
		if o < 0 || o >= int64(len(p.requests)) {
			w.broken(codecKeepsEverything, everybody, "a receipt speaks of request %d of %d", o, len(p.requests))
			return
		}
		req := &p.requests[o]
		req.safe = true
		if !req.delivered {
			req.delivered, req.deliveredAt = true, at
		}
	}
	for _, list := range [][]int64{r.Delivered, r.Held, r.Queued} {
		if len(list) > 0 {
			rec.through = max(rec.through, list[len(list)-1]+1)
		}
	}
	for _, f := range r.Failed {
		rec.through = max(rec.through, f.Offset+1)
	}
	for _, b := range r.Connected {
		rec.through = max(rec.through, r.ReadThrough-b.Saw)
	}
	p.receipts = append(p.receipts, rec)
	p.tellReceipt(w, &rec, at)
}

// receiptsSince is where the receipts begin that the broker appended at t or
// later.
func (p *partition) receiptsSince(t time.Time) int64 {
	n, _ := slices.BinarySearchFunc(p.receipts, t, func(r receipt, t time.Time) int { return r.at.Compare(t) })
	return int64(n)
}

func (p *partition) tellReceipt(w *World, r *receipt, at int64) {
	if w.story == nil {
		return
	}
	who := r.Node + "." + strconv.FormatInt(r.Epoch, 10)
	line := func(o int64, what string, reason push.Reason) {
		if o >= 0 && o < int64(len(p.requests)) {
			w.tell(note{who: who, what: what, message: p.requests[o].message, partition: p.number, offset: o, reason: reason})
		}
	}
	suffix := " (receipt " + strconv.FormatInt(at, 10) + ", read through " + strconv.FormatInt(r.ReadThrough, 10) + ")"
	for _, o := range r.Delivered {
		line(o, "says delivered"+suffix, push.ReasonNone)
	}
	for _, o := range r.Held {
		line(o, "says held"+suffix, push.ReasonNone)
	}
	for _, o := range r.Queued {
		line(o, "says queued"+suffix, push.ReasonNone)
	}
	for _, f := range r.Failed {
		line(f.Offset, "says failed"+suffix, f.Reason)
	}
	for _, b := range r.Connected {
		w.tell(note{
			who: who, what: "names a session for " + b.Type + " that saw " + strconv.FormatInt(b.Saw, 10) + suffix,
			message: everybody, user: b.User, partition: p.number, offset: -1,
		})
	}
	if r.Presence != push.Heartbeat {
		w.tell(note{
			who: who, what: map[push.Presence]string{push.Announce: "announces itself", push.Goodbye: "says goodbye"}[r.Presence] + suffix,
			message: everybody, partition: p.number, offset: -1,
		})
	}
}
