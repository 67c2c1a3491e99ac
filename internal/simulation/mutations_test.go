package simulation

const (
	evidence = "internal/custody/evidence.go"
	settle   = "internal/custody/settle.go"
	action   = "internal/custody/action.go"
	machine  = "internal/custody/machine.go"
	waitLog  = "internal/custody/waitlog.go"
	window   = "internal/custody/window.go"
	strict   = "internal/custody/strict.go"
	carry    = "internal/custody/carry.go"
	command  = "internal/custody/command.go"
	entries  = "internal/custody/entry.go"
	router   = "internal/targeted/router.go"
	nodes    = "internal/targeted/node.go"
	goneOnes = "internal/targeted/gone.go"
	calledBy = "internal/delivery/ledger/called.go"
	ledgers  = "internal/delivery/ledger/ledger.go"
	parts    = "internal/delivery/ledger/parts.go"
	tracker  = "internal/offsets/tracker.go"
	receipts = "internal/push/receipt.go"
	lineage  = "internal/push/lineage.go"
	retry    = "internal/push/retry.go"
)

// mutations of the rules that keep messages from being lost, by file. Some rules
// are not among them, because no promise depends on them:
//
//   - that to a node one call is under way at a time: no history has shown what two
//     that overtake each other do; the router's own test holds it;
//   - that a goodbye ends a gateway at once: its silence does, a window later;
//   - that a session is not named, and not remembered, for what it has seen: it costs offerings that the
//     claims of its gateway make superfluous;
//   - that a restored wait stands where it was written last: one that stands
//     further back is committed later than it might be;
//   - that an offering takes its place in the window along: the window bounds what
//     is offered at a time, and is not needed for anything to be offered;
//   - that a wait carries on that it may be a repeat: a restored one counts as one;
//   - that what is wanted is offered without a wait: it is when the wait is written;
//   - that in strict order an offering supersedes its raw request: that one waits for
//     its turn behind it, and comes as a repeat;
//   - that what belongs elsewhere moves before it waits: it moves when its wait is
//     written;
//   - that an answer does not say how its gateway takes requests: its next receipt does;
//   - that a look-up which had begun is not enough for whoever is looked for again:
//     sessions that are entered are named;
//   - that a gateway which has gone reads no more: whoever comes back under its name
//     says how it takes requests. One that lives and was silent for too long is called
//     meanwhile, which brings forward what its return would bring;
//   - that a message is looked up twice at most: sessions that are gone end it;
//   - that what could not be brought is not looked up a second time: it costs one more
//     call, and the failure counts all the same;
//   - that what is on its way out is not commanded: it does not wait, which is what
//     commands are about;
//   - that a failed call, and an answer that lists nothing, forget what was found: it is
//     looked up a second time anyway, or forgotten a second later.
func mutations() []mutation {
	var all []mutation
	for _, list := range [][]mutation{
		evidenceMutations(), settleMutations(), actionMutations(), machineMutations(), orderMutations(),
		ledgerMutations(), trackerMutations(), codecMutations(),
		carryMutations(), commandMutations(), routerMutations(), nodeMutations(), calledMutations(),
	} {
		all = append(all, list...)
	}
	return all
}

