package ws

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A connection is looked at four times per ping interval. Silent for four looks,
// it is pinged; silent for seven, it is dead. With the look that last found it
// alive up to a quarter late, a ping goes out after 1 to 1.25 intervals of
// silence, and a dead peer is found after 1.75 to 2.
const (
	looksPerInterval = 4
	looksUntilPing   = 4
	looksUntilDead   = 7
)

// keeperSlots spreads the connections over a round of looks, so that pings do
// not go out all at once.
const keeperSlots = 16

// keeper is one timing wheel for all connections of a server: no connection has
// a timer of its own for keepalive, and one that talks costs an atomic swap per
// look.
type keeper struct {
	next  atomic.Uint32
	slots [keeperSlots]keeperSlot
}

type keeperSlot struct {
	mu    sync.Mutex
	conns []*Conn
}

func (k *keeper) add(c *Conn) {
	c.slot = k.next.Add(1) % keeperSlots
	s := &k.slots[c.slot]
	s.mu.Lock()
	defer s.mu.Unlock()
	c.slotIndex = uint32(len(s.conns)) //nolint:gosec // a number of connections
	s.conns = append(s.conns, c)
}

func (k *keeper) remove(c *Conn) {
	s := &k.slots[c.slot]
	s.mu.Lock()
	defer s.mu.Unlock()
	last := uint32(len(s.conns) - 1) //nolint:gosec // as above
	s.conns[c.slotIndex] = s.conns[last]
	s.conns[c.slotIndex].slotIndex = c.slotIndex
	s.conns[last] = nil
	s.conns = s.conns[:last]
}

func (s *keeperSlot) appendTo(list []*Conn) []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(list, s.conns...)
}

func (k *keeper) all() []*Conn {
	var list []*Conn
	for i := range k.slots {
		list = k.slots[i].appendTo(list)
	}
	return list
}

// run turns the wheel until ctx ends.
func (k *keeper) run(ctx context.Context, interval time.Duration) {
	if interval <= 0 {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(max(interval/(looksPerInterval*keeperSlots), time.Millisecond))
	defer ticker.Stop()
	var list []*Conn
	for slot := 0; ; slot = (slot + 1) % keeperSlots {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// The looks take locks of connections: they happen outside the slot's.
		list = k.slots[slot].appendTo(list[:0])
		for _, c := range list {
			c.look()
		}
		clear(list)
	}
}
