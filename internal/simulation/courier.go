package simulation

import (
	"slices"
	"strconv"
	"time"

	"pushgate/internal/custody"
	"pushgate/internal/directory"
	"pushgate/internal/push"
	"pushgate/internal/targeted"
)

// callTimeout is how long a custodian waits for an answer.
const callTimeout = 3 * time.Second

// courier is what a custodian has to do with its router: custody's carrier, and the
// shell of the router, which looks users up and calls gateways. Nil: nothing is
// carried.
type courier struct {
	c      *custodian
	router *targeted.Router
	modes  uint64
	told   bool
	sweep  int
	users  []string          // of the look-up under way
	found  []directory.Found // what it has found, before that is known here
	calls  []*call
	news   []push.Carried // not taken in yet
	failed bool           // users could not be looked up
}

// call is one call, as its caller sees it.
type call struct {
	*targeted.Call
	began    time.Time
	carriage []byte
	visit    *visit // nil before it has arrived
	answer   []byte // nil before that is on its way
}

func newCourier(c *custodian) *courier {
	if !c.start.Policy.Targeted {
		return nil
	}
	return &courier{c: c, router: targeted.NewRouter(c.w.nature.router)}
}

// give hands the router what is to be carried.
func (k *courier) give() {
	if k == nil {
		return
	}
	m := k.c.m
	if modes := m.Modes(); modes != k.modes || !k.told {
		k.modes, k.told = modes, true
		k.router.Readers(m.Readers())
	}
	for _, p := range m.Parcels() {
		k.checkParcel(&p)
		k.router.Add(k.c.now(), p)
	}
	k.askOn()
}

func (k *courier) askOn() {
	const some = 2
	if k.sweep < 0 || !k.c.restored {
		return
	}
	names, next := k.c.m.Absent(k.sweep, some)
	for _, user := range names {
		if !k.router.LookAgain(user) {
			return
		}
	}
	if k.sweep = next; next == 0 {
		k.sweep = -1
	}
}

func (k *courier) connected(sessions []push.Binding) {
	if k == nil {
		return
	}
	for _, b := range sessions {
		k.router.Connected(b.User)
	}
}

// stored looks again for a user whose message waits now.
func (k *courier) stored(a *custody.Action) {
	if k != nil && a.Kind == custody.MakeWait && a.Reason == push.Offline && !k.router.LookAgain(a.User) {
		k.sweep = 0
	}
}

// goOn lets so many things happen to what is under way.
func (k *courier) goOn(n int) {
	if k == nil {
		return
	}
	for ; n > 0 && k.c.w.failure == nil; n-- {
		switch k.c.w.rng.IntN(5) {
		case 0:
			k.begin()
		case 1:
			k.lookUp()
		case 2, 3:
			if len(k.calls) > 0 {
				k.callOn(k.calls[k.c.w.rng.IntN(len(k.calls))])
			}
		default:
			k.take()
		}
	}
}

// drain lets everything be done that is to be done. It says whether there was any.
func (k *courier) drain() (some bool) {
	if k == nil {
		return false
	}
	const enough = 10_000
	for n := 0; k.c.w.failure == nil; n++ {
		k.begin()
		again := len(k.users) > 0 || len(k.calls) > 0
		if len(k.users) > 0 {
			k.lookUp()
			if len(k.found) > 0 {
				k.lookUp()
			}
		}
		for _, c := range slices.Clone(k.calls) {
			k.callOn(c)
		}
		again = k.take() || again
		if !again || n > enough {
			break
		}
		some = true
	}
	return some
}

// begin begins the look-up and the calls that are to be made.
func (k *courier) begin() {
	k.collect()
	if w := k.c.w; k.failed && (w.healed || w.nature.steady || w.one(2)) {
		k.failed = false
		k.router.Retry()
	}
	if len(k.users) == 0 {
		k.users = k.router.Lookup()
	}
	for c := k.router.Call(); c != nil; c = k.router.Call() {
		carriage := push.Carriage{Partition: k.c.p.number}
		for _, o := range c.Offsets {
			carriage.Records = append(carriage.Records, k.c.p.requests[o].rec)
		}
		k.checkCall(c)
		begun := &call{Call: c, began: k.c.w.now, carriage: carriage.AppendBinary(nil)}
		k.tellCall(begun, "is about to call "+c.Node)
		k.calls = append(k.calls, begun)
	}
}

// lookUp asks the directory, or takes in its answer.
func (k *courier) lookUp() {
	switch {
	case len(k.users) == 0:
	case len(k.found) == 0:
		for _, user := range k.users {
			f := k.c.w.directory.find(k.c.w, user)
			k.c.w.tell(note{who: k.c.who, what: "finds " + strconv.Itoa(len(f.Entries)) + " sessions", message: everybody, user: user, offset: -1})
			k.found = append(k.found, f)
		}
	default:
		found := k.found
		k.learnOwners(found)
		k.users, k.found = nil, nil
		k.failed = k.router.Found(k.c.now(), found) != nil || k.failed
	}
}

