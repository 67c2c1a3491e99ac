package directory

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheDirectoryIsWhatItsModelSays(t *testing.T) {
	r := embeddedRig(t, testConfig())
	rapid.Check(t, func(t *rapid.T) {
		r.mini.FlushAll()
		m := newModel(r, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "draw") })
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			m.step(t)
		}
		m.settle(t)
	})
}

func TestOnRedisTheDirectoryIsWhatItsModelSays(t *testing.T) {
	if r, _, ok := realRig(t, testConfig()); ok {
		random(t, r)
	}
}

func TestOnAClusterTheDirectoryIsWhatItsModelSays(t *testing.T) {
	if r, ok := clusterRig(t, testConfig()); ok {
		random(t, r)
	}
}

// random is a shorter run, that names its seed.
func random(t *testing.T, r *rig) {
	t.Helper()
	const histories, steps = 15, 40
	for range histories {
		seed := rand.Uint64()
		require.True(t, t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			source := rand.New(rand.NewPCG(seed, 0))
			m := newModel(r, source.IntN)
			m.flush(t)
			for range steps {
				m.step(t)
			}
			m.settle(t)
		}))
	}
}

// model is what ought to be in Redis, and who writes there.
type model struct {
	r    *rig
	draw func(int) int // a number below
	now  time.Duration

	processes []*process
	late      []lateWrite
	lives     map[string]*modelLife
	entries   map[string]map[string]Session // by user and field
	epoch     uint64
	log       []string
}

// process is one run of a node, perhaps one that should have ended long ago.
type process struct {
	life     Life
	till     time.Duration
	sessions []Session
}

// lateWrite is an entry whose index was written, and that is held up.
type lateWrite struct {
	life    Life
	till    time.Duration
	session Session
}

// modelLife is a lease: its end, and whether it is over whatever its end is.
type modelLife struct {
	node   string
	number uint64
	till   time.Duration
	over   bool
}

func newModel(r *rig, draw func(int) int) *model {
	return &model{r: r, draw: draw, lives: make(map[string]*modelLife), entries: make(map[string]map[string]Session)}
}

var (
	modelNodes = []string{"gw-1", "gw-2", "gw-10"}
	modelUsers = []string{"alice", "node", "{a}b", "}{", "x y\x00\xff\n", "user:" + strings.Repeat("é", 125)}
)

func (m *model) step(t require.TestingT) {
	steps := map[string]func(require.TestingT){
		"begin": m.begin, "hold": m.hold, "bind": m.bind, "unbind": m.unbind, "crash": m.crash,
		"start to bind": m.startToBind, "finish to bind": m.finishToBind,
		"advance": m.advance, "sweep": m.sweep, "flush": m.flush, "release": m.release,
		"again": m.again,
	}
	// What happens often stands here more often.
	weights := []string{
		"begin", "begin", "hold", "hold", "hold", "bind", "bind", "bind", "bind", "unbind", "unbind", "unbind", "crash",
		"start to bind", "finish to bind", "advance", "advance", "sweep", "flush", "release", "again",
	}
	name := weights[m.draw(len(weights))]
	if name == "flush" && m.draw(4) != 0 {
		name = "bind"
	}
	m.log = append(m.log, name)
	steps[name](t)
	m.check(t)
}

func (m *model) one() *process {
	if len(m.processes) == 0 {
		return nil
	}
	return m.processes[m.draw(len(m.processes))]
}

func (m *model) begin(t require.TestingT) {
	node := modelNodes[m.draw(len(modelNodes))]
	m.processes = append(m.processes, m.start(t, node, nil))
}

// start begins a life, for a process that had one before, or not.
func (m *model) start(t require.TestingT, node string, prior *process) *process {
	var before Life
	if prior != nil {
		before = prior.life
		if m.lives[before.String()] == nil {
			m.lives[before.String()] = &modelLife{node: node, number: before.Number, till: prior.till, over: true}
		}
	}
	life, err := m.r.Begin(context.Background(), node, before)
	require.NoError(t, err)
	for _, l := range m.lives {
		l.over = l.over || l.node == node
	}
	require.Nil(t, m.lives[life.String()], "the number of a life is used again")
	m.lives[life.String()] = &modelLife{node: node, number: life.Number, till: m.now + testLease}
	return &process{life: life, till: m.now + testLease}
}

