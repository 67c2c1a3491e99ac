package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"pushgate/internal/custody"
	"pushgate/internal/push"
)

// epoch0 is when every history begins.
var epoch0 = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

// users of which two live in each of two partitions.
var users = [...]string{"ann", "bob", "cyn", "dan"} //nolint:gochecknoglobals // a constant table

// types of messages; sessions take one of them, or all.
var types = [...]string{"order", "chat"} //nolint:gochecknoglobals // a constant table

func numberOf(user string) int {
	for i, u := range users {
		if u == user {
			return i
		}
	}
	return -1
}

// message is what is true of one message, whatever the platform thinks.
type message struct {
	id, user, typ string
	expires       time.Time
	valid         bool
	// seen counts frames that reached a client; offerings counts those of its
	// offerings that were shown, of which the last stood at partition and offset.
	seen, offerings int
	partition       int32
	offset          int64
	dead            int
	outcomes        int
	discarded       bool // an operator has asked for it
	unmarked        int  // outcomes that are not marked as possible repeats
	place           int  // among those of its user and type, counted from one; 0: it has no record at home yet
}

// turn is the order of the messages of one user and type: that of their first
// records in the user's home. Those before next were shown, or will not be.
type turn struct {
	messages []int
	next     int
}

// World is one history while it goes on.
type World struct {
	seed   uint64
	nature nature
	rng    *rand.Rand
	now    time.Time
	step   int
	// healed: nothing fails any more.
	healed bool
	// revenant: a wait was written by somebody who had been replaced, or a second
	// time. It may come to life at a takeover when its message has long gone on, and
	// nobody but the slow timer knows of it.
	revenant bool

	messages   []message
	turns      [len(users)][len(types)]turn
	partitions []*partition
	gateways   []*gateway // processes that live
	nodes      []*node
	zombies    []*custodian
	late       []func() // writes that were given up and are still under way
	visits     []func() // calls that were given up and are still under way
	directory  register
	operator   *rand.Rand // nil: nobody gives commands
	brevity    brevity

	story   *story
	failure *Failure
}

// node is what stays of a gateway when its process ends: its name, and what its
// group has committed.
type node struct {
	name      string
	epoch     int64
	committed []position // by partition
	targeted  bool       // it is to be called, where all custodians do so
	process   *gateway   // the one started last; nil if none
}

// position with the epoch that has committed it, and whether that was called; the
// offset is negative where nobody has.
type position struct {
	offset, epoch int64
	called        bool
}

func newWorld(seed uint64, told bool) *World {
	rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // it must be the same each time
	w := &World{seed: seed, rng: rng, now: epoch0, nature: drawNature(rng)}
	drawWays(seed, &w.nature)
	w.operator, w.brevity = drawOperator(seed), drawBrevity(seed)
	if told {
		w.story = &story{}
	}
	return w
}

// begin starts the platform.
func (w *World) begin() {
	for number := range w.nature.partitions {
		w.partitions = append(w.partitions, &partition{number: int32(number)})
	}
	for i := range w.nature.gateways {
		n := &node{name: string(rune('A' + i)), targeted: w.nature.routing == called || w.nature.routing == mixed && !w.one(4)}
		w.nodes = append(w.nodes, n)
		w.start(n)
	}
	for _, p := range w.partitions {
		w.takeOver(p)
	}
}

// count of partitions of the request topic.
func (w *World) count() int32 { return int32(len(w.partitions)) } //nolint:gosec // one or two

// one says yes one time of so many.
func (w *World) one(of int) bool { return w.rng.IntN(of) == 0 }

// skew draws how far a clock is off.
func (w *World) skew() time.Duration {
	if !w.nature.skewed {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(2*maxSkew))) - maxSkew
}

func (w *World) tell(n note) {
	if w.story == nil {
		return
	}
	n.at = w.now.Sub(epoch0)
	w.story.notes = append(w.story.notes, n)
}

// happens tells what is everybody's business.
func (w *World) happens(who, what string) {
	w.tell(note{who: who, what: what, message: everybody, offset: -1})
}

// broken notes the first promise that was broken; the history ends.
func (w *World) broken(promise string, message int, format string, args ...any) {
	if w.failure != nil {
		return
	}
	w.failure = &Failure{Seed: w.seed, Promise: promise, Message: message, Detail: fmt.Sprintf(format, args...)}
}

// play lets the history happen.
func (w *World) play() {
	for w.step = 0; w.step < w.nature.steps && w.failure == nil; w.step++ {
		w.happen()
	}
	if w.failure == nil {
		w.heal()
	}
	if w.failure == nil {
		w.checkEnd()
	}
}

