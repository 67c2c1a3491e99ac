package custody

import (
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
	retry    *offsets.Tracker
	receipts receiptMarks
	heed     int64 // receipts below speak of gateways only
	next     int64 // of requests: everything below was read
	replayed int64 // of requests: below, a predecessor may have concluded

	flights  map[int64]*entry
	waits    map[int64]*entry
	users    map[string]*userEntries
	gateways map[string]*gateway
	types    map[string]string // interned business types

	queue    []*entry // in flight and unclaimed, by offset
	returned []*entry // unclaimed again after a gateway gave them up
	jumbled  bool     // returned is not in order
	timers   timers   // waits by when something is to be done about them

	// inLog are offerings of waits that are in the log and were not read yet; they
	// have a place in their user's window.
	inLog map[int64]place

	early      map[int64][]earlyWord
	earlyBound map[string][]earlyBinding // by user
	earlySweep int                       // number of early things at which to look for stale ones
	// blocked offerings settle only when the wait they came from has its end
	// durable; the value says that everything else about them is settled.
	blocked map[int64]bool

	pending map[uint64]pendingAction
	nextID  uint64
	actions []Action
	ended   []Settled
}

// NewMachine returns a machine that is restoring: waits, receipts and requests
// may be fed; nothing is judged or offered before Restored.
func NewMachine(s Start) *Machine {
	return &Machine{
		policy:     s.Policy,
		now:        s.Now,
		observedAt: s.Now,
		requests:   offsets.New(s.Requests),
		retry:      offsets.New(s.Retry),
		receipts:   receiptMarks{next: s.Receipts},
		heed:       s.Heed,
		next:       s.Requests,
		replayed:   s.RequestsEnd,
		flights:    make(map[int64]*entry),
		waits:      make(map[int64]*entry),
		users:      make(map[string]*userEntries),
		gateways:   make(map[string]*gateway),
		types:      make(map[string]string),
		inLog:      make(map[int64]place),
		early:      make(map[int64][]earlyWord),
		earlyBound: make(map[string][]earlyBinding),
		blocked:    make(map[int64]bool),
		pending:    make(map[uint64]pendingAction),
	}
}

// Request takes in the next record of the request topic. Offsets must grow; one
// that was seen is ignored.
func (m *Machine) Request(r Request) {
	if r.Offset < m.next {
		return
	}
	m.requests.Track(r.Offset)
	defer m.readUpTo(r.Offset + 1)
	said := m.early[r.Offset]
	delete(m.early, r.Offset)
	from := m.endWaitOf(&r)
	if w := m.waits[r.Offset]; w != nil {
		if w.isOf(&r, 0) {
			m.waitsAlready(w, r, said)
			return
		}
		m.misnamed(w)
	}
	e := &entry{
		origin: r.Offset, retryAt: notInRetry, typ: m.intern(r.Type), timer: -1,
		expires: r.Expires.UnixMilli(), readAt: m.observed, attempt: r.Attempt, failures: r.Failures,
		size: r.Size, repeat: r.MayRepeat || r.Offset < m.replayed,
	}
	if m.policy.Outcomes {
		e.detail = &detail{id: r.ID, user: r.User, accepted: r.Accepted}
	}
	m.flights[r.Offset] = e
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
		if mark := m.boundEarly(r); mark != nil {
			e.wanted = true
			m.hold(e, mark)
		}
		m.queue = append(m.queue, e)
		m.applyEarly(e, said)
	}
}

// misnamed offers a wait again whose name another request bears now, so that it
// gets a name of its own. Until then no receipt that names it is about it, and
// the other request is not committed: a successor must see the same.
func (m *Machine) misnamed(w *entry) {
	w.misnamed, w.wanted = true, true
	w.blocks = append(w.blocks, w.origin)
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
	w := m.waits[r.EndsWait]
	if r.EndsWait < 0 || w == nil || !w.isOf(r, 1) {
		return nil
	}
	if w.state == waiting {
		m.endWait(w)
	}
	w.blocks = append(w.blocks, r.Offset)
	m.blocked[r.Offset] = false
	return w
}

// Advance moves time on. caughtUp says that every receipt written up to now has
// been fed. It offers what is due and judges what has become certain.
func (m *Machine) Advance(now time.Time, caughtUp bool) {
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
	m.restored = true
	for _, e := range sortedByOrigin(m.waits) {
		switch {
		case e.state != waiting:
		case e.foreign:
			m.moveHome(e, e.home)
		case e.wanted:
			m.leaveWaiting(e)
		default:
			m.timers.add(e)
		}
	}
	m.judge()
}

// Rehome takes in that partitions were added. What waits for a user who lives
// elsewhere now moves there, where that user's sessions are announced; what is
// under judgement follows when no gateway has delivered it.
func (m *Machine) Rehome(homeOf func(user string) (home int32, foreign bool)) {
	for _, list := range []map[int64]*entry{m.waits, m.flights} {
		for _, e := range sortedByOrigin(list) {
			if e.owner == nil {
				continue
			}
			e.home, e.foreign = homeOf(e.owner.name)
			if e.foreign && e.state == waiting && m.restored {
				m.timers.remove(e)
				m.moveHome(e, e.home)
			}
		}
	}
}

// intern keeps one copy of each business type. Producers choose types, so the
// table is bounded: past the bound a type costs its own memory.
func (m *Machine) intern(s string) string {
	const bound = 10_000
	if t, ok := m.types[s]; ok {
		return t
	}
	if len(m.types) < bound {
		m.types[s] = s
	}
	return s
}
