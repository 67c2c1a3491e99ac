package ledger

import (
	"pushgate/internal/offsets"
	"pushgate/internal/push"
)

// carriage is what is known of an offset that was brought here: how many callers
// wait for its end, and how far it has come by the word of any of them. A caller that
// has timed out, or its successor, may bring the same offset again while it is under
// way.
type carriage struct {
	callers int
	told    push.Status
}

// Called says whether the partition is called: it reads no requests.
func (l *Ledger) Called() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.called
}

// Call says that nothing is read from now on. No batch may be under way. What was
// entered goes on, and all of it is listed: there is no read-through any more that
// could be waited for.
func (l *Ledger) Call() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.called = true
	l.stint++
	l.item()
}

// Restart says that requests are read from now on, beginning with start, which may
// lie before what was read earlier. What is under way from then goes on, and is said
// when it ends; so does what was carried here.
func (l *Ledger) Restart(start int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.called = false
	l.stint++
	l.readThrough = start
	l.tracker = offsets.New(start)
	for i := range l.bound {
		l.bound[i].from = start // they are there when reading begins
	}
	l.item()
}

// Name notes sessions that are there at a change between reading and being called,
// before the first batch after it.
func (l *Ledger) Name(sessions []push.Binding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range sessions {
		l.bind(b)
	}
}

// Found notes a session that those who call can find by now. While requests are read
// it says nothing: Connected has.
func (l *Ledger) Found(b push.Binding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.called {
		l.bind(b)
	}
}

// Carry notes an offset that is brought here, before it is handed to a session. It
// does not count as read: nothing is committed for its sake.
func (l *Ledger) Carry(offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.carried[offset]
	c.callers++
	l.carried[offset] = c
}

// CarryBack takes back an offset that turned out to be for nobody here.
func (l *Ledger) CarryBack(offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.carriedEnds(offset, l.carried[offset])
}

// Word is what became of a carried offset, by the word of the sessions to one caller.
type Word struct {
	Status push.Status
	Reason push.Reason
	// Late: it follows a failure.
	Late bool
}

// Word takes in a word, once for each caller that brought the offset. The observer
// hears of it once.
func (l *Ledger) Word(m *push.Message, w Word) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, underWay := l.carried[m.Offset]
	if !underWay || isNews(w.Status, c.told) {
		first := underWay && c.told == 0
		c.told = w.Status
		l.observe(m, w.Status, w.Reason, first)
	}
	switch {
	case !underWay:
	case w.Status == push.Held, w.Late:
		l.carried[m.Offset] = c
	default:
		l.carriedEnds(m.Offset, c)
	}
	l.say(m.Offset, w.Status, w.Reason)
}

// isNews says whether s goes beyond what was told: Done is the last word, also after
// Failed.
func isNews(s, told push.Status) bool {
	return told == 0 || told == push.Held && s != push.Held || told == push.Failed && s == push.Done
}

func (l *Ledger) carriedEnds(offset int64, c carriage) {
	if c.callers--; c.callers > 0 {
		l.carried[offset] = c
	} else {
		delete(l.carried, offset)
	}
}

// UnderWay counts what is on its way to sessions, or not settled yet.
func (l *Ledger) UnderWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tracker.Unsettled() + len(l.carried)
}