func evidenceMutations() []mutation {
	return []mutation{
		{
			"judgement waits for every living gateway", evidence,
			"if m.observed-max(g.progressed, e.work.readAt) <= m.policy.Custody.Window {", "if false {",
		},
		{
			"read through means: looked at every offset below", evidence,
			"if g.readThrough > e.origin {", "if g.readThrough >= e.origin {",
		},
		{
			"a gateway that stands still is outwaited", evidence,
			"if m.observed-max(g.progressed, e.work.readAt) <= m.policy.Custody.Window {", "if true {",
		},
		{
			"what a dead gateway answered for is given back", evidence,
			"e.work.unclaim(g) && len(e.work.claims) == 0 {", "e.work.unclaim(g) && len(e.work.claims) > 0 {",
		},
		{
			"a gateway that is silent for the window is dead", evidence,
			"if m.observed-g.heard > m.policy.Custody.Window {", "if m.observed-g.heard > 1000*m.policy.Custody.Window {",
		},
		{
			"a later life of a gateway ends the earlier one", evidence,
			"\t\tif g != nil {\n\t\t\tm.bury(g)\n\t\t}\n", "",
		},
		{
			"an earlier life of a gateway claims nothing", evidence,
			"return &gateway{node: r.Node, epoch: r.Epoch, gone: true}", "return &gateway{node: r.Node, epoch: r.Epoch}",
		},
		{
			"what is said of a request before it is read is kept", evidence,
			"m.early[origin] = append(m.early[origin], w)", "m.early[origin] = nil",
		},
		{
			"a gateway that has the user answers for the message", evidence,
			"e.work.claims = append(e.work.claims, w.from)", "e.work.claims = nil",
		},
		{
			"while one gateway answers, another's failure decides nothing", evidence,
			"case len(e.work.claims) > 0:\n\tcase e.work.failed:", "case e.work.failed:",
		},
		{
			"what was delivered late does not wait on", evidence,
			"m.deliveredLate(w.mark, e, w.from)", "_ = e",
		},
		{
			"what failed late is tried again soon", evidence,
			"m.failedLate(w.mark, e, w.reason)", "_ = e",
		},
		{
			"a gateway that gave a message up claims it no more", evidence,
			" && !slices.Contains(e.work.gaveUp, w.from.life()) {", " {",
		},
		{
			"a session opened before a request is read is remembered", evidence,
			"if r.Offset < b.readThrough && push.Takes(", "if r.Offset < 0 && push.Takes(",
		},
		{
			"what waits is offered when its user connects", evidence,
			"if e.state == waiting && !e.ready && m.restored {", "if e.state == gone && !e.ready && m.restored {",
		},
		{
			"a session for all types takes every type", evidence,
			"if !push.Takes(b.Type, m.types.name(e.typ)) ||", "if b.Type != m.types.name(e.typ) ||",
		},
		{
			"a receipt that names a session is kept for what it caused", evidence,
			"\t\t\tm.hold(e, mark)\n\t\t\tif m.policy.Strict", "\t\t\tif m.policy.Strict",
		},
	}
}

func commandMutations() []mutation {
	return []mutation{
		{
			"a command to discard is kept until that is done", command,
			"m.hold(e, mark)\n\t\te.busy().discard", "e.busy().discard",
		},
		{
			"a command to release is kept until that is done", command,
			"if m.isNext(e) {\n\t\tm.hold(e, mark)\n\t}", "",
		},
		{
			"a command is done by a successor that reads it while restoring", machine,
			"case e.isDiscarded():\n\t\t\tm.discard(e)\n", "",
		},
		{
			"a command touches no other user's message", command,
			"|| m.userOf(e).name != w.User", "",
		},
		{
			"what is being written anew is discarded when it is written", waitLog,
			"case w.discard != \"\" && m.restored:\n\t\tm.die(e, push.Discarded, w.discard)\n", "",
		},
		{
			"what is released is offered", command,
			"if e.state == waiting && !e.ready && m.restored {\n\t\tm.leaveWaiting(e)\n\t}", "",
		},
		{
			"while restoring, what is discarded may turn out to have ended", command,
			"e.state != waiting || !m.restored", "e.state != waiting",
		},
	}
}

