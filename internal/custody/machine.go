package custody

import (
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"pushgate/internal/offsets"
	"pushgate/internal/push"
)

// Policy is what a Machine decides by.
type Policy struct {
	Custody Config
	Retry   RetryConfig
	Waiting WaitingConfig
	// DropExpired: messages whose time to live ran out are only counted, not
	// dead-lettered.
	DropExpired bool
	// Outcomes: what became of each message is written to the outcome topic.
	Outcomes bool
	// Strict: a message is offered only when all earlier ones of its user and type
	// are settled. What producers wrote is then given in with attempt 0.
	Strict bool
	// Targeted: requests are carried to the gateways that do not read them. See
	// Machine.Parcels.
	Targeted bool
	// LeastSpan is how many records of the retry log are not worth cleaning up for; 0
	// means 1,000.
	LeastSpan int64
}

// Start says where a Machine takes over its partition.
type Start struct {
	Policy Policy
	// Now is the time on the custodian's clock.
	Now time.Time
	// Requests, Receipts and Retry are the offsets reading starts at.
	Requests, Receipts, Retry int64
	// Heed: receipts below are read only to know which gateways are alive. What
	// they say of requests is of no consequence any more.
	Heed int64
	// RequestsEnd is where the requests ended then. What is below may have been
	// concluded by a predecessor already.
	RequestsEnd int64
}

// Request is a record of the request topic as the machine needs to know it.
type Request struct {
	Offset            int64
	ID, User, Type    string
	Accepted, Expires time.Time
	Attempt, Failures int
	// Order: see push.Lineage.
	Order int64
	// EndsWait is the origin of the wait this offering ends, push.NoWait if none.
	EndsWait int64
	// Size of the record in bytes.
	Size int32
	// MayRepeat: see push.HeaderMayRepeat.
	MayRepeat bool
	// Foreign: the user's home is the partition Home, not this one.
	Foreign bool
	Home    int32
	// Invalid is why the record is no valid request, nil if it is one.
	Invalid *push.InvalidError
}

// Machine is the state machine of one partition. It is not safe for concurrent
// use, does no I/O, and asks no clock: the same events give the same actions.
//
// Entries are keyed by the offset of the offering they are about (origin). An
// entry is in flight while its offering is under judgement, and a wait from when
// its wait is written until its end is durable.
type Machine struct {
	policy Policy

	now time.Time
	// observed is how long receipts have been read without a gap. Silence and
	// standstill of gateways are measured in it, so that an outage of the log is
	// not taken for their death.
	observed   time.Duration
	observedAt time.Time
	restored   bool

	requests *offsets.Tracker
	receipts receiptMarks
	heed     int64 // receipts below speak of gateways only
	next     int64 // of requests: everything below was read
	replayed int64 // of requests: below, a predecessor may have concluded

	entries  slab[entry]
	works    works
	flights  index[int64] // entries in flight, by origin
	waits    index[int64] // the others
	users    slab[user]
	byName   index[string]
	touched  []turnOf
	types    typeTable
	gateways map[string]*gateway
	modes    uint64        // changes when gateways come, go, or read from now on or no more
	courier  *gateway      // stands for whoever carries parcels; nil unless routing is targeted
	parcels  []push.Parcel // to be carried

	queue    []int64 // origins in flight and unclaimed, in order
	returned []int64 // origins unclaimed again after a gateway gave them up
	jumbled  bool    // returned is not in order
	timers   timers  // waits by when something is to be done about them
	waitLog  waitLog // waits by where they are written

	// inLog are offerings of waits that are in the log and were not read yet; they
	// have a place in their user's window.
	inLog map[int64]place

	early      map[int64][]earlyWord
	earlyBound map[string][]earlyBinding // by user
	earlySweep int                       // number of early things at which to look for stale ones
	// blocked offerings settle only when the wait they came from has its end
	// durable; the value says that everything else about them is settled.
	blocked map[int64]bool
	// past are waits that ended, by origin, while restoring.
	past map[int64]pastWait

	pending map[uint64]pendingAction
	nextID  uint64
	actions []Action
	ended   []Settled
}

