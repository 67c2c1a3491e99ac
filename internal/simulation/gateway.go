package simulation

import (
	"slices"
	"sort"
	"strconv"
	"time"

	"pushgate/internal/delivery/ledger"
	"pushgate/internal/push"
)

// gateway is one process of a node.
type gateway struct {
	w     *World
	node  *node
	epoch int64
	who   string
	skew  time.Duration
	// workers by partition; there are as many as it knows partitions.
	workers  []*worker
	sessions [len(users)][]*session
	// asleepUntil, deafUntil: the step until which it does nothing (stopped by a
	// signal, or its machine is), or does not read.
	asleepUntil, laggingUntil int
	// stuck: it lives, and never reads again.
	stuck bool
	// dead: it lives no more.
	dead bool

	// called: it is told to be called; its workers follow.
	called bool
	// life in the directory; left are sessions that have ended and may be in there.
	life uint64
	left []*session
	// delivered are messages that it remembers.
	delivered map[int]bool
}

// worker is the delivery of one partition.
type worker struct {
	number   int32
	ledger   *ledger.Ledger
	position int64
	// reading: in the middle of a batch that ends before batchEnd.
	reading  bool
	batchEnd int64
	// writing are the parts of a receipt that was cut and is not known to be durable.
	writing []push.Receipt
	encoded [][]byte
	// before is the one before it, and when it was written.
	before     [][]byte
	beforeSaid time.Time
	// owned is what was really handed to sessions, in order. Below listed, all
	// stand in durable receipts; below told, in ones that settle them.
	owned        []owned
	listed, told int

	// unnamed: it has begun to read, or to be called, and not named the sessions that
	// are there yet. Stints counts how often.
	unnamed bool
	stints  int64
	// cutIn is the stint of the receipt under way; stintFrom is the first receipt of
	// this stint, negative if it has none.
	cutIn, stintFrom int64
	// saidToRead: its last receipt that is durable did.
	saidToRead bool
	// carried are the offsets it was called with; the value says whether it took it.
	carried map[int64]bool
}

type owned struct {
	offset       int64
	listed, told bool
}

// start begins a process of a node: it fixes and commits where it reads from, and
// announces itself, before it takes a session.
func (w *World) start(n *node) {
	n.epoch++
	g := &gateway{w: w, node: n, epoch: n.epoch, skew: w.skew()}
	g.who = n.name + "." + strconv.FormatInt(g.epoch, 10)
	n.process = g
	w.happens(g.who, "starts")
	known := w.count()
	if !w.healed && w.nature.grows && w.one(3) {
		known = 1 // it has not heard of the second
	}
	for number := range known {
		if !g.prepare(number, false) {
			g.gone() // it died while it was starting
			return
		}
	}
	w.gateways = append(w.gateways, g)
}

// prepare takes up a partition. It is false where the process dies of it.
func (g *gateway) prepare(number int32, added bool) bool {
	w, p := g.w, g.w.partitions[number]
	for len(g.node.committed) <= int(number) {
		g.node.committed = append(g.node.committed, position{offset: -1})
	}
	at, end := g.node.committed[number].offset, int64(len(p.requests))
	switch {
	case added:
		at = 0
	case at < 0, g.node.committed[number].called, end-at > w.nature.maxCatchUp:
		at = end
	}
	g.node.committed[number] = position{at, g.epoch, g.called}
	wk := &worker{number: number, ledger: ledger.New(at, nil), position: at, stintFrom: -1}
	if g.called {
		wk.ledger.Call()
	}
	g.workers = append(g.workers, wk)
	if w.mayDie(20) {
		w.happens(g.who, "dies before it has announced itself")
		return false
	}
	wk.ledger.Presence(push.Announce)
	g.cut(wk)
	g.written(wk)
	if number > 0 || w.count() == 1 || !w.mayDie(20) {
		return true
	}
	w.happens(g.who, "dies when it has announced itself on one partition")
	return false
}

