package simulation

import (
	"errors"
	"slices"
	"time"

	"pushgate/internal/directory"
	"pushgate/internal/push"
)

// leaseTime is how long an entry counts after its node has stopped renewing.
const leaseTime = 3 * time.Second

// register is the directory: entries of sessions, and the leases of lives.
type register struct {
	entries [len(users)][]directory.Entry
	leases  []*lease
	lives   uint64
	// awayUntil is the step until which nobody can reach it.
	awayUntil int
	sessions  uint64 // that were ever opened
}

// lease of a life of a node. Known: it is registered where that life is.
type lease struct {
	node  string
	life  uint64
	ends  time.Time
	known bool
}

var errAway = errors.New("the directory is away") //nolint:gochecknoglobals // a constant

func (r *register) away(w *World) bool { return r.awayUntil > w.step && !w.healed }

// lease returns that of a life, nil if there is none.
func (r *register) lease(node string, life uint64) *lease {
	i := slices.IndexFunc(r.leases, func(l *lease) bool { return l.node == node && l.life == life })
	if i < 0 {
		return nil
	}
	return r.leases[i]
}

// find looks a user up.
func (r *register) find(w *World, user string) directory.Found {
	if r.away(w) || w.nature.shaky && !w.healed && w.one(12) {
		return directory.Found{Err: errAway}
	}
	var f directory.Found
	for _, e := range r.entries[numberOf(user)] {
		if l := r.lease(e.Node, e.Life); l != nil && l.ends.After(w.now) {
			f.Entries = append(f.Entries, e)
		}
	}
	return f
}

func (r *register) has(user, node string, life, epoch uint64) bool {
	return slices.ContainsFunc(r.entries[numberOf(user)], func(e directory.Entry) bool {
		return e.Node == node && e.Life == life && e.Epoch == epoch
	})
}

func (r *register) remove(user, node string, life, epoch uint64) {
	n := numberOf(user)
	r.entries[n] = slices.DeleteFunc(r.entries[n], func(e directory.Entry) bool {
		return e.Node == node && e.Life == life && e.Epoch == epoch
	})
}

// upset takes the directory away, or something out of it.
func (r *register) upset(w *World) {
	switch w.rng.IntN(4) {
	case 0:
		r.awayUntil = w.step + 5 + w.rng.IntN(30)
		w.happens("directory", "is away")
	case 1:
		r.entries, r.leases = [len(users)][]directory.Entry{}, nil
		w.happens("directory", "is emptied")
	case 2:
		if len(r.leases) > 0 {
			l := r.leases[w.rng.IntN(len(r.leases))]
			l.known = false
			w.happens("directory", "forgets where "+l.node+" is")
		}
	default:
		n := w.rng.IntN(w.nature.users)
		if len(r.entries[n]) > 0 {
			i := w.rng.IntN(len(r.entries[n]))
			r.entries[n] = slices.Delete(slices.Clone(r.entries[n]), i, i+1)
			w.tell(note{who: "directory", what: "loses an entry", message: everybody, user: users[n], offset: -1})
		}
	}
}

// keep lets a gateway keep itself and its sessions in the directory: one step of it.
func (g *gateway) keep() {
	w, r := g.w, &g.w.directory
	if r.away(w) || g.superseded() {
		return
	}
	l := r.lease(g.node.name, g.life)
	switch n := w.rng.IntN(8); {
	case l == nil, !l.ends.After(w.now), n == 0:
		g.renew(l)
	case n == 1 && len(g.left) > 0:
		g.unbind()
	default:
		g.bindOne()
	}
}

// superseded says whether a later process has the node's name.
func (g *gateway) superseded() bool {
	return g.node.process != g
}

// renew renews the lease, or begins a new life.
func (g *gateway) renew(l *lease) {
	w, r := g.w, &g.w.directory
	switch {
	case l == nil:
		r.leases = slices.DeleteFunc(r.leases, func(l *lease) bool { return l.node == g.node.name })
		r.lives++
		g.life = r.lives
		r.leases = append(r.leases, &lease{node: g.node.name, life: g.life, ends: w.now.Add(leaseTime), known: !w.nature.shaky || w.nature.steady || !w.one(4)})
		g.left = nil
		g.notEntered()
		w.happens(g.who, "begins a life in the directory")
	case !l.ends.After(w.now):
		g.notEntered()
		l.ends = w.now.Add(leaseTime)
		w.happens(g.who, "had lost its lease")
	default:
		l.ends, l.known = w.now.Add(leaseTime), true
	}
}

func (g *gateway) notEntered() {
	for _, list := range g.sessions {
		for _, s := range list {
			s.entered, s.found = false, false
		}
	}
}

// unbind removes the entry of a session that has ended.
func (g *gateway) unbind() {
	s := g.left[0]
	g.left = g.left[1:]
	g.w.directory.remove(s.user, g.node.name, g.life, s.epoch)
	if g.w.nature.strays && g.w.one(6) {
		// What was given up is carried out after all: nobody knows of the entry.
		g.w.directory.entries[numberOf(s.user)] = append(g.w.directory.entries[numberOf(s.user)], g.entryOf(s))
		g.w.tell(note{who: g.who, what: "leaves an entry behind", message: everybody, user: s.user, offset: -1})
	}
}

func (g *gateway) entryOf(s *session) directory.Entry {
	return directory.Entry{Node: g.node.name, Life: g.life, Session: directory.Session{User: s.user, Epoch: s.epoch, Type: s.typ, Since: s.since}}
}

// bindOne enters a session, or says that it can be found. It is false where there is
// none.
func (g *gateway) bindOne() bool {
	w, r := g.w, &g.w.directory
	for n, list := range g.sessions {
		for _, s := range list {
			switch {
			case !s.entered || !r.has(s.user, g.node.name, g.life, s.epoch):
				if !r.has(s.user, g.node.name, g.life, s.epoch) {
					r.entries[n] = append(r.entries[n], g.entryOf(s))
				}
				s.entered, s.found, s.enteredAt = true, false, w.step
				w.tell(note{who: g.who, what: "enters a session for " + s.typ, message: everybody, user: s.user, offset: -1})
				return true
			case !s.found:
				s.found = true
				g.homeOf(s.user).ledger.Found(push.Binding{User: s.user, Type: s.typ})
				return true
			}
		}
	}
	return false
}

// keepAll brings the directory up to date.
func (g *gateway) keepAll() {
	if g.superseded() {
		return
	}
	r := &g.w.directory
	l := r.lease(g.node.name, g.life)
	if l == nil || !l.ends.After(g.w.now) {
		g.renew(l)
		l = r.lease(g.node.name, g.life)
	}
	g.renew(l)
	for len(g.left) > 0 {
		g.unbind()
	}
	for g.bindOne() {
	}
}