// take takes in what has been learnt.
func (k *courier) take() bool {
	k.collect()
	news := k.news
	k.news = nil
	for i := range news {
		k.tellNews(&news[i])
		k.listen(&news[i])
		k.c.m.Carried(&news[i])
	}
	k.c.gather()
	return len(news) > 0
}

// collect keeps what has been learnt until it is taken in.
func (k *courier) collect() {
	for _, n := range k.router.News() {
		for _, o := range n.Over {
			k.c.heardOf.back = slices.DeleteFunc(k.c.heardOf.back, func(b int64) bool { return b == o })
		}
		k.news = append(k.news, n)
	}
}

func (k *courier) tellNews(n *push.Carried) {
	if k.c.w.story == nil {
		return
	}
	for _, o := range n.Over {
		k.c.w.tell(note{who: k.c.who, what: "can do no more about", message: k.c.p.requests[o].message, partition: k.c.p.number, offset: o})
	}
	for _, b := range n.Present {
		k.c.w.tell(note{who: k.c.who, what: "has found a session for " + b.Type, message: everybody, user: b.User, offset: -1})
	}
}

func (k *courier) ended(c *call) {
	k.calls = slices.DeleteFunc(k.calls, func(o *call) bool { return o == c })
}

func (k *courier) fails(c *call, why string) {
	k.ended(c)
	k.tellCall(c, "call to "+c.Node+" fails: "+why)
	k.router.Failed(c.Call)
}

func (k *courier) tellCall(c *call, what string) {
	if k.c.w.story == nil {
		return
	}
	for _, o := range c.Offsets {
		k.c.w.tell(note{who: k.c.who, what: what, message: k.c.p.requests[o].message, partition: k.c.p.number, offset: o})
	}
}

// callOn lets a call go on: it arrives, is answered, or the answer arrives.
func (k *courier) callOn(c *call) {
	w := k.c.w
	lossy := w.nature.lossy && !w.healed
	switch {
	case w.now.Sub(c.began) > callTimeout:
		if c.visit == nil {
			k.mayArriveLater(c)
		}
		k.fails(c, "no answer")
	case c.visit == nil:
		k.arrive(c)
	case c.visit.g.dead && (c.answer == nil || w.one(2)):
		k.fails(c, "the gateway is gone")
	case c.visit.g.stopped(w):
	case c.answer == nil:
		c.answer = c.visit.cut()
		if lossy && w.one(8) {
			k.fails(c, "the answer is lost")
		}
	default:
		k.answered(c)
	}
}

func (k *courier) answered(c *call) {
	k.ended(c)
	answer, err := push.DecodeReceipt(c.answer)
	if err != nil {
		k.c.w.broken(codecKeepsEverything, everybody, "an answer cannot be read: %v", err)
		return
	}
	k.tellCall(c, "hears the answer of "+c.Node)
	for _, o := range answer.Delivered {
		k.c.p.requests[o].safe = true
	}
	k.comesBack(c.Call, &answer)
	k.router.Answered(c.Call, &answer)
}

// arrive brings a call to its gateway.
func (k *courier) arrive(c *call) {
	w := k.c.w
	g, over := w.processOf(c.Node, c.Life)
	switch {
	case over:
		k.ended(c)
		k.tellCall(c, c.Node+" has not that life")
		k.router.NoSuchLife(c.Call)
	case g == nil:
		k.fails(c, "nobody is there")
	case g.stopped(w):
	case w.nature.lossy && !w.healed && w.one(10):
		k.mayArriveLater(c)
		k.fails(c, "it is lost")
	default:
		if c.visit = g.carry(c.carriage); c.visit == nil {
			k.fails(c, "it is refused")
		}
	}
}

// mayArriveLater lets a gateway be called by somebody who does not wait for it any
// more, perhaps.
func (k *courier) mayArriveLater(c *call) {
	w := k.c.w
	if w.nature.steady || w.healed || !w.one(2) {
		return
	}
	w.visits = append(w.visits, func() {
		if g, _ := w.processOf(c.Node, c.Life); g != nil {
			g.carry(c.carriage)
		}
	})
}

// dies ends what is under way with its custodian.
func (k *courier) dies() {
	if k == nil {
		return
	}
	for _, c := range k.calls {
		if c.visit == nil {
			k.mayArriveLater(c)
		}
	}
	k.calls = nil
}

// processOf is who is called under the name of a life: the address may have been
// known before, and another process be there by now. Over: the node has another life.
func (w *World) processOf(name string, life uint64) (g *gateway, over bool) {
	for _, o := range w.gateways {
		if o.node.name == name && o.life == life {
			g = o
		}
	}
	if l := w.directory.lease(name, life); l != nil && l.known {
		return g, false
	}
	if w.nature.steady || w.healed || w.one(2) {
		return nil, slices.ContainsFunc(w.directory.leases, func(l *lease) bool { return l.node == name && l.life > life && l.known })
	}
	if g == nil {
		i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.name == name })
		g = w.nodes[i].process
	}
	return g, false
}

// idle says whether nothing is on its way.
func (k *courier) idle() bool {
	return k == nil || k.router.Idle() && len(k.users) == 0 && len(k.calls) == 0
}
