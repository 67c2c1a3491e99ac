package directory

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/directory/redistest"
)

func aSessionIsFoundWithAllThatIsKnownOfIt(t *testing.T, r *rig) {
	for i, user := range []string{"alice", "{", "}{", "{alice}", "a b", "\x00\xff\r\n", strings.Repeat("é", 128)} {
		life := r.begin(t, fmt.Sprintf("gw-%d", i))
		s := session(user, 7)
		s.Type, s.UserAgent = "order/ä b", "Mozilla/5.0 (X11; Linux x86_64) - x"
		r.bind(t, life, s)
		assert.Equal(t, []Entry{{Session: s, Node: life.Node, Life: life.Number}}, r.find(t, user))
	}
}

func anotherServiceFindsTheNodeOfAUserWithHGET(t *testing.T, r *rig) {
	a, b := r.begin(t, "gw-a"), r.begin(t, "gw-b")
	require.NoError(t, r.registry.Register(t.Context(), Node{ID: "gw-b", Life: b.Number, Addr: "192.0.2.2:8080"}))
	node := func() string { return r.rdb.HGet(t.Context(), "pushgate:user:alice", "node").Val() }
	r.bind(t, a, session("alice", 1))
	assert.Equal(t, "gw-a", node())
	r.bind(t, b, session("alice", 2))
	assert.Equal(t, "gw-b", node(), "the one that came last")
	assert.Equal(t, "192.0.2.2:8080", r.rdb.HGet(t.Context(), "pushgate:node:gw-b", "addr").Val())
	r.bind(t, a, session("alice", 1))
	assert.Equal(t, "gw-b", node(), "entering a session again changes nothing")
	_, err := r.Unbind(t.Context(), b, []Session{session("alice", 2)})
	require.NoError(t, err)
	assert.Equal(t, "gw-a", node(), "whoever is left")
	_, err = r.Unbind(t.Context(), a, []Session{session("alice", 1)})
	require.NoError(t, err)
	assert.Zero(t, r.rdb.Exists(t.Context(), "pushgate:user:alice").Val())
}

func closingAnOldConnectionLeavesTheNewerOne(t *testing.T, r *rig) {
	old := r.begin(t, "gw-1")
	r.bind(t, old, session("alice", 1), session("alice", 2))
	for range 2 {
		gone, err := r.Unbind(t.Context(), old, []Session{session("alice", 1)})
		require.NoError(t, err)
		assert.Equal(t, []bool{true}, gone)
		assert.Len(t, r.find(t, "alice"), 1)
	}
	// The node restarts, and counts its connections from one again.
	life := r.begin(t, "gw-1")
	r.bind(t, life, session("alice", 2))
	_, err := r.Unbind(t.Context(), old, []Session{session("alice", 2)})
	require.NoError(t, err)
	found := r.find(t, "alice")
	require.Len(t, found, 1)
	assert.Equal(t, life.Number, found[0].Life)
}

func aNodeThatStartsAgainInvalidatesWhatItEnteredBefore(t *testing.T, r *rig) {
	old := r.begin(t, "gw-1")
	other := r.begin(t, "gw-10") // Its name begins with the other's.
	r.bind(t, old, session("alice", 1))
	r.bind(t, other, session("bob", 1))
	life := r.begin(t, "gw-1")
	assert.Greater(t, life.Number, old.Number)
	assert.Empty(t, r.find(t, "alice"), "at once")
	assert.Len(t, r.find(t, "bob"), 1)
	_, _, err := r.Hold(t.Context(), old)
	require.ErrorIs(t, err, ErrSuperseded)
	_, _, err = r.Hold(t.Context(), life)
	require.NoError(t, err)
}

func aLapseWhoseAnswerWasLostIsToldOfAgain(t *testing.T, r *rig) {
	known := r.begin(t, "gw-1")
	known.till -= r.advance(t, 2*testLease)
	_, lapsed, err := r.Hold(t.Context(), known) // It is carried out, and not heard of.
	require.NoError(t, err)
	require.True(t, lapsed)
	held, lapsed, err := r.Hold(t.Context(), known)
	require.NoError(t, err)
	assert.True(t, lapsed)
	_, lapsed, err = r.Hold(t.Context(), held)
	require.NoError(t, err)
	assert.False(t, lapsed, "once it was heard of")
}

