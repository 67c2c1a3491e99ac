package targeted

import (
	"slices"
	"time"

	"pushgate/internal/push"
)

// lifeOf names a life of a node.
type lifeOf struct {
	node string
	life uint64
}

// node is a life of a node, and what it is to be called with.
type node struct {
	lifeOf
	queue []*parcel
	call  *Call // under way
	ready bool  // it is among those to be called
}

// Call is what a node is to be called with. It is answered by Answered, Failed, or
// NoSuchLife.
type Call struct {
	// Node and Life say whom the directory named.
	Node string
	Life uint64
	// Offsets of the messages, in the order of each user.
	Offsets []int64

	to      *node
	began   time.Time
	parcels []*parcel
}

// enqueue has a node called with a message, unless too many wait for that and the node
// stands still: a burst is more than a healthy node takes at once, too.
func (r *Router) enqueue(to lifeOf, p *parcel) {
	n := r.nodes[to]
	if n == nil {
		n = &node{lifeOf: to}
		r.nodes[to] = n
	}
	if len(n.queue) >= r.policy.MaxQueued && n.call != nil && r.now.Sub(n.call.began) >= r.policy.Standstill {
		r.fail(to.node, []*parcel{p}, push.Unreachable)
		return
	}
	p.queued++
	n.queue = append(n.queue, p)
	r.rest(n)
}

// Call returns a call to be made now, nil if there is none. To each node, one is
// under way at a time.
func (r *Router) Call() *Call {
	for len(r.calling) > 0 {
		n := r.calling[0]
		r.calling = r.calling[1:]
		n.ready = false
		if len(n.queue) > 0 {
			return r.callTo(n)
		}
		r.rest(n) // it was recalled
	}
	return nil
}

func (r *Router) callTo(n *node) *Call {
	c := &Call{Node: n.node, Life: n.life, to: n, began: r.now}
	bytes := 0
	for _, p := range n.queue {
		bytes += int(p.Size)
		if len(c.parcels) > 0 && (len(c.parcels) == r.policy.CallMessages || bytes > r.policy.CallBytes) {
			break
		}
		p.queued--
		c.parcels = append(c.parcels, p)
		c.Offsets = append(c.Offsets, p.Offset)
	}
	if n.queue = n.queue[len(c.parcels):]; len(n.queue) == 0 {
		n.queue = nil
	}
	n.call = c
	return c
}

// recall takes back a user's messages that no node was called with yet.
func (r *Router) recall(user string) []*parcel {
	var back []*parcel
	for _, n := range r.nodes {
		for _, p := range n.queue {
			if p.User == user && p.queued == p.open && !p.heard && !slices.Contains(back, p) {
				back = append(back, p)
			}
		}
	}
	for _, n := range r.nodes {
		n.queue = slices.DeleteFunc(n.queue, func(p *parcel) bool { return slices.Contains(back, p) })
	}
	for _, p := range back {
		p.queued, p.open = 0, 0
	}
	return back
}

// Answered takes in the answer to a call. Of messages that it does not list, the
// node has no session.
func (r *Router) Answered(c *Call, answer *push.Receipt) {
	words := restrict(answer, c.parcels)
	if len(words.listed) > 0 {
		r.news = append(r.news, push.Carried{Receipt: &words.Receipt})
	}
	for _, p := range c.parcels {
		p.heard = p.heard || words.listed[p.Offset]
		if !words.listed[p.Offset] || words.left[p.Offset] {
			r.notThere(c, p)
		}
	}
	r.end(c)
}

// Missing takes messages out of a call whose records the log does not hold any more:
// all but those that were found. The custodian finds out what that means when it
// moves them elsewhere.
func (r *Router) Missing(c *Call, found []push.Record) {
	held := make(map[int64]bool, len(found))
	for i := range found {
		held[found[i].Offset] = true
	}
	var missing []*parcel
	c.parcels = slices.DeleteFunc(c.parcels, func(p *parcel) bool {
		if !held[p.Offset] {
			missing = append(missing, p)
		}
		return !held[p.Offset]
	})
	r.fail(c.Node, missing, push.Offline)
}

// NoSuchLife takes in that the node has another life by now, or is no more.
func (r *Router) NoSuchLife(c *Call) { r.Answered(c, &push.Receipt{}) }

// Failed takes in that a call failed: nobody knows what became of its messages.
func (r *Router) Failed(c *Call) {
	for _, p := range c.parcels {
		delete(r.cache, p.User)
	}
	r.news = append(r.news, failed(c.Node, c.parcels, push.Unreachable))
	r.end(c)
}

// notThere remembers which sessions are gone: those that the node does not have, and
// those that were closing when it was called. Entered they are until they have closed,
// and a message that waits would be offered to them again and again.
func (r *Router) notThere(c *Call, p *parcel) {
	delete(r.cache, p.User)
	for _, s := range p.sessions {
		if s.Node == c.Node && s.Life == c.Life {
			r.gone.add(s)
		}
	}
}

// end ends a call, and what no other node is to be heard of.
func (r *Router) end(c *Call) {
	c.to.call = nil
	for _, p := range c.parcels {
		r.answered(p)
	}
	r.rest(c.to)
}

// rest has a node called again if there is something for it, and forgets it if not.
func (r *Router) rest(n *node) {
	switch {
	case n.call != nil || n.ready:
	case len(n.queue) > 0:
		n.ready = true
		r.calling = append(r.calling, n)
	default:
		delete(r.nodes, n.lifeOf)
	}
}

// fail tells that messages could not be brought to a node.
func (r *Router) fail(to string, parcels []*parcel, reason push.Reason) {
	r.news = append(r.news, failed(to, parcels, reason))
	for _, p := range parcels {
		r.answered(p)
	}
}

func failed(to string, parcels []*parcel, reason push.Reason) push.Carried {
	c := push.Carried{Node: to}
	for _, p := range parcels {
		p.heard = true
		c.Failed = append(c.Failed, push.Failure{Offset: p.Offset, Reason: reason})
	}
	return c
}

// words are what an answer says of the messages of its call.
type words struct {
	push.Receipt
	listed map[int64]bool
	left   map[int64]bool // those whose user was leaving
}

// restrict leaves out what was not asked for.
func restrict(r *push.Receipt, parcels []*parcel) words {
	asked := make(map[int64]bool, len(parcels))
	for _, p := range parcels {
		asked[p.Offset] = true
	}
	w := words{Receipt: push.Receipt{Node: r.Node, Epoch: r.Epoch, Called: r.Called}, listed: make(map[int64]bool, len(parcels)), left: make(map[int64]bool)}
	take := func(list []int64) (taken []int64) {
		for _, o := range list {
			if asked[o] {
				taken = append(taken, o)
				w.listed[o] = true
			}
		}
		return taken
	}
	w.Delivered, w.Held, w.Queued = take(r.Delivered), take(r.Held), take(r.Queued)
	for _, f := range r.Failed {
		if asked[f.Offset] {
			w.Failed = append(w.Failed, f)
			w.listed[f.Offset] = true
			w.left[f.Offset] = !f.Reason.UsesAttempt()
		}
	}
	return w
}