// mayDie says yes one time of so many, in worlds where things die.
func (w *World) mayDie(of int) bool {
	return !w.nature.steady && !w.healed && len(w.gateways) > 0 && w.one(of)
}

func (g *gateway) stopped(w *World) bool { return g.asleepUntil > w.step && !w.healed }

func (g *gateway) now() time.Time { return g.w.now.Add(g.skew) }

// read looks at so many requests: it begins a batch, goes on with one, or ends it.
func (g *gateway) read(wk *worker, n int) {
	p := g.w.partitions[wk.number]
	if g.laggingUntil > g.w.step && !g.w.healed || wk.ledger.Called() {
		return
	}
	if wk.unnamed {
		g.name(wk)
	}
	if !wk.reading {
		end := int64(len(p.requests))
		if wk.position == end {
			return
		}
		wk.reading, wk.batchEnd = true, min(end, wk.position+1+int64(g.w.rng.IntN(5)))
		wk.ledger.Begin()
	}
	for ; n > 0 && wk.position < wk.batchEnd; n-- {
		g.deliver(wk, &p.requests[wk.position])
		wk.position++
	}
	if wk.position == wk.batchEnd {
		wk.reading = false
		wk.ledger.Read(wk.position)
	}
}

func (g *gateway) readAll(wk *worker) {
	if g.stuck || wk.ledger.Called() {
		return
	}
	for wk.reading || wk.position < int64(len(g.w.partitions[wk.number].requests)) {
		g.read(wk, len(g.w.partitions[wk.number].requests))
	}
}

// deliver hands a request to the sessions of its user.
func (g *gateway) deliver(wk *worker, r *request) {
	if g.w.nature.policy.Strict && r.msg.Raw() {
		return // its custodian offers it when it is its turn
	}
	if r.invalid != nil || !g.now().Before(r.msg.Expires) || push.Home(r.msg.User, int32(len(g.workers))) != wk.number { //nolint:gosec // one or two
		return
	}
	sessions := g.sessions[numberOf(r.msg.User)]
	if len(sessions) == 0 {
		return
	}
	m := r.msg
	wk.ledger.Enter(m.Offset)
	takers := 0
	for _, s := range sessions {
		if push.Takes(s.typ, m.Type) {
			takers++
		}
	}
	if takers == 0 {
		wk.ledger.Leave(m.Offset)
		return
	}
	wk.owned = append(wk.owned, owned{offset: m.Offset})
	g.w.tell(note{who: g.who, what: "has the user", message: r.message, partition: wk.number, offset: m.Offset})
	var to push.Reporter = wk.ledger
	if g.w.nature.remembers {
		to = &reminder{g: g, message: r.message, r: to}
	}
	if g.remembers(r.message) {
		to.Report(&m, push.Done, push.ReasonNone)
		return
	}
	if takers > 1 {
		to = &chorus{r: to, left: takers}
	}
	for _, s := range sessions {
		if push.Takes(s.typ, m.Type) {
			s.deliver(g.w, item{m: &m, message: r.message, r: to})
		}
	}
}

// clientsAct lets one session go on.
func (g *gateway) clientsAct() {
	w := g.w
	list := g.sessions[w.rng.IntN(w.nature.users)]
	if len(list) == 0 {
		return
	}
	s := list[w.rng.IntN(len(list))]
	switch n := w.rng.IntN(12); {
	case n < 5:
		s.write(w)
	case n < 9 || w.nature.calm:
		s.ack()
	case n == 9:
		s.timeOut()
	case n == 10:
		s.ackLate(w)
	default:
		if w.one(4) {
			s.deaf = true
			w.tell(note{who: g.who, what: "a client goes deaf", message: everybody, user: s.user, offset: -1})
		}
	}
}

// join lets a user connect.
func (g *gateway) join() {
	w := g.w
	user := w.rng.IntN(w.nature.users)
	if len(g.sessions[user]) > 1 {
		return
	}
	typ := push.AllTypes
	if w.nature.crowded && !w.one(3) || w.one(3) {
		typ = types[w.rng.IntN(len(types))]
	}
	g.connect(users[user], typ, w.one(2))
}