func (m *model) hold(t require.TestingT) {
	p := m.one()
	if p == nil {
		return
	}
	life, lapsed, err := m.r.Hold(context.Background(), p.life)
	known := m.lives[p.life.String()]
	if known != nil && !known.over {
		require.NoError(t, err)
		assert.Equal(t, known.till < m.now, lapsed)
		known.till = m.now + testLease
		p.life, p.till = life, known.till
		return
	}
	for _, l := range m.lives {
		if l.node == p.life.Node && l.number > p.life.Number && !l.over {
			require.ErrorIs(t, err, ErrSuperseded)
			m.leave(t, p)
			return
		}
	}
	require.ErrorIs(t, err, ErrLost)
	*p = *m.start(t, p.life.Node, p)
}

func (m *model) session() Session {
	m.epoch++
	s := session(modelUsers[m.draw(len(modelUsers))], m.epoch)
	s.Type = []string{"all", "order", "a b/%", "ü"}[m.draw(4)]
	return s
}

func (m *model) bind(t require.TestingT) {
	p := m.one()
	if p == nil {
		return
	}
	var some []Session
	for range m.draw(3) + 1 {
		some = append(some, m.session())
	}
	bound, err := m.r.Bind(context.Background(), p.life, some)
	if p.till < m.now {
		require.ErrorIs(t, err, ErrLate)
		assert.Equal(t, make([]Bound, len(some)), bound)
		return
	}
	require.NoError(t, err)
	for i, s := range some {
		assert.Equal(t, BoundNew, bound[i])
		m.enter(p.life, s)
	}
	p.sessions = append(p.sessions, some...)
}

func (m *model) enter(life Life, s Session) {
	if m.entries[s.User] == nil {
		m.entries[s.User] = make(map[string]Session)
	}
	m.entries[s.User][field(life.String(), s.Epoch)] = s
}

// again enters a session once more, which was entered, or lost.
func (m *model) again(t require.TestingT) {
	p := m.one()
	if p == nil || len(p.sessions) == 0 || p.till < m.now {
		return
	}
	s := p.sessions[m.draw(len(p.sessions))]
	_, there := m.entries[s.User][field(p.life.String(), s.Epoch)]
	bound, err := m.r.Bind(context.Background(), p.life, []Session{s})
	require.NoError(t, err)
	assert.Equal(t, there, bound[0] == BoundAgain)
	m.enter(p.life, s)
}

func (m *model) unbind(t require.TestingT) {
	p := m.one()
	if p == nil || len(p.sessions) == 0 {
		return
	}
	i := m.draw(len(p.sessions))
	s := p.sessions[i]
	_, err := m.r.Unbind(context.Background(), p.life, []Session{s})
	require.NoError(t, err)
	delete(m.entries[s.User], field(p.life.String(), s.Epoch))
	if m.draw(4) != 0 { // Else it is closed once more, later.
		p.sessions = slices.Delete(p.sessions, i, i+1)
	}
}

// crash ends a process; its entries stay. One that Redis has forgotten does not
// crash before it has found out: what it entered in that time is not swept, it
// expires.
func (m *model) crash(require.TestingT) {
	if p := m.one(); p != nil && m.lives[p.life.String()] != nil {
		m.processes = slices.DeleteFunc(m.processes, func(q *process) bool { return q == p })
	}
}

// release ends a process that says so.
func (m *model) release(t require.TestingT) {
	if p := m.one(); p != nil {
		m.leave(t, p)
	}
}

func (m *model) leave(t require.TestingT, p *process) {
	require.NoError(t, m.r.Release(context.Background(), p.life))
	if l := m.lives[p.life.String()]; l != nil {
		l.over = true
	} else {
		m.lives[p.life.String()] = &modelLife{node: p.life.Node, number: p.life.Number, till: p.till, over: true}
	}
	m.processes = slices.DeleteFunc(m.processes, func(q *process) bool { return q == p })
}

// startToBind writes the index, and no more for now.
func (m *model) startToBind(t require.TestingT) {
	p := m.one()
	if p == nil {
		return
	}
	s := m.session()
	err := m.r.index(context.Background(), p.life, []Session{s})
	if p.till < m.now {
		require.ErrorIs(t, err, ErrLate)
		return
	}
	require.NoError(t, err)
	m.late = append(m.late, lateWrite{life: p.life, till: p.till, session: s})
}

