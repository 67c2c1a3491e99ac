package targeted

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/directory"
	"pushgate/internal/push"
)

// table is a router, and a directory and nodes that are played by hand.
type table struct {
	*testing.T
	*Router
	now     time.Time
	entries map[string][]directory.Entry // the directory
	there   map[string][]string          // node → users it holds
	next    int64
	epoch   uint64
}

func newTable(t *testing.T, change ...func(*Policy)) *table {
	p := Policy{Cache: time.Second, CallMessages: 100, CallBytes: 1 << 20, MaxQueued: 1000}
	for _, c := range change {
		c(&p)
	}
	return &table{
		T: t, Router: NewRouter(p), now: time.Unix(1_000_000, 0),
		entries: make(map[string][]directory.Entry), there: make(map[string][]string),
	}
}

// enter enters a session in the directory only.
func (x *table) enter(user, node, kind string) directory.Entry {
	x.epoch++
	e := directory.Entry{Session: directory.Session{User: user, Epoch: x.epoch, Type: kind, Since: x.now}, Node: node, Life: 1}
	x.entries[user] = append(x.entries[user], e)
	return e
}

// connect opens a session, and enters it.
func (x *table) connect(user, node string) {
	x.there[node] = append(x.there[node], user)
	x.enter(user, node, push.AllTypes)
}

func (x *table) add(user string) int64 {
	x.next++
	x.Add(x.now, push.Parcel{Offset: x.next, User: user, Type: "order", Size: 100})
	return x.next
}

// look answers the look-up that is to be made.
func (x *table) look() []string {
	users := x.Lookup()
	found := make([]directory.Found, len(users))
	for i, u := range users {
		found[i].Entries = slices.Clone(x.entries[u])
	}
	require.NoError(x, x.Found(x.now, found))
	return users
}

// answer answers a call as a node that holds the users who are there.
func (x *table) answer(c *Call) {
	r := &push.Receipt{Node: c.Node, Epoch: 7, Called: true}
	for _, p := range c.parcels {
		if slices.Contains(x.there[c.Node], p.User) {
			r.Delivered = append(r.Delivered, p.Offset)
		}
	}
	x.Answered(c, r)
}

// settle makes look-ups and calls until there are none, and returns the calls.
func (x *table) settle() (calls []*Call) {
	for range 100 {
		users := x.look()
		c := x.Call()
		if c == nil && users == nil {
			return calls
		}
		if c != nil {
			calls = append(calls, c)
			x.answer(c)
		}
	}
	x.Fatal("it never comes to rest")
	return nil
}

// learnt gathers the news.
type learnt struct {
	delivered, over []int64
	failed          []push.Failure
	present         []push.Binding
}

func (x *table) learnt() (l learnt) {
	for _, n := range x.News() {
		if n.Receipt != nil {
			l.delivered = append(l.delivered, n.Receipt.Delivered...)
		}
		l.failed = append(l.failed, n.Failed...)
		l.over = append(l.over, n.Over...)
		l.present = append(l.present, n.Present...)
	}
	return l
}

func TestAMessageGoesToTheNodeThatHoldsItsUser(t *testing.T) {
	x := newTable(t)
	x.connect("42", "A")
	x.connect("43", "B")
	o := x.add("42")
	calls := x.settle()
	require.Len(t, calls, 1)
	assert.Equal(t, "A", calls[0].Node)
	assert.Equal(t, learnt{delivered: []int64{o}, over: []int64{o}}, x.learnt())
	assert.True(t, x.Idle())
}

func TestNobodyIsThereIsKnownAfterOneLookUp(t *testing.T) {
	x := newTable(t)
	o := x.add("42")
	assert.Empty(t, x.settle())
	assert.Equal(t, learnt{over: []int64{o}}, x.learnt())
}

