package explain

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"pushgate/internal/push"
)

// lifeKey tells lives apart, also where a producer uses an id twice.
type lifeKey struct {
	id        string
	firstSeen int64 // Unix milliseconds
}

// life is one life of a message: from when it was first written, or replayed, to its
// outcome.
type life struct {
	lifeKey
	kind    string // business type
	expires time.Time
	replay  push.Replay
	// begun: the record it began with was read.
	begun bool
	// strict: the order of the user's messages is.
	strict    bool
	offerings []*offering
	waits     []*wait
	dead      *death
	delivered time.Time // zero: not, as far as is known
	report    *push.OutcomeReport
	events    []Event
	// dropped events were left out of the middle.
	dropped int
}

// death is the dead letter of a life.
type death struct {
	reason    push.Reason
	partition int32
	offset    int64
	at        time.Time
}

// place is an offset of a partition.
type place struct {
	partition int32
	offset    int64
}

// offering is one record of the request topic.
type offering struct {
	place
	life    *life
	at      time.Time
	attempt int
	// foreign: the user lives elsewhere, so that it is not delivered from here.
	foreign bool
	// raw: no custodian has offered it.
	raw  bool
	wait *wait
	// nodes that have looked at it, in the order in which they did.
	nodes []*glance
	// delivered is when that was first said.
	delivered time.Time
}

// glance is what one gateway had to do with an offering.
type glance struct {
	node         string
	passed       time.Time // read past it; zero: not yet
	queued, held bool
	delivered    bool
	failed       bool
	ended        bool // it left, or began anew, before it had said what came of it
	epoch        int64
}

// listed says whether the gateway has said that the user is there.
func (g *glance) listed() bool { return g.queued || g.held || g.delivered || g.failed }

// answers says whether a word of the gateway is still to come.
func (g *glance) answers() bool { return (g.queued || g.held) && !g.delivered && !g.failed }

// wait is one wait of a life.
type wait struct {
	place   // of the offering it came from: its origin
	life    *life
	at      time.Time
	attempt int
	due     time.Time
	reason  push.Reason
	ended   time.Time // zero: it waits
	// after is the offering it came from, where that is known.
	after *offering
}

// glanceOf finds or makes what is known of a node.
func (o *offering) glanceOf(node string) *glance {
	for _, g := range o.nodes {
		if g.node == node {
			return g
		}
	}
	g := &glance{node: node}
	o.nodes = append(o.nodes, g)
	return g
}

// maxEvents bounds the events of one life: what is in the middle is left out beyond.
const maxEvents = 2000

// tell adds an event.
func (l *life) tell(e Event) {
	e.rank = slices.Index(kindsInOrder(), e.Kind)
	if len(l.events) == maxEvents {
		l.events = slices.Delete(l.events, maxEvents/2, maxEvents/2+1)
		l.dropped++
	}
	l.events = append(l.events, e)
}

// kindsInOrder is how events of one millisecond follow each other.
func kindsInOrder() []Kind {
	return []Kind{
		Produced, Replayed, MovedHome, Offered, Queued, Written, Delivered, Failed, NotHeld, GatewayEnded,
		WaitBegan, Operator, Connected, Died, WaitEnded, Outcome,
	}
}

func (l *life) firstTime() time.Time { return time.UnixMilli(l.firstSeen).UTC() }

// waiting returns the wait that is not over, nil if there is none.
func (l *life) waiting() *wait {
	for _, w := range l.waits {
		if w.ended.IsZero() {
			return w
		}
	}
	return nil
}

// sorted puts the events in their order: by time, then by offering, then by kind. What
// happens within one millisecond cannot be told apart by time.
func (l *life) sorted() []Event {
	slices.SortStableFunc(l.events, func(a, b Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.attempt, b.attempt), cmp.Compare(a.rank, b.rank), strings.Compare(a.Where, b.Where))
	})
	return l.events
}