// happen lets one thing happen, chosen at random.
func (w *World) happen() {
	w.mayOperate()
	if len(w.zombies) > 0 && w.one(4) {
		w.zombieActs()
		return
	}
	if w.nature.routed() && w.one(3) {
		w.route()
		return
	}
	n := w.rng.IntN(100)
	switch {
	case n < 11:
		w.produce()
		for w.nature.crowded && w.one(2) {
			w.produce()
		}
	case n < 52:
		w.gatewayActs(n - 11)
	case n < 88:
		w.custodianActs(n - 52)
	case n < 93:
		w.pass(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
	case n < 97:
		w.upset()
	case w.nature.sluggish && n < 99:
		w.stopOrLag()
		w.silence()
	default:
		w.odd()
	}
}

// gatewayActs lets a gateway, or one of its clients, do something.
func (w *World) gatewayActs(n int) {
	if len(w.gateways) == 0 {
		return
	}
	g := w.gateways[w.rng.IntN(len(w.gateways))]
	if g.stopped(w) {
		return
	}
	wk := g.workers[w.rng.IntN(len(g.workers))]
	switch {
	case n < 14:
		g.read(wk, 1+w.rng.IntN(3))
	case n < 23:
		g.clientsAct()
	case n < 31:
		g.say(wk)
	case n < 36:
		g.join()
	case n < 38:
		g.someoneLeaves()
	case n < 40:
		g.commit()
	default:
		g.look()
	}
}

// custodianActs lets the custodian of a partition do something.
func (w *World) custodianActs(n int) {
	p := w.partitions[w.rng.IntN(len(w.partitions))]
	c := p.custodian
	if c == nil {
		w.takeOver(p)
		return
	}
	if c.begun {
		c.restoreWaits()
		return
	}
	switch {
	case n < 9:
		c.readRequests(1 + w.rng.IntN(3))
	case n < 18:
		c.readReceipts(1 + w.rng.IntN(4))
	case n < 31:
		c.carryOutSome(1 + w.rng.IntN(3))
	case n < 35:
		c.commit(1 + w.rng.IntN(3))
	default:
		c.tick()
	}
}

// pass lets time pass.
func (w *World) pass(d time.Duration) {
	if w.nature.steady {
		// Everybody is as quick as a node that has nothing to struggle with.
		d /= 2
		w.everybodyKeepsUp()
	}
	w.now = w.now.Add(d)
	for _, p := range w.partitions {
		if p.custodian != nil && !p.custodian.begun {
			p.custodian.hearNothing()
		}
	}
}

func (w *World) everybodyKeepsUp() {
	for _, g := range w.gateways {
		if w.nature.routed() && g.life != 0 {
			g.renew(w.directory.lease(g.node.name, g.life))
		}
		for _, wk := range g.workers {
			g.readAll(wk)
			g.sayAll(wk)
		}
	}
	for _, p := range w.partitions {
		if c := p.custodian; c != nil {
			c.readAll()
		}
	}
}

// silence lets time pass in which no gateway says a word and custodians go on.
func (w *World) silence() {
	w.happens("world", "no gateway says a word for six seconds")
	for range 12 {
		w.now = w.now.Add(500 * time.Millisecond)
		for _, p := range w.partitions {
			if p.custodian != nil && !p.custodian.begun {
				p.custodian.readReceipts(len(p.receipts))
			}
		}
	}
}

// produce lets a producer write a message, sometimes a second time, sometimes to
// a partition that is not its user's home.
func (w *World) produce() {
	user := users[w.rng.IntN(w.nature.users)]
	to := push.Home(user, w.count())
	if w.nature.wrongHomes && w.one(5) {
		to = int32(w.rng.IntN(len(w.partitions))) //nolint:gosec // one or two
	}
	m := message{user: user, typ: types[w.rng.IntN(len(types))], valid: true, offset: -1}
	ttl := 1000 * time.Hour
	if w.one(8) {
		ttl = time.Duration(w.rng.IntN(20)) * time.Second
	}
	m.expires = w.now.Add(ttl).Truncate(time.Millisecond)
	m.valid = !w.one(40)
	w.write(to, m)
	if w.one(25) { // a producer that did not learn that it had written
		w.write(to, m)
		w.tell(note{who: "producer", what: "writes the message once more", message: len(w.messages) - 1, user: user, offset: -1})
	}
}

func (w *World) write(to int32, m message) {
	number := len(w.messages)
	// A message that was produced twice has one id for its client; here the two
	// are told apart.
	m.id = fmt.Sprint("m", number)
	w.messages = append(w.messages, m)
	rec := push.Record{Key: []byte(m.user), Value: fmt.Append(nil, number), Time: w.now}
	rec.Headers.AddText(push.HeaderID, m.id)
	rec.Headers.AddText(push.HeaderType, m.typ)
	rec.Headers.AddText(push.HeaderExpiryTime, m.expires.Format(time.RFC3339Nano))
	if !m.valid {
		rec.Headers.AddText(push.HeaderTime, "yesterday")
	}
	at := w.partitions[to].addRequest(w, rec)
	w.tell(note{who: "producer", what: "writes the message", message: number, user: m.user, partition: to, offset: at})
}

// limits of requests.
func limits() push.Limits { return push.Limits{MaxBytes: 1 << 10, DefaultTTL: time.Hour} }

func (w *World) policy() custody.Policy { return w.nature.policy }