func TestTwoDevicesOnTwoNodesAreBothCalled(t *testing.T) {
	x := newTable(t)
	x.connect("42", "A")
	x.connect("42", "B")
	o := x.add("42")
	assert.Len(t, x.settle(), 2)
	l := x.learnt()
	assert.Equal(t, []int64{o, o}, l.delivered)
	assert.Equal(t, []int64{o}, l.over)
}

func TestAUserWhoMovedIsLookedUpOnceMore(t *testing.T) {
	x := newTable(t)
	x.enter("42", "A", push.AllTypes) // it has ended
	o := x.add("42")
	x.look()
	x.connect("42", "B")
	calls := x.settle()
	require.Len(t, calls, 2)
	assert.Equal(t, "B", calls[1].Node)
	assert.Equal(t, learnt{delivered: []int64{o}, over: []int64{o}}, x.learnt())
}

func TestAStaleEntryIsAskedOnceAndSwallowsNothing(t *testing.T) {
	x := newTable(t)
	x.enter("42", "A", push.AllTypes)
	first := x.add("42")
	assert.Len(t, x.settle(), 1, "the second look-up finds nobody else")
	second := x.add("42")
	assert.Empty(t, x.settle(), "its session is known to be gone")
	require.True(t, x.LookAgain("42"))
	assert.Empty(t, x.settle())
	l := x.learnt()
	assert.Equal(t, []int64{first, second}, l.over)
	assert.Empty(t, l.present, "it would be offered again and again")
	x.connect("42", "A")
	third := x.add("42")
	x.settle()
	assert.Equal(t, []int64{third}, x.learnt().delivered, "a new session of the same user at the same node")
}

func TestAStaleEntryBesideAGoodOneDoesNoHarm(t *testing.T) {
	x := newTable(t)
	x.enter("42", "A", push.AllTypes)
	x.connect("42", "B")
	o := x.add("42")
	x.settle()
	l := x.learnt()
	assert.Equal(t, []int64{o}, l.delivered)
	assert.Equal(t, []int64{o}, l.over)
}

func TestOnlySessionsThatTakeTheTypeAreCalled(t *testing.T) {
	x := newTable(t)
	x.enter("42", "A", "news")
	o := x.add("42")
	assert.Empty(t, x.settle())
	assert.Equal(t, []int64{o}, x.learnt().over)
}

func TestWhatALookUpFoundIsUsedAgainUntilTheUserConnects(t *testing.T) {
	x := newTable(t)
	x.connect("42", "A")
	x.add("42")
	x.settle()
	x.add("42")
	assert.Empty(t, x.Lookup(), "remembered")
	x.settle()
	x.Connected("42")
	x.add("42")
	assert.Equal(t, []string{"42"}, x.look())
	x.settle()
	x.now = x.now.Add(2 * time.Second)
	x.add("42")
	assert.Equal(t, []string{"42"}, x.look(), "for a short while only")
}

func TestALookUpThatBeganBeforeTheUserConnectedIsNotRemembered(t *testing.T) {
	x := newTable(t)
	x.connect("42", "A")
	x.add("42")
	users := x.Lookup()
	x.Connected("42") // at B
	require.NoError(t, x.Found(x.now, []directory.Found{{Entries: slices.Clone(x.entries[users[0]])}}))
	x.add("42")
	assert.Equal(t, []string{"42"}, x.Lookup())
}

func TestALookUpThatFindsNobodyCountsOnlyForWhatWasThereBefore(t *testing.T) {
	x := newTable(t)
	first := x.add("42")
	users := x.Lookup()
	second := x.add("42")
	x.connect("42", "A")
	require.NoError(t, x.Found(x.now, make([]directory.Found, len(users))))
	assert.Equal(t, []int64{first}, x.learnt().over)
	x.settle()
	assert.Equal(t, []int64{second}, x.learnt().delivered)
}

