package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"pushgate/internal/push"
)

// A receipt topic holds many records for each message. It is read only while something
// that is told was going on: from when an offering was written until it was delivered,
// its message died, or its wait was over.

// watched is something during which receipts matter.
type watched struct {
	from time.Time
	o    *offering // nil: a wait whose offering was not read
	w    *wait
}

// afterwards is for how long receipts are read after the end: another device of the
// user may have been as fast.
const afterwards = 2 * time.Second

// over says whether nothing more is to be learnt after a time.
func (w *watched) over(at time.Time) bool {
	end := time.Time{}
	switch {
	case w.o != nil && w.o.wait != nil:
		end = w.o.wait.ended
	case w.o == nil:
		end = w.w.ended
	}
	if w.o != nil && !w.o.delivered.IsZero() && (end.IsZero() || w.o.delivered.After(end)) {
		end = w.o.delivered
	}
	switch l := w.life(); {
	case !end.IsZero():
	case l.dead != nil:
		end = l.dead.at
	default:
		end = l.delivered // another offering of it was
	}
	return !end.IsZero() && at.After(end.Add(afterwards))
}

func (w *watched) life() *life {
	if w.o != nil {
		return w.o.life
	}
	return w.w.life
}

// watch lists what receipts of a partition matter for, in order.
func (t *teller) watch(number int32) []*watched {
	var all []*watched
	for _, l := range t.lives {
		for _, o := range l.offerings {
			// What stands elsewhere is not delivered from there.
			if o.partition == number && !o.foreign {
				all = append(all, &watched{from: o.at, o: o})
			}
		}
		for _, w := range l.waits {
			if w.partition == number && w.after == nil {
				all = append(all, &watched{from: w.at, w: w})
			}
		}
	}
	slices.SortFunc(all, func(a, b *watched) int { return a.from.Compare(b.from) })
	return all
}

// leap is how long nothing must go on for the receipts in between to be passed over.
const leap = 5 * time.Second

// receipts reads what gateways and operators said of a partition.
func (t *teller) receipts(ctx context.Context, number int32) error {
	ahead := t.watch(number)
	if len(ahead) == 0 {
		return nil
	}
	h := &hearing{teller: t, number: number, ahead: ahead}
	for len(h.ahead) > 0 {
		from := h.ahead[0].from
		read, err := t.since(ctx, t.p.Topics.Receipts, number, from)
		if err != nil {
			return err
		}
		first, err := t.each(ctx, read, h.record)
		if err != nil {
			return err
		}
		if read.trimmed && (first.IsZero() || first.After(from.Add(leap))) {
			t.lostReceipts(read, first, from)
		}
		if !h.leapt {
			break
		}
		h.leapt = false
	}
	return nil
}

func (t *teller) lostReceipts(read stretch, first, from time.Time) {
	begins := "holds nothing any more"
	if !first.IsZero() {
		begins = "begins at " + stamp(first)
	}
	t.gap("%s/%d %s: which gateways had what was offered from %s on, and what they said of it, is gone", read.topic, read.partition, begins, stamp(from))
}

// hearing reads the receipts of one partition.
type hearing struct {
	*teller
	number int32
	// ahead are watched things that have not begun, active those that have.
	ahead, active []*watched
	leapt         bool
}

// record takes in one record of the receipt topic; errEnough where nothing is watched
// for a while.
func (h *hearing) record(rec *push.Record) error {
	for len(h.ahead) > 0 && !h.ahead[0].from.After(rec.Time) {
		h.active = append(h.active, h.ahead[0])
		h.ahead = h.ahead[1:]
	}
	h.active = slices.DeleteFunc(h.active, func(w *watched) bool { return w.over(rec.Time) })
	if len(h.active) == 0 {
		if len(h.ahead) == 0 {
			return errEnough
		}
		if h.ahead[0].from.Sub(rec.Time) > leap {
			h.leapt = true
			return errEnough
		}
		return nil
	}
	where := placed(h.p.Topics.Receipts, h.number, rec.Offset)
	if push.IsCommand(rec.Value) {
		h.command(rec, where)
		return nil
	}
	r, err := push.DecodeReceipt(rec.Value)
	if err != nil {
		h.gap("%s is no receipt and was passed over", where)
		return nil //nolint:nilerr // said
	}
	h.called = h.called || r.Called
	for _, w := range h.active {
		if w.o != nil {
			h.said(rec, &r, w.o, where)
		}
	}
	for _, b := range r.Connected {
		if b.User == h.subject.user {
			h.connect(connect{at: rec.Time.UTC(), node: r.Node, kind: b.Type, where: where})
		}
	}
	return nil
}