// NewMachine returns a machine that is restoring: waits, receipts and requests
// may be fed; nothing is judged or offered before Restored.
func NewMachine(s Start) *Machine {
	m := &Machine{
		policy:     s.Policy,
		now:        s.Now,
		observedAt: s.Now,
		requests:   offsets.New(s.Requests),
		receipts:   receiptMarks{next: s.Receipts},
		heed:       s.Heed,
		next:       s.Requests,
		replayed:   s.RequestsEnd,
		gateways:   make(map[string]*gateway),
		types:      typeTable{byName: make(map[string]ref)},
		inLog:      make(map[int64]place),
		early:      make(map[int64][]earlyWord),
		earlyBound: make(map[string][]earlyBinding),
		blocked:    make(map[int64]bool),
		past:       make(map[int64]pastWait),
		pending:    make(map[uint64]pendingAction),
	}
	if s.Policy.Targeted {
		m.courier = &gateway{}
	}
	m.timers.entries, m.waitLog = &m.entries, waitLog{entries: &m.entries, next: s.Retry}
	byOrigin := index[int64]{
		key:  func(r ref) int64 { return m.entries.at(r).origin },
		hash: func(origin int64) uint64 { return mix(uint64(origin)) }, //nolint:gosec // bits
	}
	m.flights, m.waits = byOrigin, byOrigin
	seed := maphash.MakeSeed()
	m.byName = index[string]{
		key:  func(r ref) string { return m.users.at(r).name },
		hash: func(name string) uint64 { return maphash.String(seed, name) },
	}
	return m
}

// Request takes in the next record of the request topic. Offsets must grow; one
// that was seen is ignored.
func (m *Machine) Request(r Request) {
	if r.Offset < m.next {
		return
	}
	defer m.afterwards()
	m.requests.Track(r.Offset)
	defer m.readUpTo(r.Offset + 1)
	said := m.early[r.Offset]
	delete(m.early, r.Offset)
	from := m.endWaitOf(&r)
	m.supersede(&r)
	if w := m.waitOf(r.Offset); w != nil {
		if m.isOf(w, &r, 0) {
			m.waitsAlready(w, r, said)
			return
		}
		m.misnamed(w)
	}
	e := m.newEntry(r.Type)
	e.origin, e.order, e.state = r.Offset, m.orderOf(&r), inFlight
	e.expires, e.size = r.Expires.UnixMilli(), r.Size
	e.attempt, e.failures = uint16(r.Attempt), uint16(r.Failures) //nolint:gosec // at most 32,768
	e.repeat = r.MayRepeat || r.Offset < m.replayed
	e.work = m.works.take()
	e.work.readAt = m.observed
	if m.policy.Outcomes {
		e.work.detail = &detail{id: r.ID, user: r.User, accepted: r.Accepted}
	}
	m.flights.put(e.self)
	if r.Invalid != nil || r.Foreign || m.expired(e) {
		m.forfeit(r.Offset)
	}
	switch {
	case r.Invalid != nil:
		m.die(e, r.Invalid.Reason, r.Invalid.Text)
	case r.Foreign:
		m.moveHome(e, r.Home)
	case m.expired(e):
		m.expire(e)
	default:
		m.link(e, r.User)
		m.inheritToken(e, from)
		switch {
		case !m.queued(e):
			if mark := m.boundEarly(r); mark != nil {
				e.wanted = true
				m.hold(e, mark)
			}
			m.queue = append(m.queue, e.origin)
			m.carry(e)
			m.applyEarly(e.origin, said)
		case m.restored:
			m.enqueue(e)
		case m.crowded():
			m.waitBehind(e, push.Offline)
		}
	}
}

// misnamed offers a wait again whose name another request bears now, so that it
// gets a name of its own. Until then no receipt that names it is about it, and
// the other request is not committed: a successor must see the same.
func (m *Machine) misnamed(w *entry) {
	w.wanted = true
	w.busy().misnamed = true
	w.work.blocks = append(w.work.blocks, w.origin)
	m.blocked[w.origin] = false
	if w.state == waiting && m.restored {
		m.leaveWaiting(w)
	}
}