// finishToBind writes an entry, at whatever time, whoever is left.
func (m *model) finishToBind(t require.TestingT) {
	if len(m.late) == 0 {
		return
	}
	i := m.draw(len(m.late))
	w := m.late[i]
	m.late = slices.Delete(m.late, i, i+1)
	err := m.r.enter(context.Background(), w.life, []Session{w.session}, make([]Bound, 1))
	if w.till < m.now {
		require.ErrorIs(t, err, ErrLate)
		return
	}
	require.NoError(t, err)
	m.enter(w.life, w.session)
}

func (m *model) advance(t require.TestingT) {
	d := testStep * time.Duration([]int{1, 4, 9, 30}[m.draw(4)])
	shift := m.r.advance(t, d)
	m.now += d
	for _, p := range m.processes {
		p.life.till -= shift
	}
	for i := range m.late {
		m.late[i].life.till -= shift
	}
}

func (m *model) sweep(t require.TestingT) {
	for name, l := range m.lives {
		if l.till >= m.now-testSweepAfter {
			continue
		}
		for _, fields := range m.entries {
			maps.DeleteFunc(fields, func(f string, _ Session) bool { return strings.HasPrefix(f, name+".") })
		}
		delete(m.lives, name)
	}
	for more := true; more; {
		var err error
		_, more, err = m.r.Sweep(context.Background(), 1+m.draw(3))
		require.NoError(t, err)
	}
	left, err := m.r.rdb.ZCard(context.Background(), m.r.keys.lives()).Result()
	require.NoError(t, err)
	assert.Len(t, m.lives, int(left))
}

func (m *model) flush(t require.TestingT) {
	if m.r.mini != nil {
		m.r.mini.FlushAll()
	} else {
		require.NoError(t, m.r.flushAll())
	}
	clear(m.lives)
	clear(m.entries)
	// What is held up would be entered without an index. It is lost for that: a
	// process enters everything again, and what it had in hand, too.
	m.late = nil
}

// check compares what is there, and what is found.
func (m *model) check(t require.TestingT) {
	ctx := context.Background()
	found := m.r.Lookup(ctx, modelUsers)
	for i, user := range modelUsers {
		require.NoError(t, found[i].Err)
		raw, err := m.r.rdb.HGetAll(ctx, m.r.keys.user(user)).Result()
		require.NoError(t, err)
		node, want := raw["node"], m.entries[user]
		delete(raw, "node")
		require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(raw)), "%v", m.log)
		live := make(map[string]Session)
		held := node == ""
		for f, s := range want {
			name, _, _ := strings.Cut(f, ".")
			at, _, _ := strings.Cut(f, "/")
			held = held || at == node
			if l := m.lives[name]; l != nil && !l.over && l.till > m.now {
				live[f] = s
			}
			indexed, err := m.r.rdb.SIsMember(ctx, m.r.keys.sessions(name), s.member()).Result()
			require.NoError(t, err)
			require.True(t, indexed, "an entry that no sweeping would find: %v", m.log)
			if m.lives[name] == nil {
				m.forgotten(t)
			}
		}
		require.True(t, held, "HGET node says %q, where the user never was: %v", node, m.log)
		require.Equal(t, len(want) == 0, node == "")
		got := make(map[string]Session)
		for _, e := range found[i].Entries {
			got[field(Life{Node: e.Node, Number: e.Life}.String(), e.Epoch)] = e.Session
		}
		require.Equal(t, live, got, "%v", m.log)
	}
}

// forgotten: only after a flush are there entries of lives that Redis does not
// know, and only while their process has not found out.
func (m *model) forgotten(t require.TestingT) {
	require.Contains(t, m.log, "flush", "an entry whose life is forgotten: %v", m.log)
}

// settle lets everybody die, and finds nothing left.
func (m *model) settle(t require.TestingT) {
	for _, p := range slices.Clone(m.processes) {
		if m.lives[p.life.String()] == nil {
			m.leave(t, p) // It finds out that it was forgotten.
		}
	}
	m.processes = nil
	const long = 60
	m.r.advance(t, long*testStep)
	m.now += long * testStep
	for i := range m.late {
		if m.r.mini == nil {
			m.late[i].life.till -= (long * testStep).Milliseconds()
		}
	}
	m.sweep(t)
	for len(m.late) > 0 {
		m.finishToBind(t)
	}
	m.check(t)
	for user, fields := range m.entries {
		require.Empty(t, fields, "left over for %q: %v", user, m.log)
	}
}