// said takes in what a gateway says of one offering.
func (h *hearing) said(rec *push.Record, r *push.Receipt, o *offering, where string) {
	at := rec.Time.UTC()
	tell := func(kind Kind, text string) {
		o.life.tell(Event{Time: at, Kind: kind, Where: r.Node, Text: text + " (" + where + ")", attempt: o.attempt})
	}
	h.ended(r, o, tell)
	if has(r.Queued, o.offset) {
		if g := o.glanceOf(r.Node); !g.queued {
			g.queued, g.epoch = true, r.Epoch
			tell(Queued, "read by "+r.Node+", which holds the user; not written yet")
		}
	}
	if has(r.Held, o.offset) {
		if g := o.glanceOf(r.Node); !g.held {
			g.held, g.epoch = true, r.Epoch
			tell(Written, "written to a connection at "+r.Node+"; its acknowledgement is awaited")
		}
	}
	if has(r.Delivered, o.offset) {
		h.tellDelivered(r, o, at, tell)
	}
	for _, f := range r.Failed {
		if f.Offset == o.offset {
			o.glanceOf(r.Node).failed = true
			tell(Failed, fmt.Sprintf("failed at %s: %s", r.Node, failure(f.Reason)))
		}
	}
	if !r.Called && r.ReadThrough > o.offset && o.openAt(at) {
		if g := o.glanceOf(r.Node); g.passed.IsZero() {
			g.passed = at
		}
	}
}

// openAt says whether it was still to be found out who holds the user.
func (o *offering) openAt(at time.Time) bool {
	const late = time.Second // a receipt may be written after the wait it led to
	l := o.life
	switch {
	case l.strict && o.raw:
		return false // gateways pass over it, whoever they hold
	case o.wait != nil:
		return !at.After(o.wait.at.Add(late))
	case l.dead != nil:
		return !at.After(l.dead.at)
	default:
		return l.delivered.IsZero()
	}
}

func (h *hearing) tellDelivered(r *push.Receipt, o *offering, at time.Time, tell func(Kind, string)) {
	g := o.glanceOf(r.Node)
	text := "delivered at " + r.Node + ": written, and acknowledged where the connection acknowledges"
	if g.held {
		text = "delivered at " + r.Node + ": the client has acknowledged it"
	}
	if g.delivered {
		text += "; once more"
	}
	g.delivered, h.delivered = true, true
	if o.delivered.IsZero() {
		o.delivered = at
	}
	if o.life.delivered.IsZero() {
		o.life.delivered = at
	}
	tell(Delivered, text)
}

// ended takes in that a gateway which had the offering is no more.
func (h *hearing) ended(r *push.Receipt, o *offering, tell func(Kind, string)) {
	i := slices.IndexFunc(o.nodes, func(g *glance) bool { return g.node == r.Node })
	if i < 0 || !o.nodes[i].answers() || o.nodes[i].ended {
		return
	}
	g := o.nodes[i]
	switch {
	case r.Epoch > g.epoch:
		g.ended = true
		tell(GatewayEnded, r.Node+" had it and has begun anew since: what became of it there is not known")
	case r.Presence == push.Goodbye && !has(r.Delivered, o.offset):
		g.ended = true
		tell(GatewayEnded, r.Node+" had it and has said goodbye")
	}
}

// has says whether a list of a receipt, which is sorted, names an offset.
func has(offsets []int64, offset int64) bool {
	n := len(offsets)
	if n == 0 || offset < offsets[0] || offset > offsets[n-1] {
		return false
	}
	_, found := slices.BinarySearch(offsets, offset)
	return found
}

func failure(r push.Reason) string {
	switch r {
	case push.WriteError:
		return "write_error: the connection broke while it was written"
	case push.SlowConsumer:
		return "slow_consumer: the client does not keep up"
	case push.AckTimeout:
		return "ack_timeout: the client has not acknowledged it in time"
	case push.Unreachable:
		return "unreachable: the node could not be called"
	case push.Offline:
		return "offline: the user had left"
	default:
		return r.String()
	}
}

// command takes in what an operator asked for.
func (h *hearing) command(rec *push.Record, where string) {
	c, err := push.DecodeCommand(rec.Value)
	if err != nil {
		h.gap("%s is no command and was passed over", where)
		return
	}
	for _, cw := range c.Waits {
		w := h.waits[place{h.number, cw.Origin}]
		if w == nil || cw.User != h.subject.user {
			continue
		}
		text := fmt.Sprintf("%s asked the custodian to %s it", cmp.Or(c.By, "an operator"), c.Kind)
		if c.Why != "" {
			text += ": " + c.Why
		}
		w.life.tell(Event{
			Time: rec.Time.UTC(), Kind: Operator, Where: where, attempt: w.attempt, Text: text + " (operation " + c.Operation + ")",
		})
	}
}

// maxConnects bounds how many sessions of the user are remembered: the newest.
const maxConnects = 500

func (h *hearing) connect(c connect) {
	if len(h.connects) == maxConnects {
		h.connects = slices.Delete(h.connects, 0, 1)
	}
	h.connects = append(h.connects, c)
}