func aNodeOutlivesARedisThatComesBackWithAnOlderSnapshot(t *testing.T, r *rig) {
	old := r.begin(t, "gw-1")
	saved, err := r.rdb.ZRangeWithScores(t.Context(), r.keys.lives(), 0, -1).Result()
	require.NoError(t, err)
	life := r.begin(t, "gw-1") // The node was restarted since.
	require.NoError(t, r.rdb.Del(t.Context(), r.keys.lives()).Err())
	require.NoError(t, r.rdb.ZAdd(t.Context(), r.keys.lives(), saved...).Err())
	_, _, err = r.Hold(t.Context(), life)
	require.ErrorIs(t, err, ErrLost, "the process that is over is no other one")
	next, err := r.Begin(t.Context(), "gw-1", life)
	require.NoError(t, err)
	assert.Greater(t, next.Number, life.Number)
	for _, before := range []Life{old, life} {
		_, _, err = r.Hold(t.Context(), before)
		require.ErrorIs(t, err, ErrSuperseded)
	}
}

func manyUsersAreFoundInOneLookUp(t *testing.T, r *rig) {
	life := r.begin(t, "gw-1")
	const n = 2*batch + 10
	var sessions []Session
	var users []string
	for i := range n {
		users = append(users, fmt.Sprintf("user-%d", i))
		if i%3 != 0 {
			sessions = append(sessions, session(users[i], uint64(i)))
		}
	}
	r.bind(t, life, sessions...)
	for i, f := range r.Lookup(t.Context(), users) {
		require.NoError(t, f.Err)
		assert.Len(t, f.Entries, min(i%3, 1), users[i])
	}
	assert.Empty(t, r.Lookup(t.Context(), nil))
}

func sweepingLeavesNothingOfTheDeadAndEverythingOfTheLiving(t *testing.T, r *rig) {
	dead, live := r.begin(t, "gw-dead"), r.begin(t, "gw-live")
	const n = batch + 100
	var sessions []Session
	for i := range n {
		sessions = append(sessions, session(fmt.Sprintf("user-%d", i), uint64(i)))
	}
	r.bind(t, dead, sessions...)
	r.bind(t, live, sessions[:50]...)
	require.NoError(t, r.rdb.SAdd(t.Context(), r.keys.sessions(dead.String()), "written by nobody here").Err())
	assert.Zero(t, sweepAll(t, r))
	r.advance(t, testLease+time.Minute)
	live.till -= (testLease + time.Minute).Milliseconds()
	live, lapsed, err := r.Hold(t.Context(), live)
	require.NoError(t, err)
	assert.True(t, lapsed)
	assert.Zero(t, sweepAll(t, r), "not yet")
	assert.Len(t, r.find(t, "user-1"), 1)
	for range 3 {
		r.advance(t, testLease-time.Minute)
		live, _, err = r.Hold(t.Context(), live)
		require.NoError(t, err)
	}
	assert.Equal(t, n, sweepAll(t, r))
	for i, f := range r.Lookup(t.Context(), []string{"user-1", "user-100"}) {
		assert.Len(t, f.Entries, 1-i)
	}
	assert.Equal(t, "gw-live", r.rdb.HGet(t.Context(), r.keys.user("user-1"), "node").Val())
	for _, key := range []string{r.keys.user("user-100"), r.keys.sessions(dead.String()), r.keys.sweeper()} {
		assert.Zero(t, r.rdb.Exists(t.Context(), key).Val(), key)
	}
	lives, err := r.rdb.ZRange(t.Context(), r.keys.lives(), 0, -1).Result()
	require.NoError(t, err)
	assert.Equal(t, []string{live.String()}, lives)
}

func sweepAll(t *testing.T, r *rig) int {
	t.Helper()
	all := 0
	for more := true; more; {
		var n int
		var err error
		n, more, err = r.Sweep(t.Context(), 100)
		require.NoError(t, err)
		assert.LessOrEqual(t, n, 100+batch)
		all += n
	}
	return all
}

func TestOneSweepsAtATime(t *testing.T) {
	r := embeddedRig(t, testConfig())
	life := r.begin(t, "gw-1")
	r.bind(t, life, session("alice", 1))
	r.advance(t, 4*testLease)
	require.NoError(t, r.rdb.Set(t.Context(), r.keys.sweeper(), "another", time.Hour).Err())
	assert.Zero(t, sweepAll(t, r))
	assert.Equal(t, "another", r.rdb.Get(t.Context(), r.keys.sweeper()).Val(), "the lock is the other's")
	r.advance(t, 2*time.Hour)
	assert.Equal(t, 1, sweepAll(t, r))
}