func settleMutations() []mutation {
	return []mutation{
		{
			"a request settles after its wait is durable", settle,
			"m.act(e, Action{Kind: MakeWait, Reason: reason, Due: time.UnixMilli(e.due)})", "m.act(e, Action{Kind: MakeWait, Reason: reason, Due: time.UnixMilli(e.due)})\n\tm.settle(e.origin)",
		},
		{
			"a request settles after its dead letter is durable", settle,
			"m.act(e, Action{Kind: DeadLetter, Reason: reason, Text: text})", "m.act(e, Action{Kind: DeadLetter, Reason: reason, Text: text})\n\tm.settle(e.origin)",
		},
		{
			"a request settles after it was moved home", settle,
			"m.act(e, Action{Kind: MoveHome, Home: home})", "m.act(e, Action{Kind: MoveHome, Home: home})\n\tm.settle(e.origin)",
		},
		{
			"a request settles after its outcome is durable", settle,
			"m.act(e, Action{Kind: WriteOutcome, Report: report})", "m.act(e, Action{Kind: WriteOutcome, Report: report})\n\tm.settle(e.origin)",
		},
		{
			"a wait ends after the offering is durable", settle,
			"m.act(e, Action{Kind: Offer})", "m.act(e, Action{Kind: Offer})\n\tif e.retryAt != notInRetry {\n\t\tm.act(e, Action{Kind: EndWait})\n\t}",
		},
		{
			"a wait that has nothing left to wait for ends", settle,
			"if e.retryAt != notInRetry {\n\t\tm.endWait(e)\n\t\treturn\n\t}\n", "",
		},
		{
			"an offering settles only after the wait it came from has ended", settle,
			"\t\tm.blocked[origin] = true\n\t\treturn\n", "\t\tm.blocked[origin] = true\n",
		},
		{
			"what is one too many is dead-lettered", settle,
			"m.die(e, push.Overflow,", "_ = limit\n\t\tm.concluded(e, push.DeadLettered, push.Overflow, \"\")\n\t\treturn\n\t\tm.die(e, push.Overflow,",
		},
		{
			"what has expired is dead-lettered, unless it is to be dropped", settle,
			"if !m.policy.DropExpired {", "if m.policy.DropExpired {",
		},
		{
			"a message expires in its time", settle,
			"return e.expires <= m.now.UnixMilli()", "return e.expires-10_000 <= m.now.UnixMilli()",
		},
		{
			"what is exhausted is dead-lettered", settle,
			"m.die(e, push.Exhausted,", "m.concluded(e, push.DeadLettered, push.Exhausted, \"\")\n\t\treturn\n\t\tm.die(e, push.Exhausted,",
		},
		{
			"the receipt that ends a wait is kept until the end is durable", settle,
			"m.timers.remove(e)\n\tm.hold(e, mark)\n\tm.conclude(", "m.timers.remove(e)\n\tm.conclude(",
		},
		{
			"what was delivered while its wait was being written does not wait", settle,
			"e.busy().over, e.work.overBy = true, g.node", "e.busy().overBy = g.node",
		},
		{
			"the receipt of a late failure is kept until the message is offered", settle,
			"\tm.hold(e, mark)\n\te.failures++\n", "\te.failures++\n",
		},
		{
			"what failed while its wait was being written is tried again soon", settle,
			"e.busy().late = reason", "e.busy().late = push.ReasonNone",
		},
		{
			"each message has an outcome, where outcomes are written", settle,
			"if !m.policy.Outcomes {", "if !m.policy.Outcomes || e.retryAt != notInRetry {",
		},
		{
			"an outcome of a restored wait is marked as a possible repeat", settle,
			"MayRepeat: e.restored || e.repeat,", "MayRepeat: e.repeat,",
		},
		{
			"an outcome of what a predecessor may have concluded is marked as a possible repeat", settle,
			"MayRepeat: e.restored || e.repeat,", "MayRepeat: e.restored,",
		},
	}
}

func actionMutations() []mutation {
	return []mutation{
		{
			"an offering of a restored wait is marked as a possible repeat", action,
			"a.Attempt++\n\t\t// The predecessor may have concluded it, or moved it, and not ended its wait.\n\t\ta.MayRepeat = e.repeat || e.restored",
			"a.Attempt++\n\t\ta.MayRepeat = e.repeat",
		},
		{
			"what is moved out of a restored wait is marked as a possible repeat", action,
			"means nothing in another\n\t\ta.MayRepeat = e.repeat || e.restored", "means nothing in another\n\t\ta.MayRepeat = e.repeat",
		},
		{
			"receipts are kept that speak of unsettled requests", action,
			"return r.holds > 0 || r.through > settled", "return r.holds > 0 || r.through > settled+1<<40",
		},
		{
			"receipts are kept whose consequences are not durable", action,
			"return r.holds > 0 || r.through > settled", "return r.through > settled",
		},
		{
			"requests are committed up to the first that is not settled", action,
			"Requests: m.requests.Committable(),\n\t\tReceipts", "Requests: m.next,\n\t\tReceipts",
		},
		{
			"receipts are committed up to the first that is needed", action,
			"Receipts: m.receipts.committable(),", "Receipts: m.receipts.next,",
		},
		{
			"the retry log is committed up to the first wait", action,
			"Retry:    m.waitLog.committable(),", "Retry:    m.waitLog.next,",
		},
		{
			"an offering settles when the wait it came from has ended", action,
			"if settled {\n\t\t\tm.requests.Settle(o)\n\t\t}", "_ = settled",
		},
		{
			"a wait that has ended is not restored", action,
			"\t\tm.drop(e)\n\t\tm.afterwards()\n", "",
		},
		{
			"what the broker refuses is dead-lettered", action,
			"m.die(p.entry, push.TooLarge, text)", "m.leave(p.entry)",
		},
	}
}