func TestAUserWhoCannotBeLookedUpIsAskedForAgain(t *testing.T) {
	x := newTable(t)
	x.connect("42", "A")
	o := x.add("42")
	x.add("43")
	users := x.Lookup()
	away := errors.New("away")
	require.ErrorIs(t, x.Found(x.now, []directory.Found{{Err: away}, {}}), away)
	assert.Equal(t, []string{"42", "43"}, users)
	assert.Equal(t, []int64{2}, x.learnt().over)
	x.Retry()
	x.settle()
	assert.Equal(t, []int64{o}, x.learnt().delivered)
}

func TestOfOneUserMessagesAreCalledWithInOrderAlsoWhenTheyAreLookedUpTwice(t *testing.T) {
	x := newTable(t, func(p *Policy) { p.CallMessages = 2 })
	stale := x.enter("42", "A", push.AllTypes)
	for range 5 {
		x.add("42")
	}
	x.look()
	call := x.Call() // with two of them, three are behind
	require.Len(t, call.Offsets, 2)
	x.connect("42", "B")
	x.entries["42"] = slices.DeleteFunc(x.entries["42"], func(e directory.Entry) bool { return e == stale })
	x.answer(call)
	x.add("42")
	var order []int64
	for _, c := range x.settle() {
		assert.Equal(t, "B", c.Node, "A is not called in vain with the others")
		order = append(order, c.Offsets...)
	}
	assert.Equal(t, []int64{1, 2, 3, 4, 5, 6}, order)
	assert.ElementsMatch(t, order, x.learnt().over)
	assert.True(t, x.Idle())
}

func TestToOneNodeOneCallIsUnderWay(t *testing.T) {
	x := newTable(t)
	x.connect("42", "A")
	x.add("42")
	x.look()
	first := x.Call()
	require.NotNil(t, first)
	x.add("42")
	x.look()
	assert.Nil(t, x.Call())
	x.answer(first)
	assert.NotNil(t, x.Call())
}

func TestASlowNodeHoldsUpOnlyItsOwnUsers(t *testing.T) {
	x := newTable(t, func(p *Policy) { p.MaxQueued = 3 })
	x.connect("slow", "A")
	x.connect("fast", "B")
	x.add("slow")
	x.look()
	stuck := x.Call()
	for range 5 {
		x.add("slow")
	}
	fast := x.add("fast")
	x.look()
	c := x.Call()
	require.Equal(t, "B", c.Node)
	x.answer(c)
	l := x.learnt()
	assert.Equal(t, []int64{fast}, l.delivered)
	assert.Len(t, l.failed, 2, "what is too much for a node fails, and waits")
	for _, f := range l.failed {
		assert.Equal(t, push.Unreachable, f.Reason)
	}
	x.answer(stuck)
	x.settle()
	assert.Len(t, x.learnt().delivered, 4)
	assert.True(t, x.Idle())
}

func TestABurstToANodeThatAnswersDoesNotFail(t *testing.T) {
	x := newTable(t, func(p *Policy) { p.MaxQueued, p.Standstill = 3, time.Second })
	x.connect("42", "A")
	for range 500 {
		x.add("42")
	}
	x.look()
	first := x.Call()
	for range 500 {
		x.add("42")
	}
	assert.Empty(t, x.learnt().failed)
	x.now = x.now.Add(2 * time.Second) // it has stood still since
	late := x.add("42")
	x.look()
	assert.Equal(t, []push.Failure{{Offset: late, Reason: push.Unreachable}}, x.learnt().failed)
	x.answer(first)
	x.settle()
	assert.Len(t, x.learnt().delivered, 1000)
}

func TestASessionThatIsClosingIsNotOfferedWhatWaitsAgainAndAgain(t *testing.T) {
	x := newTable(t)
	x.enter("42", "A", push.AllTypes)
	o := x.add("42")
	x.look()
	x.Answered(x.Call(), &push.Receipt{Node: "A", Epoch: 7, Failed: []push.Failure{{Offset: o, Reason: push.Offline}}})
	x.learnt()
	require.True(t, x.LookAgain("42"))
	x.settle()
	assert.Empty(t, x.learnt().present)
	x.connect("42", "A")
	require.True(t, x.LookAgain("42"))
	x.settle()
	assert.Len(t, x.learnt().present, 1, "a session that was opened since")
}