func TestEntriesThatNobodyWritesAgainExpire(t *testing.T) {
	c := testConfig()
	c.Refresh = 4 * time.Hour
	r := embeddedRig(t, c)
	life := r.begin(t, "gw-1")
	r.bind(t, life, session("alice", 1))
	r.advance(t, 11*time.Hour)
	assert.EqualValues(t, 1, r.rdb.Exists(t.Context(), r.keys.user("alice")).Val())
	r.advance(t, 2*time.Hour)
	assert.Zero(t, r.rdb.Exists(t.Context(), r.keys.user("alice")).Val())
	assert.EqualValues(t, 1, r.rdb.Exists(t.Context(), r.keys.sessions(life.String())).Val(), "the index outlives them")
	r.advance(t, 12*time.Hour)
	assert.Zero(t, r.rdb.Exists(t.Context(), r.keys.sessions(life.String())).Val())
}

func whatCannotBeReadIsNotOffline(t *testing.T, r *rig) {
	life := r.begin(t, "gw-1")
	r.bind(t, life, session("alice", 1), session("bob", 2))
	require.NoError(t, r.rdb.Set(t.Context(), r.keys.user("carol"), "no hash", 0).Err())
	require.NoError(t, r.rdb.HSet(t.Context(), r.keys.user("bob"), "gw-9/no.number", "x", "gw-9/1.2", "neither").Err())
	found := r.Lookup(t.Context(), []string{"alice", "carol", "bob"})
	require.NoError(t, found[0].Err)
	require.ErrorContains(t, found[1].Err, `looking up user "carol"`)
	require.NoError(t, found[2].Err)
	assert.Len(t, found[0].Entries, 1)
	assert.Len(t, found[2].Entries, 1, "what others wrote is passed over")
	bound, err := r.Bind(t.Context(), life, []Session{session("carol", 3), session("dave", 4)})
	require.ErrorContains(t, err, `entering a session of user "carol"`)
	assert.Equal(t, []Bound{NotBound, BoundNew}, bound, "the others are entered")
	gone, err := r.Unbind(t.Context(), life, []Session{session("carol", 3), session("dave", 4)})
	require.Error(t, err)
	assert.Equal(t, []bool{false, true}, gone)
	require.NoError(t, r.rdb.Del(t.Context(), r.keys.lives()).Err())
	require.NoError(t, r.rdb.Set(t.Context(), r.keys.lives(), "no leases", 0).Err())
	found = r.Lookup(t.Context(), []string{"alice", "nobody"})
	require.ErrorContains(t, found[0].Err, "leases")
	require.NoError(t, found[1].Err, "without an entry no lease matters")
}

func TestWithoutRedisEveryCallFailsInTime(t *testing.T) {
	c := testConfig()
	c.Redis.Addr = []string{"127.0.0.1:1"}
	c.Redis.DialTimeout, c.Redis.Timeout = 100*time.Millisecond, 100*time.Millisecond
	for _, mode := range []string{ModeSingle, ModeCluster, ModeSentinel} {
		c.Redis.Mode, c.Redis.MasterName = mode, "main"
		t.Run(mode, func(t *testing.T) { failEveryCall(t, open(t, c)) })
	}
}

func failEveryCall(t *testing.T, r *rig) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	life := Life{Node: "gw-1", Number: 1}
	require.Error(t, r.Ping(ctx))
	_, err := r.Begin(ctx, "gw-1", Life{})
	require.Error(t, err)
	_, _, err = r.Hold(ctx, life)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrLost)
	require.Error(t, r.Release(ctx, life))
	bound, err := r.Bind(ctx, life, []Session{session("alice", 1)})
	require.Error(t, err)
	assert.Equal(t, []Bound{NotBound}, bound)
	gone, err := r.Unbind(ctx, life, []Session{session("alice", 1)})
	require.Error(t, err)
	assert.Equal(t, []bool{false}, gone)
	require.Error(t, r.Lookup(ctx, []string{"alice"})[0].Err)
	missing, err := r.Missing(ctx, life, []Session{session("alice", 1)})
	require.Error(t, err)
	assert.Empty(t, missing)
	_, _, err = r.Indexed(ctx, life, 0)
	require.Error(t, err)
	_, _, err = r.Sweep(ctx, 1)
	require.Error(t, err)
	_, err = r.registry.Resolve(ctx, "gw-1")
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrUnknownNode)
	_, err = r.registry.List(ctx)
	require.Error(t, err)
	require.NoError(t, ctx.Err())
}