func machineMutations() []mutation {
	return []mutation{
		{
			"what a predecessor may have concluded may be a repeat", machine,
			"e.repeat = r.MayRepeat || r.Offset < m.replayed", "e.repeat = r.MayRepeat",
		},
		{
			"that an offering may be a repeat is read from it", machine,
			"e.repeat = r.MayRepeat || r.Offset < m.replayed", "e.repeat = r.Offset < m.replayed",
		},
		{
			"an offering ends the wait it came from", machine,
			"\tm.endBefore(w, r.Offset)\n\treturn w", "\treturn w",
		},
		{
			"an offering waits for the wait it came from to end", machine,
			"\tm.blocked[offset] = false\n", "",
		},
		{
			"a message that waits already is not judged once more", machine,
			"if m.isOf(w, &r, 0) {", "if m.isOf(w, &r, 0) && false {",
		},
		{
			"what was said of a message that waits already is heard", machine,
			"m.wordLate(w, word)", "_ = word",
		},
		{
			"what is outside its user's home moves there", machine,
			"case r.Foreign:\n\t\tm.moveHome(e, r.Home)", "case r.Foreign:\n\t\tm.conclude(e, push.Delivered, push.ReasonNone, \"\")",
		},
		{
			"what is invalid is dead-lettered", machine,
			"m.die(e, r.Invalid.Reason, r.Invalid.Text)", "m.conclude(e, push.DeadLettered, r.Invalid.Reason, \"\")",
		},
		{
			"restored waits have timers", machine,
			"default:\n\t\t\tm.timers.add(e)", "default:",
		},
		{
			"restored waits whose user has connected since are offered", machine,
			"case e.wanted:\n\t\t\tm.leaveWaiting(e)", "case e.wanted && !e.restored:\n\t\t\tm.leaveWaiting(e)",
		},
		{
			"restored waits whose user lives elsewhere now move", machine,
			"case e.foreign:\n\t\t\tm.moveHome(e, e.work.home)\n", "",
		},
		{
			"waits whose user lives elsewhere now move", machine,
			"if m.restored && (e.state == waiting || queued) {", "if m.restored && queued {",
		},
		{
			"a wait that is due is offered", machine,
			"e != nil; e = m.timers.due(m.now.UnixMilli()) {\n\t\tm.leaveWaiting(e)", "e != nil; e = m.timers.due(m.now.UnixMilli()) {\n\t\t_ = e",
		},
		{
			"a place in the window is given back", window,
			"\t\tm.giveBackPlace(place{e.owner, e.typ, e.size})\n", "",
		},
		{
			"a place that is given back is somebody's turn", window,
			"\tw.bytes -= int(p.size)\n\tm.touch(p.owner, p.typ)\n", "\tw.bytes -= int(p.size)\n",
		},
		{
			"the place of an offering that nothing comes of is given back", window,
			"\tdelete(m.inLog, at)\n\tm.giveBackPlace(left)\n", "\tdelete(m.inLog, at)\n",
		},
		{
			"what waits for its turn is offered when it comes", window,
			"\tm.turnInOrder(owner, typ)\n\t\treturn\n\t}\n", "\tm.turnInOrder(owner, typ)\n\t\treturn\n\t}\n\tif owner != none {\n\t\treturn\n\t}\n",
		},
		{
			"an old wait counts until it is written anew", waitLog,
			"\tm.waitLog.rewriting++\n", "\tm.waitLog.rewriting++\n\tm.waitLog.remove(e)\n",
		},
		{
			"a wait that was written anew goes on waiting", waitLog,
			"\tm.waitLog.add(e, at)\n\tm.waitsOn(e)\n}\n\n// notRewritten", "\tm.waitLog.add(e, at)\n}\n\n// notRewritten",
		},
		{
			"a wait whose cleaning was refused stays", waitLog,
			"\te.unmovable = true\n\tm.waitsOn(e)", "\te.unmovable = true",
		},
		{
			"what is wanted when its wait is written is offered", waitLog,
			"case e.wanted && m.restored:\n\t\tm.offerInTurn(e)\n", "",
		},
	}
}

func orderMutations() []mutation {
	return []mutation{
		{
			"in strict order a message waits for the earlier ones", strict,
			"case earlier == nil && m.window(", "case m.window(",
		},
		{
			"in strict order what waits waits for the earlier ones", strict,
			"return !m.policy.Strict || m.before(e) == nil", "return true || m.before(e) == nil",
		},
		{
			"in strict order a message that was moved home has a new place", action,
			"a.Order = 0 // a place", "// a place",
		},
		{
			"in strict order a message is offered when its turn comes", strict,
			"case m.queued(e):\n\t\t\tm.offer(e)\n", "",
		},
		{
			"in strict order what is queued when partitions are added moves", machine,
			"if m.restored && (e.state == waiting || queued) {", "if m.restored && (e.state == waiting || queued && e.state == gone) {",
		},
	}
}

