package directory

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"pushgate/internal/directory/redistest"
)

// Lengths of time in the tests. Time moves on by steps, in whole seconds, and no
// end falls on the end of a step.
const (
	testLease      = 60 * time.Minute
	testSweepAfter = 2 * testLease
	testStep       = 7 * time.Minute
)

// rig is a Redis of some kind.
type rig struct {
	*Redis
	registry *RedisRegistry
	config   Config
	mini     *miniredis.Miniredis // nil: a real one
	clock    time.Time            // of mini
}

// advance lets the time pass. Where the clock cannot be moved, everything else is
// moved the other way: the ends of leases in Redis here, and those in handles by
// the caller, with what shift returns.
func (r *rig) advance(t require.TestingT, d time.Duration) (shift int64) {
	if r.mini != nil {
		r.clock = r.clock.Add(d)
		r.mini.SetTime(r.clock)
		return 0
	}
	ctx := context.Background()
	lives, err := r.rdb.ZRangeWithScores(ctx, r.keys.lives(), 0, -1).Result()
	require.NoError(t, err)
	shift = d.Milliseconds()
	for _, l := range lives {
		score := l.Score - float64(shift)
		if l.Score < 0 {
			score = l.Score + float64(shift)
		}
		require.NoError(t, r.rdb.ZAdd(ctx, r.keys.lives(), redis.Z{Score: score, Member: l.Member}).Err())
	}
	return shift
}

func (r *rig) flushAll() error {
	cluster, ok := r.rdb.(*redis.ClusterClient)
	if !ok {
		return r.rdb.FlushAll(context.Background()).Err()
	}
	return cluster.ForEachMaster(context.Background(), func(ctx context.Context, c *redis.Client) error {
		return c.FlushAll(ctx).Err()
	})
}

func testConfig() Config {
	c := DefaultConfig()
	c.Lease, c.SweepAfter, c.Refresh = testLease, testSweepAfter, 1000*time.Hour
	c.Redis.Timeout = 30 * time.Second // The machine may be busy with other tests.
	return c
}

func open(t testing.TB, c Config) *rig {
	t.Helper()
	client, err := Open(c.Redis)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return &rig{Redis: NewRedis(client, c), registry: NewRedisRegistry(client, c), config: c}
}

// embeddedRig is the server of `pushgate dev`, with a clock that only tests move.
func embeddedRig(t testing.TB, c Config) *rig {
	t.Helper()
	mini := miniredis.RunT(t)
	mini.ClockTTL(true)
	clock := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	mini.SetTime(clock)
	c.Redis.Addr = []string{mini.Addr()}
	r := open(t, c)
	r.mini, r.clock = mini, clock
	return r
}

func realRig(t testing.TB, c Config) (*rig, *redistest.Server, bool) {
	t.Helper()
	server, ok := redistest.Start(t)
	if !ok {
		return nil, nil, false
	}
	server.Ready(t)
	c.Redis.Addr = []string{server.Addr}
	return open(t, c), server, true
}

func clusterRig(t testing.TB, c Config) (*rig, bool) {
	t.Helper()
	servers, ok := redistest.Cluster(t)
	if !ok {
		return nil, false
	}
	c.Redis.Mode, c.Redis.Addr = ModeCluster, []string{servers[0].Addr, servers[1].Addr}
	return open(t, c), true
}

func (r *rig) begin(t require.TestingT, node string) Life {
	life, err := r.Begin(context.Background(), node, Life{})
	require.NoError(t, err)
	return life
}

func (r *rig) bind(t require.TestingT, life Life, sessions ...Session) {
	_, err := r.Bind(context.Background(), life, sessions)
	require.NoError(t, err)
}

// find looks one user up.
func (r *rig) find(t require.TestingT, user string) []Entry {
	found := r.Lookup(context.Background(), []string{user})
	require.Len(t, found, 1)
	require.NoError(t, found[0].Err)
	return found[0].Entries
}

func session(user string, epoch uint64) Session {
	return Session{
		User: user, Epoch: epoch, Type: "all", Since: time.UnixMilli(1_800_000_000_000 + int64(epoch)).UTC(),
		ClientAddr: "192.0.2.7:51234", UserAgent: fmt.Sprintf("Example/%d (test)", epoch),
	}
}
