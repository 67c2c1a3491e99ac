package simulation

import (
	"math/rand/v2"
	"slices"
	"strconv"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// drawOperator says, by a random source of its own, whether somebody gives commands
// in a history; nil if nobody does. A history without them is what it was before
// there were any.
func drawOperator(seed uint64) *rand.Rand {
	rng := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // it must be the same each time
	if rng.IntN(4) != 0 {
		return nil
	}
	return rng
}

// mayOperate lets an operator give a command, now and then.
func (w *World) mayOperate() {
	if w.operator == nil || w.operator.IntN(8) != 0 {
		return
	}
	p := w.partitions[w.operator.IntN(len(w.partitions))]
	if len(p.retry) == 0 {
		return
	}
	const recent = 8
	at := len(p.retry) - 1 - w.operator.IntN(min(recent, len(p.retry)))
	r := &p.retry[at]
	if r.entry.Ends {
		return
	}
	kind, wait := push.Release, push.CommandWait{User: r.entry.User, Origin: r.entry.Origin}
	if w.operator.IntN(3) == 0 {
		kind = push.Discard
		if w.operator.IntN(6) == 0 {
			wait.User = "somebody else"
		}
	}
	p.command(w, kind, []push.CommandWait{wait})
}

// command appends what an operator asks for to the receipts.
func (p *partition) command(w *World, kind push.CommandKind, waits []push.CommandWait) {
	rec, err := push.CommandRecord(push.Command{Kind: kind, Operation: "o", By: "ann", Waits: waits})
	if err == nil && !push.IsCommand(rec.Value) {
		w.broken(codecKeepsEverything, everybody, "a command is taken for a receipt")
	}
	c, decoding := push.DecodeCommand(rec.Value)
	if err != nil || decoding != nil || len(c.Waits) != len(waits) {
		w.broken(codecKeepsEverything, everybody, "a command cannot be read: %v, %v", err, decoding)
		return
	}
	for _, wait := range waits {
		origin := &p.requests[wait.Origin]
		if kind == push.Discard && wait.User == origin.msg.User {
			w.messages[origin.message].discarded = true
		}
		w.tell(note{
			who: "operator", what: "asks to " + string(kind) + " (receipt " + strconv.Itoa(len(p.receipts)) + ") what waits for " + wait.User,
			message: origin.message, partition: p.number, offset: wait.Origin,
		})
	}
	p.receipts = append(p.receipts, receipt{at: w.now, command: &c})
}

// checkDiscarded: a message is about to die, maybe because an operator said so.
func (w *World) checkDiscarded(number int, reason push.Reason, origin *request) {
	if reason != push.Discarded {
		return
	}
	if !w.messages[number].discarded {
		w.broken(discardedOnlyIfTold, number, "nobody has asked for that")
	}
	// A custodian that may have few in flight answers before it has read all there is. A
	// request that is read again after its wait has ended lives once more.
	if origin.wentOn && !origin.ended && !w.nature.strays && w.policy().Custody.MaxInFlight == custody.DefaultConfig().MaxInFlight {
		w.broken(discardedHasNotGoneOn, number, "offering %d was offered again", origin.rec.Offset)
	}
}

// operatorIsObeyed gives a command for all that waits in a partition, where everything
// works, and checks that it is done. Now and then it is the successor of whoever read
// it that has to.
func (w *World) operatorIsObeyed() {
	if w.failure != nil || w.operator == nil || w.revenant {
		return
	}
	p := w.partitions[w.operator.IntN(len(w.partitions))]
	if w.operator.IntN(2) == 0 {
		p.custodian.readAll() // else some of it may be being written anew
	}
	kind := push.Discard
	// A gateway that never reads is outwaited anew for each that has its turn.
	if !w.nature.policy.Strict && w.reading() == len(w.gateways) && w.operator.IntN(2) == 0 {
		kind = push.Release
	}
	var waits []push.CommandWait
	named := make(map[int64]bool)
	for i := range p.retry {
		r := &p.retry[i]
		origin := &p.requests[max(r.entry.Origin, 0)]
		// What fails at a gateway that is there waits for its backoff, and comes back.
		if r.entry.Ends || r.stray || origin.ended || named[r.entry.Origin] || kind == push.Release && r.entry.Reason != push.Offline {
			continue
		}
		named[r.entry.Origin] = true
		waits = append(waits, push.CommandWait{User: r.entry.User, Origin: r.entry.Origin})
	}
	if w.failure != nil || len(waits) == 0 {
		return
	}
	p.command(w, kind, waits)
	w.obeyed(p, kind, waits)
}

// waitsOf says whether one of the waits has not ended.
func (p *partition) waitsOf(waits []push.CommandWait) bool {
	return slices.ContainsFunc(waits, func(wait push.CommandWait) bool { return !p.requests[wait.Origin].ended })
}

func (w *World) obeyed(p *partition, kind push.CommandKind, waits []push.CommandWait) {
	c := p.custodian
	c.readReceipts(len(p.receipts))
	for range w.operator.IntN(4) {
		c.carryOut(knowing)
	}
	if !w.nature.steady && w.operator.IntN(2) == 0 && w.failure == nil {
		c.stage = 0
		c.commit(w.operator.IntN(4))
		w.replace(p)
	}
	p.custodian.readAll()
	if kind == push.Release {
		// Only so many are offered to a user at a time; each is judged by gateways that
		// may have to be outwaited.
		w.leaveTheDeaf()
		for seconds := 0; seconds < patience && w.failure == nil && p.waitsOf(waits); seconds++ {
			w.round()
			w.now = w.now.Add(second)
		}
	}
	for _, wait := range waits {
		if origin := &p.requests[wait.Origin]; w.failure == nil && !origin.ended {
			w.broken(operatorsAreObeyed, origin.message, "%s of offering %d/%d: it still waits", kind, p.number, wait.Origin)
		}
	}
}