func ledgerMutations() []mutation {
	return []mutation{
		{
			"parts of a receipt say nothing of how far was read before all is listed", parts,
			"Called: called}", "Called: called, ReadThrough: r.ReadThrough}",
		},
		{
			"parts of a receipt do not say that nothing is read any more before all is listed", parts,
			"called := r.Called && l.saidCalled", "called := r.Called",
		},
		{
			"all that was delivered is said again when it could not be written in parts", parts,
			"r.Delivered = append(r.Delivered, p.Delivered...)", "r.Delivered = p.Delivered",
		},
		{
			"a part of a receipt takes up no more than it says", parts,
			"return list[:n:n], list[n:]", "return list[:n:n], list[min(n+1, len(list)):]",
		},
		{
			"a receipt reads through to what was looked at, and no further", ledgers,
			"r.ReadThrough = l.readThrough\n", "r.ReadThrough = l.readThrough + 1\n",
		},
		{
			"read through moves when the batch was looked at", ledgers,
			"\tl.reading = true\n", "\tl.reading = true\n\tl.readThrough += 2\n",
		},
		{
			"what is owned and not written yet is listed", ledgers,
			"r.Queued = append(r.Queued, offset)", "_ = offset",
		},
		{
			"queued offsets are listed until something is done about them", ledgers,
			"l.underWay[offset] = false\n\t\t}\n", "l.underWay[offset] = true\n\t\t}\n",
		},
		{
			"a queued offset is not settled", ledgers,
			"[][]int64{r.Delivered, r.Held} {", "[][]int64{r.Delivered, r.Held, r.Queued} {",
		},
		{
			"an offset is settled after its receipt is durable", ledgers,
			"\tl.say(m.Offset, s, reason)\n\tl.observe(", "\tl.tracker.Settle(m.Offset)\n\tl.say(m.Offset, s, reason)\n\tl.observe(",
		},
		{
			"a failed offset is settled by its receipt", ledgers,
			"l.tracker.Settle(f.Offset)", "_ = f",
		},
		{
			"an owned offset is tracked before it is delivered", ledgers,
			"\tl.tracker.Track(offset)\n", "",
		},
		{
			"an offset that is not owned holds nothing up", ledgers,
			"\tdelete(l.underWay, offset)\n\tl.tracker.Settle(offset)\n", "\tdelete(l.underWay, offset)\n",
		},
		{
			"a session opened in the middle of a batch is named after it", ledgers,
			"\tif l.reading {\n", "\tif false {\n",
		},
		{
			"sessions opened in the middle of a batch are named", ledgers,
			"\tfor _, b := range l.late {\n\t\tl.bind(b)\n\t}\n", "",
		},
		{
			"a session has not seen what was read before it was opened", ledgers,
			"b.Saw = r.ReadThrough - b.from", "b.Saw = r.ReadThrough",
		},
		{
			"deliveries of a receipt that was not written are said again", ledgers,
			"n.Delivered = append(r.Delivered, n.Delivered...)", "_ = n",
		},
		{
			"what a receipt that was not written held is said again", ledgers,
			"n.Held = append(r.Held, n.Held...)", "_ = n",
		},
		{
			"failures of a receipt that was not written are said again", ledgers,
			"n.Failed = append(r.Failed, n.Failed...)", "_ = n",
		},
		{
			"sessions of a receipt that was not written are named again", ledgers,
			"l.bound = append(again, l.bound...)", "_ = again",
		},
		{
			"sessions of a receipt that was not written were opened when they were", ledgers,
			"from := r.ReadThrough - b.Saw", "from := r.ReadThrough - b.Saw - b.Saw",
		},
	}
}

func trackerMutations() []mutation {
	return []mutation{
		{
			"nothing is committed past an unsettled offset", tracker,
			"if t.len == 0 {\n\t\treturn t.next", "if t.unsettled <= 1 {\n\t\treturn t.next",
		},
		{
			"the offset that is settled is the one that was named", tracker,
			"if i == t.len || t.at(i).offset != offset || t.at(i).settled {", "if i == t.len || t.at(i).settled {",
		},
		{
			"what is settled behind the first is remembered", tracker,
			"\tt.at(i).settled = true\n", "\tt.at(i).settled = i == 0\n",
		},
		{
			"growing keeps the order", tracker,
			"ring[i] = *t.at(i)", "ring[i] = t.ring[i]",
		},
	}
}