func theCensusNamesWhatIsEnteredAndWhatIsMissing(t *testing.T, r *rig) {
	life := r.begin(t, "gw-1")
	const n = 1200
	var sessions []Session
	for i := range n {
		sessions = append(sessions, session(fmt.Sprintf("a user %d", i), uint64(i)))
	}
	r.bind(t, life, sessions...)
	seen := make(map[uint64]string)
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		some, next, err := r.Indexed(t.Context(), life, cursor)
		require.NoError(t, err)
		for _, s := range some {
			seen[s.Epoch] = s.User
		}
		cursor = next
	}
	assert.Len(t, seen, n)
	assert.Equal(t, "a user 17", seen[17])
	require.NoError(t, r.rdb.Del(t.Context(), r.keys.user("a user 3")).Err())
	missing, err := r.Missing(t.Context(), life, sessions[:10])
	require.NoError(t, err)
	assert.Equal(t, sessions[3:4], missing)
}

// A server that was restarted knows no scripts, and says so in the middle of a
// pipeline.
func scriptsAreTaughtToAServerThatWasRestarted(t *testing.T, r *rig) {
	life := r.begin(t, "gw-1")
	for i := range 2 {
		r.bind(t, life, session("alice", uint64(2*i)), session("bob", uint64(2*i+1)))
		assert.Len(t, r.find(t, "alice"), i+1)
		require.NoError(t, r.rdb.ScriptFlush(t.Context()).Err())
		assert.Len(t, r.find(t, "bob"), i+1)
	}
}

func TestAnACLUserNeedsOnlyWhatTheDocumentationNames(t *testing.T) {
	content, err := os.ReadFile("../../docs/directory.md")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(content), "ACL SETUSER pushgate on >SECRET ")
	line, rest, _ := strings.Cut(rest, "\n")
	rules := strings.Fields(line)
	if r, server, ok := realRig(t, testConfig()); ok {
		setACL(t, server.Client(t), rules)
		needNoMore(t, r.config)
	}
	_, rest, _ = strings.Cut(rest, "```\n+cluster")
	more, _, _ := strings.Cut(rest, "\n")
	rules = append(rules, strings.Fields("+cluster"+more)...)
	if r, ok := clusterRig(t, testConfig()); ok {
		require.NoError(t, r.rdb.(*redis.ClusterClient).ForEachMaster(t.Context(), func(_ context.Context, c *redis.Client) error {
			setACL(t, c, rules)
			return nil
		}))
		needNoMore(t, r.config)
	}
}

func TestAWrongPasswordIsSaidToBeTheReasonAndNobodyIsTakenForAbsent(t *testing.T) {
	r, server, ok := realRig(t, testConfig())
	if !ok {
		return
	}
	setACL(t, server.Client(t), []string{"~*", "+@all"})
	c := r.config
	c.Redis.Username, c.Redis.Password = "pushgate", "another one"
	denied := open(t, c)
	_, err := denied.Begin(t.Context(), "gw-1", Life{})
	require.ErrorContains(t, err, "WRONGPASS")
	require.ErrorContains(t, denied.Lookup(t.Context(), []string{"alice"})[0].Err, "WRONGPASS")
	_, err = denied.Missing(t.Context(), Life{Node: "gw-1", Number: 1}, []Session{session("alice", 1)})
	require.ErrorContains(t, err, "WRONGPASS")
}

func setACL(t *testing.T, c *redis.Client, rules []string) {
	t.Helper()
	args := []any{"ACL", "SETUSER", "pushgate", "on", ">a secret"}
	for _, r := range rules {
		args = append(args, r)
	}
	assert.NoError(t, c.Do(t.Context(), args...).Err())
}

