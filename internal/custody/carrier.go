package custody

import (
	"context"

	"pushgate/internal/push"
)

// Courier carries the requests of one partition to the gateways that do not read
// them. Only Run blocks. Safe for concurrent use.
type Courier interface {
	// Run carries until ctx ends; it returns nothing but its error. Records returns
	// requests by their offsets, less those that the log does not hold any more.
	Run(ctx context.Context, records func(ctx context.Context, offsets []int64) ([]push.Record, error)) error
	// Carry takes parcels, in order. All that becomes of them is told by Take.
	Carry(parcels []push.Parcel)
	// Readers names the nodes to which nothing has to be carried.
	Readers(nodes []string)
	// Connected says that a session of the user was opened somewhere.
	Connected(user string)
	// LookAgain asks where a user is, of whom a message waits now. False: too many
	// are to be asked about already.
	LookAgain(user string) bool
	// News gets a value when there is something to take.
	News() <-chan struct{}
	// Take returns what has been learnt, in order.
	Take() []push.Carried
	// Stalled says why nothing has been learnt of where users are for a while, nil if
	// it has.
	Stalled() error
}

// carrier is what a partition has to do with its courier. Its methods do nothing
// where there is none (nil).
type carrier struct {
	p       *partition
	courier Courier
	modes   uint64 // for which the courier was told of the readers
	told    bool
	// sweep is where to go on asking about users for whom messages wait; negative:
	// all were asked about. A predecessor may have stored a message and died before
	// it looked again.
	sweep int
}

func newCarrier(p *partition, c Courier) *carrier { return &carrier{p: p, courier: c} }

func (c *carrier) news() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.courier.News()
}

func (c *carrier) take() {
	for _, learnt := range c.courier.Take() {
		c.p.traces.heard(learnt.Receipt)
		c.p.machine.Carried(&learnt)
	}
}

// give hands the courier what is to be carried.
func (c *carrier) give() {
	if c == nil {
		return
	}
	if modes := c.p.machine.Modes(); modes != c.modes || !c.told {
		c.modes, c.told = modes, true
		c.courier.Readers(c.p.machine.Readers())
	}
	if parcels := c.p.machine.Parcels(); len(parcels) > 0 {
		c.courier.Carry(parcels)
	}
	c.askOn()
}

// keep keeps a request that may have to be carried.
func (c *carrier) keep(rec *push.Record) {
	if c != nil {
		c.p.fresh.put(rec.Offset, *rec)
	}
}

func (c *carrier) connected(sessions []push.Binding) {
	if c == nil {
		return
	}
	for _, b := range sessions {
		c.courier.Connected(b.User)
	}
}

// stored looks again for a user whose message waits now. Their session may have been
// entered after the first look, and its gateway may have died before it said so.
func (c *carrier) stored(a Action) {
	if c != nil && a.Kind == MakeWait && a.Reason == push.Offline && !c.courier.LookAgain(a.User) {
		c.sweep = 0
	}
}

// askOn goes on asking about users for whom messages wait, some at a time.
func (c *carrier) askOn() {
	const some = 256
	if c.sweep < 0 || !c.p.restored {
		return
	}
	users, next := c.p.machine.Absent(c.sweep, some)
	for _, user := range users {
		if !c.courier.LookAgain(user) {
			return // the same ones again
		}
	}
	if c.sweep = next; next == 0 {
		c.sweep = -1
	}
}

func (c *carrier) stalled() error {
	if c == nil {
		return nil
	}
	return c.courier.Stalled()
}