func codecMutations() []mutation {
	return []mutation{
		{
			"a receipt names the offsets it was given", receipts,
			"end = offsets[j-1] + 1\n", "end = offsets[j-1]\n",
		},
		{
			"a run of offsets is as long as it was", receipts,
			"offsets[j] == offsets[j-1]+1 {\n\t\t\tj++", "offsets[j] <= offsets[j-1]+2 {\n\t\t\tj++",
		},
		{
			"a failure keeps its reason", receipts,
			"dst = append(dst, byte(f.Reason))", "dst = append(dst, byte(Offline))",
		},
		{
			"a session keeps what it has seen", receipts,
			"dst = binary.AppendVarint(dst, b.Saw)", "dst = binary.AppendVarint(dst, r.ReadThrough)",
		},
		{
			"an epoch is kept", receipts,
			"dst = binary.AppendVarint(dst, r.Epoch)", "dst = binary.AppendVarint(dst, 1)",
		},
		{
			"an offering names the wait it ends", lineage,
			"if endsWait >= 0 {", "if endsWait > 1<<40 {",
		},
		{
			"an offering keeps its expiry", lineage,
			"h.addTime(HeaderExpires, l.Expires)", "h.addTime(HeaderExpires, l.FirstSeen)",
		},
		{
			"an offering keeps its failures", lineage,
			"if l.Failures > 0 {", "if l.Failures > 1 {",
		},
		{
			"a wait names its offering", retry,
			"h.AddText(HeaderWait, strconv.FormatInt(w.Origin, 10))", "h.AddText(HeaderWait, strconv.FormatInt(max(w.Origin-1, 0), 10))",
		},
		{
			"a wait says until when", retry,
			"h.addTime(HeaderDue, w.Due)", "h.addTime(HeaderDue, w.Expires)",
		},
	}
}

func carryMutations() []mutation {
	return []mutation{
		{
			"a request is the courier's until that is done with it", carry,
			"e.busy().claims = append(e.work.claims, m.courier)", "_ = e",
		},
		{
			"what was read while restoring is carried", carry,
			"\t\t\tm.parcels = append(m.parcels, m.parcelOf(e))\n\t\t}\n\t}\n}\n\nfunc (m *Machine) parcelOf", "\t\t\t_ = e\n\t\t}\n\t}\n}\n\nfunc (m *Machine) parcelOf",
		},
		{
			"what a gateway answers for is left to it when the courier is through", carry,
			"\t\t\tm.noLonger(e, m.courier)\n", "\t\t\te.work.claims = nil\n\t\t\tm.giveBack(e)\n",
		},
		{
			"an answer is heard", carry,
			"m.heard(mark, m.answering(&answer), &answer)", "_ = mark",
		},
		{
			"the answer of an earlier life claims nothing", carry,
			"m.heard(mark, m.answering(&answer), &answer)", "m.heard(mark, &gateway{node: answer.Node, epoch: answer.Epoch}, &answer)",
		},
		{
			"a call that failed is a failed attempt", carry,
			"status: wordFailed, reason: f.Reason, mark: mark})", "status: wordFailed, reason: push.Offline, mark: mark})",
		},
		{
			"what waits is offered when its user is found", carry,
			"\t\tm.found(mark, b)\n", "\t\t_ = b\n",
		},
		{
			"users of whom messages wait are asked about after a takeover", carry,
			"if e.state == waiting && e.reason == push.Offline {", "if e.state == gone && e.reason == push.Offline {",
		},
		{
			"a gateway that begins to read has read what it says", carry,
			"g.called, g.readThrough, g.progressed = r.Called, r.ReadThrough, m.observed", "g.called, g.progressed = r.Called, m.observed",
		},
		{
			"a gateway that begins to read, or to be called, is known to", carry,
			"g.called, g.readThrough, g.progressed = r.Called, r.ReadThrough, m.observed", "g.readThrough, g.progressed = r.ReadThrough, m.observed",
		},
		{
			"who reads is said anew when it changes", carry,
			"\tm.modes++\n", "",
		},
		{
			"gateways that are called are no readers", carry,
			"if !g.called {", "if !g.called || node != \"\" {",
		},
		{
			"nobody waits until a gateway that is called has read", evidence,
			"if g.called && m.courier != nil {", "if false {",
		},
		{
			"who calls nobody waits for gateways that are called", evidence,
			"if g.called && m.courier != nil {", "if g.called {",
		},
		{
			"a session of a called gateway has seen nothing", evidence,
			"\t\tif r.Called {\n\t\t\tm.found(mark, b)\n\t\t} else {", "\t\tif r.Called && false {\n\t\t\tm.found(mark, b)\n\t\t} else {",
		},
		{
			"a wait ahead of what was read is found, too", evidence,
			"m.want(mark, b, math.MaxInt64)", "m.want(mark, b, m.next+0*math.MaxInt)",
		},
		{
			"a change of how a gateway takes requests is noticed", evidence,
			"if r.Called != g.called {", "if false {",
		},
		{
			"a gateway that has come is known to whoever calls", evidence,
			"\t\tm.gateways[r.Node] = g\n\t\tm.modes++\n", "\t\tm.gateways[r.Node] = g\n",
		},
	}
}

