package ledger

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pushgate/internal/push"
)

func sorted(list []int64) []int64 { return slices.Sorted(slices.Values(list)) }

// model plays the reader, the sessions and the writer of receipts against
// a ledger, in any order that can happen, and knows what a custodian has been
// told. Offsets that it is told of are those of receipts that are durable.
type model struct {
	l *Ledger

	next    int64 // the reader looks at this offset next
	through int64 // the read-through
	reading bool

	owned map[int64]push.Status // by offset; 0: queued
	late  map[int64]bool        // failed for want of an acknowledgement: a late one may come

	writing *push.Receipt // cut, and neither durable nor uncut
	queued  []int64       // as it was cut
	told    map[int64]bool
	settled map[int64]bool
	listed  map[int64]int // times an offset was told as queued
	words   map[string]int
	reports map[string]int // what sessions have reported, as words

	bindings map[string]int64 // what a session cannot have seen: offsets below
	named    map[string]bool

	last int64
}

func newModel(start int64) *model {
	return &model{
		l: New(start, nil), next: start, through: start, last: start,
		owned: map[int64]push.Status{}, late: map[int64]bool{}, told: map[int64]bool{}, settled: map[int64]bool{},
		listed: map[int64]int{}, words: map[string]int{}, reports: map[string]int{}, bindings: map[string]int64{}, named: map[string]bool{},
	}
}

func word(offset int64, s push.Status, reason push.Reason) string {
	return fmt.Sprint(offset, " ", s, " ", reason)
}

func (m *model) report(offset int64, s push.Status, reason push.Reason) {
	report(m.l, offset, s, reason)
	m.owned[offset] = s
	m.reports[word(offset, s, reason)]++
}

// begin and look and read are the reader.
func (m *model) begin() {
	m.l.Begin()
	m.reading = true
}

func (m *model) look(t *rapid.T) {
	offset := m.next
	m.next++
	switch rapid.IntRange(0, 3).Draw(t, "owned") {
	case 0: // not ours
	case 1:
		m.l.Enter(offset)
		m.l.Leave(offset)
	case 2:
		m.l.Enter(offset)
		m.owned[offset] = 0
	case 3: // the report comes before Deliver returns
		m.l.Enter(offset)
		m.report(offset, push.Done, push.ReasonNone)
	}
}

func (m *model) read(t *rapid.T) {
	m.next += rapid.Int64Range(0, 3).Draw(t, "gap")
	m.through, m.reading = m.next, false
	m.l.Read(m.next)
}

// go on is a session.
func (m *model) goOn(t *rapid.T) {
	var open []int64
	for o, s := range m.owned {
		if s == 0 || s == push.Held || m.late[o] {
			open = append(open, o)
		}
	}
	if len(open) == 0 {
		return
	}
	offset := rapid.SampledFrom(sorted(open)).Draw(t, "offset")
	if m.late[offset] {
		delete(m.late, offset)
		m.report(offset, push.Done, push.ReasonNone)
		return
	}
	choices := []push.Status{push.Done, push.Failed}
	if m.owned[offset] == 0 {
		choices = append(choices, push.Held)
	}
	switch s := rapid.SampledFrom(choices).Draw(t, "status"); s {
	case push.Failed:
		m.report(offset, s, push.AckTimeout)
		m.late[offset] = true
	default:
		m.report(offset, s, push.ReasonNone)
	}
}

func (m *model) connect() {
	user := fmt.Sprint("u", len(m.bindings))
	m.bindings[user] = m.next
	m.l.Connected(push.Binding{User: user, Type: push.AllTypes})
}

func (m *model) cut(t *rapid.T) {
	r := m.l.Cut()
	m.writing, m.queued = &r, slices.Clone(r.Queued)
	assert.Equal(t, m.through, r.ReadThrough)
	for _, b := range r.Connected {
		assert.GreaterOrEqual(t, r.ReadThrough, m.bindings[b.User],
			"%s was looked for in vain at an offset the read-through does not cover", b.User)
	}
}

func (m *model) uncut() {
	m.l.Uncut(*m.writing)
	m.writing = nil
}

// durable is also what the custodian makes of the receipt.
func (m *model) durable(t *rapid.T) {
	r := m.writing
	m.writing = nil
	m.l.Durable(r)
	say := func(offset int64, s push.Status, reason push.Reason) {
		m.told[offset], m.settled[offset] = true, true
		m.words[word(offset, s, reason)]++
	}
	for _, o := range r.Delivered {
		say(o, push.Done, push.ReasonNone)
	}
	for _, o := range r.Held {
		say(o, push.Held, push.ReasonNone)
	}
	for _, f := range r.Failed {
		say(f.Offset, push.Failed, f.Reason)
	}
	for _, o := range m.queued {
		m.told[o] = true
		m.listed[o]++
		assert.Equal(t, 1, m.listed[o], "%d is listed as queued again", o)
	}
	for _, b := range r.Connected {
		assert.False(t, m.named[b.User], "%s is named again", b.User)
		m.named[b.User] = true
	}
	for o := range m.owned {
		if o < r.ReadThrough {
			assert.True(t, m.told[o], "%d is owned, below the read-through %d, and no receipt lists it", o, r.ReadThrough)
		}
	}
}

// check is what holds at any moment.
func (m *model) check(t *rapid.T) {
	at := m.l.Committable()
	require.GreaterOrEqual(t, at, m.last, "never backwards")
	m.last = at
	unsettled := 0
	for o := range m.owned {
		if !m.settled[o] {
			unsettled++
			require.LessOrEqual(t, at, o, "the receipt of %d is not durable", o)
		}
	}
	require.LessOrEqual(t, at, m.next, "not past what was looked at")
	require.Equal(t, unsettled, m.l.Unsettled())
}

// finish lets every session come to an end and every receipt be written.
func (m *model) finish(t *rapid.T) {
	if m.reading {
		m.read(t)
	}
	if m.writing != nil {
		m.uncut()
	}
	for _, o := range slices.Sorted(maps.Keys(m.owned)) {
		if s := m.owned[o]; s == 0 || s == push.Held {
			m.report(o, push.Failed, push.Offline)
		}
	}
	m.cut(t)
	m.durable(t)
	m.check(t)
	assert.Equal(t, m.through, m.l.Committable(), "nothing holds it up any more")
	assert.Equal(t, m.reports, m.words, "each report is said, and said once")
	assert.Len(t, m.named, len(m.bindings), "each session is named")
}

func TestReceiptsAreEvidenceAndTheCommitRuleHoldsWhateverTheOrderOfEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(rapid.Int64Range(0, 50).Draw(t, "start"))
		when := func(possible func() bool, do func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				if possible() {
					do(t)
				}
			}
		}
		reading := func() bool { return m.reading }
		resting := func() bool { return !m.reading }
		writing := func() bool { return m.writing != nil }
		silent := func() bool { return m.writing == nil }
		t.Repeat(map[string]func(*rapid.T){
			"begin":   when(resting, func(*rapid.T) { m.begin() }),
			"look":    when(reading, m.look),
			"read":    when(reading, m.read),
			"report":  m.goOn,
			"connect": func(*rapid.T) { m.connect() },
			"cut":     when(silent, m.cut),
			"durable": when(writing, m.durable),
			"uncut":   when(writing, func(*rapid.T) { m.uncut() }),
			"":        m.check,
		})
		m.finish(t)
	})
}
