package targeted

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"pushgate/internal/directory"
	"pushgate/internal/push"
)

// Policy is what a Router decides by.
type Policy struct {
	// Cache is how long what a look-up found may be used again; 0: not at all. That
	// nobody was found is never used again.
	Cache time.Duration
	// CallMessages and CallBytes bound one call. A single message may exceed CallBytes.
	CallMessages, CallBytes int
	// MaxQueued bounds the messages that wait for a call to one node whose last call
	// began Standstill ago or earlier. What is beyond fails, so that a node which stands
	// still holds up nobody else's messages.
	MaxQueued  int
	Standstill time.Duration
}

// Bounds of what a Router holds. Users beyond are looked up more often.
const (
	maxLookup = 500     // users in one look-up: as many as the directory asks for at once
	maxAgain  = 100_000 // users to be looked for again
	maxCached = 50_000  // users whose look-up may be used again
	maxGone   = 50_000  // sessions known to be gone, in each of two generations
)

// Router decides, for the requests of one partition, whom they are carried to. It is
// not safe for concurrent use.
//
// Order: of one user, messages are looked up in the order they were added in, and
// handed to a node in that order, one call at a time. A message that is looked up a
// second time has those of its user that were not sent yet behind it again.
type Router struct {
	policy  Policy
	readers map[string]bool
	now     time.Time // as of the last time it was told

	lines  map[string]*line // of users who have messages that are not over
	ask    []string         // users to be looked up, first come, first served
	asking []string         // of the look-up that is under way
	failed []string         // users who could not be looked up, until Retry
	sought map[string]bool  // users in any of these; true: a session was opened since the look-up began
	round  int              // look-ups begun
	again  map[string]int   // users to be looked for again, and after which round
	cache  map[string]cached
	gone   gone

	nodes   map[lifeOf]*node
	calling []*node // nodes that have something to be called with, in turn
	news    []push.Carried
}

// line is the messages of one user that are not over.
type line struct {
	unsought []*parcel // to be looked up, in order
	sent     int       // messages that were looked up
}

// parcel is a message on its way.
type parcel struct {
	push.Parcel
	round    int               // after which it is to be looked up
	looks    int               // look-ups of it
	open     int               // nodes that have not answered yet
	queued   int               // those of them that were not called with it yet
	heard    bool              // a node has it, or may have it
	sessions []directory.Entry // that take it, found by the last look-up
}

type cached struct {
	sessions []directory.Entry
	until    time.Time
}

// NewRouter returns a router that has nothing to do.
func NewRouter(p Policy) *Router {
	return &Router{
		policy: p, lines: make(map[string]*line), sought: make(map[string]bool), again: make(map[string]int),
		cache: make(map[string]cached), nodes: make(map[lifeOf]*node),
	}
}

// Add takes a message to be carried.
func (r *Router) Add(now time.Time, message push.Parcel) {
	r.now = now
	p := &parcel{Parcel: message, round: r.round}
	l := r.lines[p.User]
	if l == nil {
		l = &line{}
		r.lines[p.User] = l
	}
	if c, ok := r.cache[p.User]; ok && len(l.unsought) == 0 {
		if now.Before(c.until) && anyTakes(c.sessions, p.Type) {
			r.send(l, p, c.sessions)
			return
		}
		delete(r.cache, p.User)
	}
	l.unsought = append(l.unsought, p)
	r.seek(p.User)
}

func (r *Router) seek(user string) {
	if _, ok := r.sought[user]; !ok {
		r.sought[user] = false
		r.ask = append(r.ask, user)
	}
}

// Readers names the nodes whose gateways read: nothing is carried to them.
func (r *Router) Readers(nodes []string) {
	r.readers = make(map[string]bool, len(nodes))
	for _, n := range nodes {
		r.readers[n] = true
	}
}

// Connected says that a session of a user was opened.
func (r *Router) Connected(user string) {
	delete(r.cache, user)
	if _, ok := r.sought[user]; ok {
		r.sought[user] = true
	}
}

// LookAgain has a user looked for of whom a message waits now; what is found is told
// as Present. False: too many are to be asked about already.
func (r *Router) LookAgain(user string) bool {
	if _, ok := r.again[user]; !ok && len(r.again) >= maxAgain {
		return false
	}
	r.again[user] = r.round
	r.seek(user)
	return true
}

// Lookup returns the users to be looked up now; none: there are none, or a look-up is
// under way. Found answers it.
func (r *Router) Lookup() []string {
	if len(r.asking) > 0 || len(r.ask) == 0 {
		return nil
	}
	n := min(maxLookup, len(r.ask))
	r.asking, r.ask = r.ask[:n:n], r.ask[n:]
	r.round++
	for _, user := range r.asking {
		r.sought[user] = false
	}
	return r.asking
}