func routerMutations() []mutation {
	return []mutation{
		{
			"what was found is not used for a type that nobody there takes", router,
			"if now.Before(c.until) && anyTakes(c.sessions, p.Type) {", "if now.Before(c.until) {",
		},
		{
			"what was found is not used behind what is to be looked up", router,
			"ok && len(l.unsought) == 0 {", "ok {",
		},
		{
			"gateways that read are not called", router,
			"push.Takes(s.Type, p.Type) && !r.readers[s.Node] {", "push.Takes(s.Type, p.Type) {",
		},
		{
			"who was said to read before reads no more", router,
			"r.readers = make(map[string]bool, len(nodes))", "if r.readers == nil {\n\t\tr.readers = make(map[string]bool, len(nodes))\n\t}",
		},
		{
			"what was found is forgotten when a session is opened", router,
			"func (r *Router) Connected(user string) {\n\tdelete(r.cache, user)\n", "func (r *Router) Connected(user string) {\n",
		},
		{
			"a session that was opened during a look-up is looked for again", router,
			"\t\tr.sought[user] = true\n", "\t\tr.sought[user] = false\n",
		},
		{
			"a user is looked for again after their message was stored", router,
			"\tr.again[user] = r.round\n", "\tif _, ok := r.again[user]; !ok {\n\t\tr.again[user] = r.round\n\t}\n",
		},
		{
			"who is found by looking again is told of", router,
			"\t\tr.present(user, sessions)\n", "\t\t_ = sessions\n",
		},
		{
			"a look-up that failed says nothing", router,
			"\t\t\tr.failed = append(r.failed, users[i])\n\t\t\tcontinue\n", "",
		},
		{
			"nobody there is not taken from a look-up that had begun before", router,
			"if p.round == r.round && (connected || !anyTakes(sessions, p.Type)) {", "if p.round == r.round && connected {",
		},
		{
			"a device that was named during a look-up is not left out", router,
			"if p.round == r.round && (connected || !anyTakes(sessions, p.Type)) {", "if p.round == r.round && !anyTakes(sessions, p.Type) {",
		},
		{
			"who is not where the directory says is looked up once more", router,
			"if !p.heard && len(p.sessions) > 0 && p.looks == 1 {", "if !p.heard && len(p.sessions) > 0 && p.looks == 0 {",
		},
		{
			"what a gateway has is not looked up again", router,
			"if !p.heard && len(p.sessions) > 0 && p.looks == 1 {", "if len(p.sessions) > 0 && p.looks == 1 {",
		},
		{
			"all gateways of a user have answered before nothing more is done", router,
			"if p.open--; p.open > 0 {", "if p.open--; p.open > 0 && p.heard && false {",
		},
		{
			"what is behind a message that is looked up again goes behind it", router,
			"\tif l.sent > 0 {\n", "\tif l.sent > 1<<30 {\n",
		},
		{
			"what is looked up again is in order", router,
			"return cmp.Compare(a.Offset, b.Offset) })\n\tr.seek", "return cmp.Compare(b.Offset, a.Offset) })\n\tr.seek",
		},
		{
			"who is to be looked up again is asked for", router,
			"b.Offset) })\n\tr.seek(p.User)\n", "b.Offset) })\n",
		},
		{
			"the end of a parcel is told", router,
			"last.Over = append(last.Over, p.Offset)", "_ = last",
		},
		{
			"sessions that are gone are not found again", router,
			"r.gone.less(f.Entries)", "f.Entries",
		},
		{
			"a session is gone only by its own name", goneOnes,
			"func nameOf(e directory.Entry) sessionOf { return sessionOf{lifeOf{e.Node, e.Life}, e.Epoch} }",
			"func nameOf(e directory.Entry) sessionOf { return sessionOf{lifeOf{e.Node, e.Life}, 0} }",
		},
		{
			"a session of another life is another", goneOnes,
			"func nameOf(e directory.Entry) sessionOf { return sessionOf{lifeOf{e.Node, e.Life}, e.Epoch} }",
			"func nameOf(e directory.Entry) sessionOf { return sessionOf{lifeOf{e.Node, 0}, e.Epoch / 8} }",
		},
		{
			"a session that is gone is remembered", goneOnes,
			"\tg.young[nameOf(e)] = true\n", "\tg.young[nameOf(e)] = false\n",
		},
	}
}