// needNoMore does all there is to do as the ACL user.
func needNoMore(t *testing.T, c Config) {
	t.Helper()
	c.Redis.Username, c.Redis.Password = "pushgate", "a secret"
	r := open(t, c)
	require.NoError(t, r.Ping(t.Context()))
	life := r.begin(t, "gw-1")
	node := Node{ID: "gw-1", Life: life.Number, Addr: "192.0.2.1:1"}
	require.NoError(t, r.registry.Register(t.Context(), node))
	require.NoError(t, r.registry.Renew(t.Context(), node))
	r.bind(t, life, session("alice", 1), session("bob", 2))
	_, _, err := r.Hold(t.Context(), life)
	require.NoError(t, err)
	assert.Len(t, r.find(t, "alice"), 1)
	_, err = r.Unbind(t.Context(), life, []Session{session("alice", 1)})
	require.NoError(t, err)
	_, err = r.Missing(t.Context(), life, []Session{session("bob", 2)})
	require.NoError(t, err)
	_, _, err = r.Indexed(t.Context(), life, 0)
	require.NoError(t, err)
	for _, by := range []string{"gw-1", "192.0.2.1:1"} {
		_, err = r.registry.Resolve(t.Context(), by)
		require.NoError(t, err)
	}
	_, err = r.registry.List(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.Release(t.Context(), life))
	require.NoError(t, r.rdb.ZAdd(t.Context(), r.keys.lives(), redis.Z{Score: -1, Member: life.String()}).Err(), "it has long been over")
	assert.Equal(t, 1, sweepAll(t, r))
	require.NoError(t, r.registry.Deregister(t.Context(), node))
}

func TestASentinelLeadsToTheNewMaster(t *testing.T) {
	master, ok := redistest.Start(t)
	if !ok {
		return
	}
	master.Ready(t)
	host, port, _ := strings.Cut(master.Addr, ":")
	replica, _ := redistest.Start(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	replica.Ready(t)
	look := master.Client(t)
	redistest.Until(t, "the replica is there", func(ctx context.Context) error {
		info, err := look.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "state=online") {
			err = fmt.Errorf("%s", info)
		}
		return err
	})
	sentinel := redistest.Sentinel(t, master, "main")
	watched := sentinel.Client(t)
	redistest.Until(t, "the sentinel knows the replica", func(ctx context.Context) error {
		replicas, err := watched.Do(ctx, "SENTINEL", "REPLICAS", "main").Slice()
		if err == nil && len(replicas) == 0 {
			err = fmt.Errorf("it knows none")
		}
		return err
	})
	c := testConfig()
	c.Redis.Mode, c.Redis.MasterName, c.Redis.Addr = ModeSentinel, "main", []string{sentinel.Addr}
	c.Redis.DialTimeout, c.Redis.Timeout = time.Second, time.Second
	r := open(t, c)
	life := r.begin(t, "gw-1")
	r.bind(t, life, session("alice", 1))
	require.NoError(t, look.Wait(t.Context(), 1, 10*time.Second).Err())
	master.Kill()
	redistest.Until(t, "the replica has taken over", func(ctx context.Context) error {
		_, err := r.Bind(ctx, life, []Session{session("bob", 2)})
		return err
	})
	assert.Len(t, r.find(t, "alice"), 1)
	assert.Len(t, r.find(t, "bob"), 1)
}

func TestOwnersAreTheNodesOfAUserTheNewestFirst(t *testing.T) {
	entry := func(node string, life, epoch uint64, messageType string) Entry {
		s := session("alice", epoch)
		s.Type = messageType
		return Entry{Session: s, Node: node, Life: life}
	}
	owners := Owners([]Entry{
		entry("gw-a", 1, 1, "order"), entry("gw-b", 2, 4, "order"), entry("gw-a", 1, 3, "chat"), entry("gw-a", 1, 2, "order"),
	})
	assert.Equal(t, []Owner{
		{Node: "gw-b", Life: 2, Epoch: 4, Types: []string{"order"}},
		{Node: "gw-a", Life: 1, Epoch: 3, Types: []string{"chat", "order"}},
	}, owners)
	assert.True(t, owners[1].Takes("chat"))
	assert.False(t, owners[0].Takes("chat"))
	assert.True(t, Owners([]Entry{entry("gw-a", 1, 1, "all")})[0].Takes("chat"))
	assert.Empty(t, Owners(nil))
	assert.True(t, slices.IsSorted(owners[1].Types))
}