func (g *gateway) connect(user, typ string, acks bool) {
	g.w.directory.sessions++
	s := &session{user: user, typ: typ, acks: acks, epoch: g.w.directory.sessions, since: g.w.now}
	g.sessions[numberOf(user)] = append(g.sessions[numberOf(user)], s)
	g.w.tell(note{who: g.who, what: "a client connects for " + typ, message: everybody, user: user, offset: -1})
	g.homeOf(user).ledger.Connected(s.binding())
}

// homeOf returns the worker of a user's home.
func (g *gateway) homeOf(user string) *worker {
	return g.workers[push.Home(user, int32(len(g.workers)))] //nolint:gosec // one or two
}

// someoneLeaves lets a session end.
func (g *gateway) someoneLeaves() {
	user := g.w.rng.IntN(g.w.nature.users)
	list := g.sessions[user]
	if len(list) == 0 {
		return
	}
	s := list[g.w.rng.IntN(len(list))]
	if g.w.nature.calm && !s.idle() {
		return
	}
	g.leave(s)
}

func (g *gateway) leave(s *session) {
	user := numberOf(s.user)
	g.sessions[user] = slices.DeleteFunc(slices.Clone(g.sessions[user]), func(o *session) bool { return o == s })
	s.end()
	if s.entered {
		g.left = append(g.left, s)
	}
	g.w.tell(note{who: g.who, what: "a client for " + s.typ + " leaves", message: everybody, user: s.user, offset: -1})
}

// cut takes over what there is to say and encodes it.
func (g *gateway) cut(wk *worker) {
	r := wk.ledger.Cut()
	r.Node, r.Epoch = g.node.name, g.epoch
	wk.writing, wk.encoded, wk.cutIn = wk.ledger.Parts(r, g.w.brevity.most), nil, wk.stints
	for i := range wk.writing {
		wk.encoded = append(wk.encoded, wk.writing[i].AppendBinary(nil))
	}
}

// append writes parts of the receipt under way into the log.
func (g *gateway) append(wk *worker, parts int) {
	last := &wk.writing[len(wk.writing)-1]
	for i := range wk.writing[:parts] {
		part := &wk.writing[i]
		if wk.stintFrom < 0 && wk.cutIn == wk.stints && part.Called == last.Called {
			wk.stintFrom = int64(len(g.w.partitions[wk.number].receipts))
		}
		g.w.partitions[wk.number].addReceipt(g.w, wk.encoded[i])
		wk.list(part)
		g.checkThrough(wk, part)
	}
}

// written ends writing a receipt: it is durable, and the ledger learns of it.
func (g *gateway) written(wk *worker) {
	g.append(wk, len(wk.writing))
	for i := range wk.writing {
		wk.ledger.Durable(&wk.writing[i])
	}
	wk.writing = nil
}

// unwritten takes a receipt back, of which the first parts may be durable all the same.
func (g *gateway) unwritten(wk *worker) {
	g.append(wk, g.w.brevity.some(len(wk.writing)-1))
	wk.ledger.Uncut(ledger.Whole(wk.writing))
	wk.writing = nil
}

// say writes a receipt, or goes on with one that is under way.
func (g *gateway) say(wk *worker) {
	w := g.w
	if wk.writing == nil {
		g.cut(wk)
		if !w.nature.steady && w.one(4) {
			return // it is under way
		}
	}
	switch {
	case w.nature.strays && w.one(12):
		g.append(wk, len(wk.writing)) // the broker's answer was lost: it is written once more
		w.tell(note{who: g.who, what: "a receipt is written twice", message: everybody, offset: -1})
	case !w.nature.steady && !w.healed && w.one(12):
		g.unwritten(wk)
		return
	}
	g.written(wk)
	// A copy of the one before is overtaken. Were it later, the gateway might have
	// been taken for dead in between, and be another one to its custodian since: one
	// that has given up nothing yet.
	if w.nature.tardy && wk.before != nil && w.one(4) && w.now.Sub(wk.beforeSaid) < w.policy().Custody.Window {
		w.happens(g.who, "a receipt arrives once more, after the next one")
		for _, part := range wk.before {
			w.partitions[wk.number].addReceipt(w, part)
		}
	}
	wk.before, wk.beforeSaid = wk.encoded, w.now
}