// waitsAlready settles an offering whose wait a predecessor had written before
// it died, without having committed the offering.
func (m *Machine) waitsAlready(w *entry, r Request, said []earlyWord) {
	m.settle(r.Offset)
	w.wanted = w.wanted || m.boundEarly(r) != nil
	for _, word := range said {
		m.wordLate(w, word)
	}
}

// RequestsRead says that every request below next was read, also where the log
// has gaps.
func (m *Machine) RequestsRead(next int64) {
	defer m.afterwards()
	if next > m.next {
		m.readUpTo(next)
	}
	for _, at := range slices.Sorted(maps.Keys(m.inLog)) {
		if at < next {
			m.forfeit(at) // a gap: the log was trimmed past it
		}
	}
	m.judge()
}

// endWaitOf links an offering to the wait it came from. Where the wait is still
// there, a predecessor died between offering and ending it: it ends now, instead
// of being offered once more.
func (m *Machine) endWaitOf(r *Request) *entry {
	if r.EndsWait < 0 {
		return nil
	}
	w := m.waitOf(r.EndsWait)
	if w == nil || !m.isOf(w, r, 1) {
		return nil
	}
	m.endBefore(w, r.Offset)
	return w
}

// endBefore ends a wait, unless it is on its way out; the request at an offset
// settles only after that.
func (m *Machine) endBefore(w *entry, offset int64) {
	w.busy().blocks = append(w.work.blocks, offset)
	m.blocked[offset] = false
	switch w.state {
	case waiting:
		m.endWait(w)
	case rewritePending:
		w.work.ended = true
	default:
		// The end follows by itself.
	}
}

// Advance moves time on. caughtUp says that every receipt written up to now has
// been fed. It offers what is due and judges what has become certain.
func (m *Machine) Advance(now time.Time, caughtUp bool) {
	defer m.afterwards()
	if now.After(m.now) {
		m.now = now
	}
	if caughtUp {
		m.observed += min(max(now.Sub(m.observedAt), 0), m.policy.Custody.Window/3)
		m.observedAt = now
		m.buryTheSilent()
	}
	if !m.restored {
		return
	}
	for e := m.timers.due(m.now.UnixMilli()); e != nil; e = m.timers.due(m.now.UnixMilli()) {
		m.leaveWaiting(e)
	}
	m.judge()
}

// Restored ends restoring: everything that was in the logs at takeover was fed.
func (m *Machine) Restored() {
	defer m.afterwards()
	m.restored, m.past = true, nil
	for _, e := range m.allBy(&m.waits) {
		switch {
		case e.state != waiting:
		case e.isDiscarded():
			m.discard(e)
		case e.foreign:
			m.moveHome(e, e.work.home)
		case e.wanted:
			m.leaveWaiting(e)
		default:
			m.timers.add(e)
		}
	}
	if m.policy.Strict {
		for _, e := range m.allBy(&m.flights) {
			m.beginQueue(e)
		}
	}
	m.carryAll()
	m.judge()
}

// Rehome takes in that partitions were added. What waits for a user who lives
// elsewhere now moves there, where that user's sessions are announced; what is
// under judgement follows when no gateway has delivered it.
func (m *Machine) Rehome(homeOf func(user string) (home int32, foreign bool)) {
	defer m.afterwards()
	for _, x := range []*index[int64]{&m.waits, &m.flights} {
		for _, e := range m.allBy(x) {
			if e.owner != none {
				m.rehome(e, homeOf)
			}
		}
	}
}

func (m *Machine) rehome(e *entry, homeOf func(user string) (home int32, foreign bool)) {
	home, foreign := homeOf(m.userOf(e).name)
	queued := m.queued(e)
	if e.foreign = foreign; !foreign {
		return
	}
	e.busy().home = home
	if m.restored && (e.state == waiting || queued) {
		m.timers.remove(e)
		m.moveHome(e, home)
	}
}