func nodeMutations() []mutation {
	return []mutation{
		{
			"what a node does not list it does not have", nodes,
			"\t\t\tr.notThere(c, p)\n", "\t\t\tp.heard = true\n",
		},
		{
			"what a node lists it has", nodes,
			"p.heard = p.heard || words.listed[p.Offset]", "p.heard = p.heard || p.looks > 9",
		},
		{
			"an answer is told", nodes,
			"if len(words.listed) > 0 {", "if len(words.listed) > 1<<30 {",
		},
		{
			"a call that failed does not say that nobody is there", nodes,
			"\tr.news = append(r.news, failed(c.Node, c.parcels, push.Unreachable))\n", "\tfor _, p := range c.parcels {\n\t\tr.notThere(c, p)\n\t}\n",
		},
		{
			"only sessions of the node that was called are gone", nodes,
			"if s.Node == c.Node && s.Life == c.Life {", "if true {",
		},
		{
			"a node is called with what it was to be called with", nodes,
			"\t\tc.Offsets = append(c.Offsets, p.Offset)\n", "\t\tc.Offsets = append(c.Offsets, max(p.Offset-1, 0))\n",
		},
		{
			"what was not called with yet goes into the next call", nodes,
			"n.queue = n.queue[len(c.parcels):]; len(n.queue) == 0 {", "n.queue = nil; len(n.queue) == 0 {",
		},
		{
			"a node is called again when there is more for it", nodes,
			"\t\tr.calling = append(r.calling, n)\n", "\t\tif len(r.nodes) < 2 {\n\t\t\tr.calling = append(r.calling, n)\n\t\t}\n",
		},
		{
			"what a gateway has is not recalled", nodes,
			"p.queued == p.open && !p.heard &&", "p.queued == p.open &&",
		},
		{
			"what is recalled is not called with", nodes,
			"n.queue = slices.DeleteFunc(n.queue, func(p *parcel) bool { return slices.Contains(back, p) })", "_ = n",
		},
		{
			"what is beyond the bound fails", nodes,
			"\t\tr.fail(to.node, []*parcel{p}, push.Unreachable)\n\t\treturn\n", "\t\treturn\n",
		},
		{
			"an answer keeps its words", nodes,
			"w.Delivered, w.Held, w.Queued = take(r.Delivered), take(r.Held), take(r.Queued)", "w.Delivered, w.Held, w.Queued = take(r.Delivered), take(r.Held), nil",
		},
		{
			"an answer keeps its failures", nodes,
			"\t\t\tw.Failed = append(w.Failed, f)\n", "",
		},
		{
			"an answer says whose it is", nodes,
			"push.Receipt{Node: r.Node, Epoch: r.Epoch, Called: r.Called}", "push.Receipt{Node: r.Node, Called: r.Called}",
		},
	}
}

func calledMutations() []mutation {
	return []mutation{
		{
			"what becomes of what was carried here is said", calledBy,
			"\tl.say(m.Offset, w.Status, w.Reason)\n", "",
		},
		{
			"a partition that is called says so", ledgers,
			"if r.Called = l.called; !l.called {", "if !l.called {",
		},
		{
			"reading begins where custodians have settled all", calledBy,
			"\tl.readThrough = start\n", "\tl.readThrough = max(start, l.readThrough)\n",
		},
		{
			"what is read again is tracked again", calledBy,
			"l.tracker = offsets.New(start)", "l.tracker = offsets.New(max(start, l.tracker.Committable()))",
		},
		{
			"a session that can be found is named", calledBy,
			"\tif l.called {\n\t\tl.bind(b)\n\t}\n", "",
		},
		{
			"sessions are named again when reading begins or ends", calledBy,
			"\tfor _, b := range sessions {\n\t\tl.bind(b)\n\t}\n", "\t_ = sessions\n",
		},
		{
			"what is under way when reading ends is listed", ledgers,
			"if !listed && (l.called || offset < r.ReadThrough) {", "if !listed && !l.called && offset < r.ReadThrough {",
		},
		{
			"a carriage keeps its records", "internal/push/carriage.go",
			"[][]byte{r.Key, r.Value, r.Headers.raw} {", "[][]byte{r.Key, r.Value, nil} {",
		},
		{
			"a receipt keeps that its gateway is called", receipts,
			"presence |= calledFlag", "presence |= 0",
		},
	}
}