// sayAll ends the receipt under way, and says what there is to say.
func (g *gateway) sayAll(wk *worker) {
	if wk.writing != nil {
		g.written(wk)
	}
	g.cut(wk)
	g.written(wk)
}

// list notes what a durable receipt says.
func (wk *worker) list(r *push.Receipt) {
	mark := func(offset int64, told bool) {
		n := sort.Search(len(wk.owned), func(i int) bool { return wk.owned[i].offset >= offset })
		if n < len(wk.owned) && wk.owned[n].offset == offset {
			wk.owned[n].listed = true
			wk.owned[n].told = wk.owned[n].told || told
		}
	}
	for _, o := range r.Delivered {
		mark(o, true)
	}
	for _, o := range r.Held {
		mark(o, true)
	}
	for _, f := range r.Failed {
		mark(f.Offset, true)
	}
	for _, o := range r.Queued {
		mark(o, false)
	}
}

// commit commits how far each partition is settled.
func (g *gateway) commit() {
	g.commitAll()
	g.w.happens(g.who, commits)
	if g.node.process != g && g.w.one(2) {
		g.w.happens(g.who, "leaves at the sight of a later process of its name")
		g.goodbye()
	}
}

// look lets a gateway find out that there are more partitions.
func (g *gateway) look() {
	for number := int32(len(g.workers)); number < g.w.count(); number++ { //nolint:gosec // one or two
		g.w.happens(g.who, "learns of another partition")
		if !g.prepare(number, true) {
			g.gone()
			return
		}
	}
}

// kill ends a process at once. A receipt that was under way may arrive.
func (g *gateway) kill() {
	g.w.happens(g.who, "is killed")
	for _, wk := range g.workers {
		if wk.writing == nil {
			continue
		}
		switch g.w.rng.IntN(3) {
		case 0:
			g.append(wk, g.w.brevity.some(len(wk.writing)-1)+1)
		case 1:
			if g.w.nature.strays {
				g.w.late = append(g.w.late, func() { g.append(wk, len(wk.writing)) })
			}
		}
	}
	g.gone()
}

// goodbye ends a process in good order.
func (g *gateway) goodbye() {
	for _, wk := range g.workers {
		if wk.reading {
			g.read(wk, int(wk.batchEnd-wk.position))
		}
	}
	for _, list := range g.sessions {
		for _, s := range list {
			g.leave(s)
		}
	}
	for _, wk := range g.workers {
		if wk.writing != nil {
			g.unwritten(wk)
		}
		wk.ledger.Presence(push.Goodbye)
		g.cut(wk)
		g.written(wk)
	}
	if g.node.process == g {
		g.commitAll()
	}
	if w, r := g.w, &g.w.directory; !r.away(w) {
		r.leases = slices.DeleteFunc(r.leases, func(l *lease) bool { return l.node == g.node.name && l.life == g.life })
	}
	g.gone()
}

// commitAll commits how far each partition is settled. One that is called has no
// position, and commits that.
func (g *gateway) commitAll() {
	for _, wk := range g.workers {
		if wk.ledger.Called() {
			g.node.committed[wk.number] = position{int64(len(g.w.partitions[wk.number].requests)), g.epoch, true}
			continue
		}
		at := wk.ledger.Committable()
		g.checkCommit(wk, at)
		g.node.committed[wk.number] = position{at, g.epoch, false}
	}
}

func (g *gateway) gone() {
	g.dead = true
	if g.node.process == g {
		g.node.process = nil
	}
	g.w.gateways = slices.DeleteFunc(g.w.gateways, func(o *gateway) bool { return o == g })
}
