package targeted

import (
	"slices"

	"pushgate/internal/directory"
)

// sessionOf names a session for good: no two connections ever share a life and an
// epoch.
type sessionOf struct {
	life  lifeOf
	epoch uint64
}

func nameOf(e directory.Entry) sessionOf { return sessionOf{lifeOf{e.Node, e.Life}, e.Epoch} }

// gone remembers sessions that the directory still shows, and whose node has said
// that they are not there: nodes enter sessions when they can take messages, so such
// a one has ended. Without it, a stale entry would have a message that waits offered
// again and again. The oldest are forgotten first, half of them at a time.
type gone struct{ young, old map[sessionOf]bool }

func (g *gone) add(e directory.Entry) {
	if g.young == nil || len(g.young) >= maxGone {
		g.old, g.young = g.young, make(map[sessionOf]bool)
	}
	g.young[nameOf(e)] = true
}

// less returns the sessions that are not known to be gone.
func (g *gone) less(entries []directory.Entry) []directory.Entry {
	if len(g.young) == 0 {
		return entries
	}
	return slices.DeleteFunc(entries, func(e directory.Entry) bool { return g.young[nameOf(e)] || g.old[nameOf(e)] })
}