// Found takes in what the users of the last Lookup were found to be: one element for
// each. Those that could not be looked up are asked about again after Retry; the error
// is of the first such.
func (r *Router) Found(now time.Time, found []directory.Found) error {
	users := r.asking
	r.now, r.asking = now, nil
	var failed error
	for i, f := range found {
		if f.Err != nil {
			if failed == nil {
				failed = f.Err
			}
			r.failed = append(r.failed, users[i])
			continue
		}
		r.found(now, users[i], r.gone.less(f.Entries))
	}
	return failed
}

// Retry has those looked up again who could not be. Until then others are.
func (r *Router) Retry() {
	r.ask = append(r.ask, r.failed...)
	r.failed = nil
}

// found takes in where one user is. What was to be looked up only after the look-up
// had begun, and what it may have missed, is asked for again.
func (r *Router) found(now time.Time, user string, sessions []directory.Entry) {
	connected := r.sought[user]
	delete(r.sought, user)
	if !connected {
		r.remember(now, user, sessions)
	}
	if round, ok := r.again[user]; ok {
		r.present(user, sessions)
		if round < r.round {
			delete(r.again, user)
		} else {
			r.seek(user)
		}
	}
	l := r.lines[user]
	if l == nil {
		return
	}
	for len(l.unsought) > 0 {
		p := l.unsought[0]
		if p.round == r.round && (connected || !anyTakes(sessions, p.Type)) {
			r.seek(user)
			return
		}
		l.unsought = l.unsought[1:]
		r.send(l, p, sessions)
	}
}

// anyTakes says whether one of the sessions takes a type: what was found earlier is
// not enough to say that nobody does.
func anyTakes(sessions []directory.Entry, typ string) bool {
	return slices.ContainsFunc(sessions, func(s directory.Entry) bool { return push.Takes(s.Type, typ) })
}

// remember keeps what was found for the next messages of the user.
func (r *Router) remember(now time.Time, user string, sessions []directory.Entry) {
	if r.policy.Cache == 0 || len(sessions) == 0 {
		return
	}
	if len(r.cache) >= maxCached {
		clear(r.cache)
	}
	kept := make([]directory.Entry, len(sessions))
	for i, s := range sessions {
		// Not what is for people to read, nor the text that all of it was cut from.
		kept[i] = directory.Entry{
			Session: directory.Session{User: user, Epoch: s.Epoch, Type: strings.Clone(s.Type), Since: s.Since},
			Node:    strings.Clone(s.Node), Life: s.Life,
		}
	}
	r.cache[user] = cached{sessions: kept, until: now.Add(r.policy.Cache)}
}

// present tells that a user of whom messages wait is there.
func (r *Router) present(user string, sessions []directory.Entry) {
	var found []push.Binding
	for _, s := range sessions {
		b := push.Binding{User: user, Type: s.Type}
		if !r.readers[s.Node] && !slices.Contains(found, b) {
			found = append(found, b)
		}
	}
	if len(found) > 0 {
		r.news = append(r.news, push.Carried{Present: found})
	}
}

// send hands a message to the nodes that hold sessions which take it.
func (r *Router) send(l *line, p *parcel, sessions []directory.Entry) {
	p.looks++
	l.sent++
	p.sessions = p.sessions[:0]
	for _, s := range sessions {
		if push.Takes(s.Type, p.Type) && !r.readers[s.Node] {
			p.sessions = append(p.sessions, s)
		}
	}
	// Counted at first: a node that is full answers at once.
	owners := directory.Owners(p.sessions)
	p.open = len(owners) + 1
	for _, o := range owners {
		r.enqueue(lifeOf{o.Node, o.Life}, p)
	}
	r.answered(p)
}

// answered takes in that one more of those a message was sent to has answered.
func (r *Router) answered(p *parcel) {
	if p.open--; p.open > 0 {
		return
	}
	l := r.lines[p.User]
	l.sent--
	if !p.heard && len(p.sessions) > 0 && p.looks == 1 {
		r.seekAgain(l, p)
		return
	}
	if l.sent == 0 && len(l.unsought) == 0 {
		delete(r.lines, p.User)
	}
	if len(r.news) == 0 {
		r.news = append(r.news, push.Carried{})
	}
	last := &r.news[len(r.news)-1]
	last.Over = append(last.Over, p.Offset)
}

// seekAgain looks a user up a second time who was not where the directory had said.
// Their messages that no node was called with yet go behind this one again.
func (r *Router) seekAgain(l *line, p *parcel) {
	delete(r.cache, p.User)
	p.round = r.round
	l.unsought = append(l.unsought, p)
	if l.sent > 0 {
		for _, later := range r.recall(p.User) {
			l.sent--
			later.looks--
			l.unsought = append(l.unsought, later)
		}
	}
	slices.SortFunc(l.unsought, func(a, b *parcel) int { return cmp.Compare(a.Offset, b.Offset) })
	r.seek(p.User)
}

// News takes over what has been learnt since the last call, in order.
func (r *Router) News() []push.Carried {
	n := r.news
	r.news = nil
	return n
}

// Idle says whether nothing is on its way.
func (r *Router) Idle() bool { return len(r.lines) == 0 && len(r.again) == 0 }