func TestUsersWhoCannotBeLookedUpHoldUpNobodyElse(t *testing.T) {
	x := newTable(t)
	x.connect("43", "A")
	x.add("42")
	x.Lookup()
	require.Error(t, x.Found(x.now, []directory.Found{{Err: errors.New("that master is away")}}))
	o := x.add("43")
	assert.Equal(t, []string{"43"}, x.look(), "the other waits for Retry")
	x.settle()
	assert.Equal(t, []int64{o}, x.learnt().delivered)
	x.Retry()
	assert.Equal(t, []string{"42"}, x.look())
}

func TestAFailedCallFailsItsMessagesAndForgetsTheLookUp(t *testing.T) {
	x := newTable(t)
	x.connect("42", "A")
	o := x.add("42")
	x.look()
	x.Failed(x.Call())
	l := x.learnt()
	assert.Equal(t, learnt{failed: []push.Failure{{Offset: o, Reason: push.Unreachable}}, over: []int64{o}}, l)
	x.add("42")
	assert.Equal(t, []string{"42"}, x.Lookup())
}

func TestANodeThatIsNoMoreIsLikeOneWithoutTheUser(t *testing.T) {
	x := newTable(t)
	x.enter("42", "A", push.AllTypes)
	o := x.add("42")
	x.look()
	x.NoSuchLife(x.Call())
	x.connect("42", "B")
	x.settle()
	assert.Equal(t, learnt{delivered: []int64{o}, over: []int64{o}}, x.learnt())
}

func TestNodesThatReadAreNotCalled(t *testing.T) {
	x := newTable(t)
	x.Readers([]string{"A"})
	x.connect("42", "A")
	o := x.add("42")
	assert.Empty(t, x.settle())
	assert.Equal(t, learnt{over: []int64{o}}, x.learnt(), "they read it themselves")
}

func TestAUserOfWhomAMessageWaitsIsFoundByLookingAgain(t *testing.T) {
	x := newTable(t)
	x.add("42")
	x.settle()
	x.learnt()
	x.enter("42", "A", "news")
	x.enter("42", "A", "news")
	require.True(t, x.LookAgain("42"))
	require.True(t, x.LookAgain("42"))
	x.settle()
	assert.Equal(t, []push.Binding{{User: "42", Type: "news"}}, x.learnt().present)
}

func TestLookingAgainMeansAfterwards(t *testing.T) {
	x := newTable(t)
	x.add("42")
	users := x.Lookup() // began before the message was stored
	require.True(t, x.LookAgain("42"))
	x.connect("42", "A")
	require.NoError(t, x.Found(x.now, make([]directory.Found, len(users))))
	assert.Empty(t, x.learnt().present)
	x.settle()
	assert.Len(t, x.learnt().present, 1)
}

func TestAnAnswerSpeaksOnlyOfWhatWasAsked(t *testing.T) {
	x := newTable(t)
	x.connect("42", "A")
	o := x.add("42")
	x.look()
	x.Answered(x.Call(), &push.Receipt{Node: "A", Delivered: []int64{o + 1}, Held: []int64{o}, Failed: []push.Failure{{Offset: 99}}})
	news := x.News()
	require.Len(t, news, 1)
	assert.Equal(t, &push.Receipt{Node: "A", Held: []int64{o}}, news[0].Receipt)
	assert.Equal(t, []int64{o}, news[0].Over)
}

func TestACallIsBoundedInMessagesAndBytes(t *testing.T) {
	x := newTable(t, func(p *Policy) { p.CallMessages, p.CallBytes = 3, 250 })
	x.connect("42", "A")
	for range 5 {
		x.add("42")
	}
	var sizes []int
	for _, c := range x.settle() {
		sizes = append(sizes, len(c.Offsets))
	}
	assert.Equal(t, []int{2, 2, 1}, sizes)
}
