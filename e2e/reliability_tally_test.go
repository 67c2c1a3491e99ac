package e2e

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// tally is what the producer and the users know of each message, by number: the
// other half of the ledger. It believes nothing the platform says.
type tally struct {
	began time.Time
	// handed is how many messages the producer has handed over, refused how many
	// of them the broker did not take, foreign how many reached another user.
	handed, refused, foreign atomic.Int64
	chunks                   [1024]atomic.Pointer[chunk]
}

const chunkSize = 1 << 14

type chunk [chunkSize]entry

// entry is one message. Times are nanoseconds since the tally began; 0: not yet.
type entry struct {
	user     int32
	times    atomic.Int32
	accepted atomic.Int64
	first    atomic.Int64
	// wanted is since when the user who got it had wanted to be connected: who
	// is away on purpose waits for nothing.
	wanted atomic.Int64
	// attempt is that of the first frame, gateway where it came from; elsewhere
	// counts repeats from other gateways.
	attempt, gateway, elsewhere atomic.Int32
}

func newTally() *tally { return &tally{began: time.Now()} }

func (c *tally) now() int64 { return int64(time.Since(c.began)) }

// add makes the next message. Only the producer does, so numbers have no gaps.
func (c *tally) add(user int) (number int64) {
	number = c.handed.Load()
	slot := &c.chunks[number/chunkSize]
	if slot.Load() == nil {
		slot.Store(new(chunk))
	}
	c.entry(number).user = int32(user)
	c.handed.Add(1)
	return number
}

func (c *tally) entry(number int64) *entry {
	return &c.chunks[number/chunkSize].Load()[number%chunkSize]
}

// seen is a frame that a user got from a gateway.
type seen struct {
	user, gateway, attempt int
	wanted                 int64 // see entry
}

// saw counts a frame.
func (c *tally) saw(number int64, f seen) {
	if number < 0 || number >= c.handed.Load() || c.entry(number).user != int32(f.user) {
		c.foreign.Add(1)
		return
	}
	e := c.entry(number)
	if e.times.Add(1) == 1 {
		e.wanted.Store(f.wanted)
		e.attempt.Store(int32(f.attempt))
		e.gateway.Store(int32(f.gateway))
		e.first.Store(c.now())
	} else if e.gateway.Load() != int32(f.gateway) {
		e.elsewhere.Add(1)
	}
}

// arrived tells whether all of a stretch that the broker took was seen, and
// nothing is on its way to the broker.
func (c *tally) arrived(from, to int64) bool {
	for i := from; i < to; i++ {
		if e := c.entry(i); e.first.Load() == 0 && e.accepted.Load() >= 0 {
			return false
		}
	}
	return true
}

// sum is what became of a stretch of messages.
type sum struct {
	accepted, lost, repeats int
	// elsewhere is how many of the repeats came from another gateway than the
	// first frame.
	elsewhere int
	// longest is the longest time from being accepted to being seen by a user who
	// was not away on purpose; last is how long after `over` the last one came
	// that had been accepted before.
	longest, last time.Duration
	// late is the one that came last after over.
	late int64
	// missing are some of the lost.
	missing []int64
}

func (c *tally) sum(from, to, over int64) sum {
	var s sum
	for i := from; i < to; i++ {
		e := c.entry(i)
		accepted := e.accepted.Load()
		if accepted <= 0 {
			continue
		}
		s.accepted++
		first := e.first.Load()
		if first == 0 {
			s.lost++
			if len(s.missing) < 20 {
				s.missing = append(s.missing, i)
			}
			continue
		}
		s.repeats += int(e.times.Load()) - 1
		s.elsewhere += int(e.elsewhere.Load())
		wanted := max(accepted, e.wanted.Load())
		s.longest = max(s.longest, time.Duration(first-wanted))
		if after := time.Duration(first - max(over, wanted)); accepted <= over && after > s.last {
			s.last, s.late = after, i
		}
	}
	return s
}

func TestTheTallyFindsWhatIsLostRepeatedAndAstray(t *testing.T) {
	c := newTally()
	second := int64(time.Second)
	for i := range 5 {
		c.add(i)
	}
	for number, e := range []struct{ accepted, first, wanted int64 }{
		{accepted: second, first: 2 * second},
		{accepted: second, first: 9 * second, wanted: 6 * second}, // was away on purpose
		{accepted: second},                         // lost
		{accepted: 8 * second, first: 12 * second}, // not affected by what was over before
		{accepted: -1},                             // not taken by the broker
	} {
		c.entry(int64(number)).accepted.Store(e.accepted)
		c.entry(int64(number)).first.Store(e.first)
		c.entry(int64(number)).wanted.Store(e.wanted)
		if e.first > 0 {
			c.entry(int64(number)).times.Store(2)
		}
	}
	over := 4 * second
	assert.False(t, c.arrived(0, 5))
	s := c.sum(0, 5, over)
	assert.Equal(t, sum{accepted: 4, lost: 1, repeats: 3, longest: 4 * time.Second, last: 3 * time.Second, late: 1, missing: []int64{2}}, s)

	c.saw(2, seen{user: 2})
	assert.True(t, c.arrived(0, 5))
	assert.Zero(t, c.sum(0, 5, over).lost)
	c.saw(2, seen{user: 2, gateway: 1})
	assert.Equal(t, 1, c.sum(2, 3, over).elsewhere)
	c.saw(2, seen{user: 3})
	c.saw(99, seen{user: 3})
	assert.EqualValues(t, 2, c.foreign.Load(), "another's, and nobody's")
}
