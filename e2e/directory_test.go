package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/directory"
	"pushgate/internal/directory/redistest"
	"pushgate/internal/freeport"
)

// directoryOn is the configuration of a directory on one server.
func directoryOn(s *redistest.Server) directory.RedisConfig {
	c := directory.DefaultConfig().Redis
	c.Addr = []string{s.Addr}
	return c
}

// failover is a master, its replica, and the sentinel that lets it take over.
type failover struct{ master, replica, sentinel *redistest.Server }

func startFailover(t *testing.T) (f failover, ok bool) {
	t.Helper()
	if f.master, ok = redistest.Start(t); !ok {
		return f, false
	}
	f.master.Ready(t)
	host, port, _ := strings.Cut(f.master.Addr, ":")
	f.replica, _ = redistest.Start(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	f.replica.Ready(t)
	look := f.master.Client(t)
	redistest.Until(t, "the replica is there", func(ctx context.Context) error {
		info, err := look.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "state=online") {
			err = errors.New(info)
		}
		return err
	})
	f.sentinel = redistest.Sentinel(t, f.master, "main")
	watched := f.sentinel.Client(t)
	redistest.Until(t, "the sentinel knows the replica", func(ctx context.Context) error {
		replicas, err := watched.Do(ctx, "SENTINEL", "REPLICAS", "main").Slice()
		if err == nil && len(replicas) == 0 {
			err = errors.New("it knows none")
		}
		return err
	})
	return f, true
}

// outage is what becomes of the directory. Away says that nodes must notice.
type outage struct {
	name   string
	away   bool
	start  func(t *testing.T) (c directory.RedisConfig, strike, mend func(), ok bool)
	within time.Duration // from its end to the arrival of all that was sent before
}

// single starts a server of its own for an outage.
func single(t *testing.T, settings ...string) (s *redistest.Server, ok bool) {
	t.Helper()
	if s, ok = redistest.Start(t, settings...); ok {
		s.Ready(t)
	}
	return s, ok
}

func killed(settings ...string) func(t *testing.T) (directory.RedisConfig, func(), func(), bool) {
	return func(t *testing.T) (directory.RedisConfig, func(), func(), bool) {
		s, ok := single(t, settings...)
		if !ok {
			return directory.RedisConfig{}, nil, nil, false
		}
		return directoryOn(s), s.Kill, func() { s.Restart(t); s.Ready(t) }, true
	}
}

func outages() []outage {
	return []outage{
		{name: "killed, and back empty", away: true, within: 5 * time.Second, start: killed()},
		{
			name: "killed, and back with its data", away: true, within: 5 * time.Second,
			start: killed("--appendonly", "yes", "--appendfsync", "everysec"),
		},
		{name: "emptied", within: 10 * time.Second, start: func(t *testing.T) (directory.RedisConfig, func(), func(), bool) {
			s, ok := single(t)
			if !ok {
				return directory.RedisConfig{}, nil, nil, false
			}
			look := s.Client(t)
			empty := func() { require.NoError(t, look.FlushAll(t.Context()).Err()) }
			return directoryOn(s), empty, func() {}, true
		}},
		{name: "failed over by a sentinel", within: 10 * time.Second, start: func(t *testing.T) (directory.RedisConfig, func(), func(), bool) {
			f, ok := startFailover(t)
			if !ok {
				return directory.RedisConfig{}, nil, nil, false
			}
			c := directoryOn(f.sentinel)
			c.Mode, c.MasterName = directory.ModeSentinel, "main"
			return c, f.master.Kill, func() {}, true
		}},
	}
}

func TestWhateverBecomesOfTheDirectorySocketsStayOpenAndNothingIsLost(t *testing.T) {
	for _, o := range outages() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			c, strike, mend, ok := o.start(t)
			if !ok {
				return
			}
			d := deployOn(t, realBroker(t), c)
			lease := with("PUSHGATE_DIRECTORY_LEASE", "2s")
			a, b := d.node("a", lease), d.node("b", lease)
			load := startLoad(t, d, 300, a, b)
			load.connected()
			load.during(time.Second, func() {
				strike()
				if o.away {
					require.True(t, poll(10*time.Second, func() bool { return a.notReady("directory") && b.notReady("directory") }), "readiness says so")
				}
				// Somebody comes whom the directory does not know of yet.
				load.join("late", b)
				d.send(message{id: "to-late", user: "late"})
				wait(3 * time.Second) // longer than the lease
				mend()
				back := time.Now()
				before := load.soFar()
				assert.True(t, poll(o.within, func() bool { return load.missing(before) == 0 }),
					"%d messages sent before have not come %s after it was back", load.missing(before), o.within)
				t.Logf("all that was sent before had come %s after it was back", time.Since(back).Round(10*time.Millisecond))
				require.True(t, poll(5*time.Second, func() bool { return len(load.users["late"].missing([]string{"to-late"})) == 0 }), "who came meanwhile is found")
				a.ready(10 * time.Second)
				b.ready(10 * time.Second)
			})
			for user, r := range load.users {
				assert.Equal(t, 1, r.connections(), "%s lost its connection", user)
			}
			load.complete(20 * time.Second)
		})
	}
}

// entry writes an entry of a session into the directory by hand.
func (d *deployment) entry(user, life string, epoch int) {
	d.t.Helper()
	look := redistest.ClientOf(d.t, d.redis)
	node, _, _ := strings.Cut(life, "/")
	value := time.Now().UTC().Format("2006-01-02T15:04:05.000Z") + " all 127.0.0.1:1 nobody"
	require.NoError(d.t, look.HSet(d.t.Context(), d.prefix+"user:"+user, "node", node, fmt.Sprint(life, ".", epoch), value).Err())
}

func TestAStaleEntryNeverSwallowsAMessage(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		const backoff, longest = "PUSHGATE_RETRY_BACKOFF_INITIAL", "PUSHGATE_RETRY_BACKOFF_MAX"
		slowly := func(env map[string]string) { env[backoff], env[longest] = "500ms", "1s" } // outlasts the leases below
		a, b := d.node("a", slowly), d.node("b", slowly)
		look := redistest.ClientOf(t, d.redis)
		ctx := t.Context()
		lives, err := look.ZRange(ctx, d.prefix+"lives", 0, -1).Result()
		require.NoError(t, err)
		lifeOf := func(n *node) string {
			for _, l := range lives {
				if strings.HasPrefix(l, d.prefix+n.id+"/") {
					return l
				}
			}
			require.Failf(t, "no life", "of %s in %v", n.id, lives)
			return ""
		}
		// Lives of nodes that are gone: one whose lease has ended, and two whose lease
		// has not; one of these has an address still, where nobody listens.
		// Scores are in milliseconds, by a clock that is this machine's, too.
		leaseEnds := func(life string, in time.Duration) string {
			require.NoError(t, look.Do(ctx, "ZADD", d.prefix+"lives", time.Now().Add(in).UnixMilli(), life).Err())
			return life
		}
		stale := map[string]string{
			"a node that lives":              lifeOf(a),
			"an earlier life of it":          fmt.Sprint(d.prefix, "a/1"),
			"a node whose lease has ended":   leaseEnds("ended/1", -time.Second),
			"a node that has no address":     leaseEnds("nameless/1", 3*time.Second),
			"a node that does not listen":    leaseEnds("deaf/1", 3*time.Second),
			"a node the directory knows not": "never/1",
		}
		require.NoError(t, look.HSet(ctx, d.prefix+"node:deaf", "life", 1, "addr", freeport.Address(t), "capabilities", "gateway").Err())

		present, absent := map[string]*client{}, map[string]string{}
		n := 0
		for name, life := range stale {
			n++
			user := fmt.Sprint("present-", n)
			present[name], absent[name] = connect(t, b, user), fmt.Sprint("absent-", n)
			a.awaitFound(user, 1)
			d.entry(user, life, 1_000_000+n)
			d.entry(absent[name], life, 2_000_000+n)
			d.send(message{id: "p-" + user, user: user}, message{id: "a-" + absent[name], user: absent[name]})
			began := time.Now()
			present[name].waitFor(10*time.Second, "p-"+user)
			t.Logf("%s: who is elsewhere, too, got it after %s", name, time.Since(began).Round(time.Millisecond))
		}
		require.True(t, poll(20*time.Second, func() bool {
			return a.metric("pushgate_waiting")+b.metric("pushgate_waiting") == float64(len(stale)) &&
				a.metric("pushgate_custody_in_flight")+b.metric("pushgate_custody_in_flight") == 0
		}), "what is for those who are nowhere waits")
		for name, user := range absent {
			began := time.Now()
			connect(t, b, user).waitFor(20*time.Second, "a-"+user)
			t.Logf("%s: who connects got it after %s", name, time.Since(began).Round(time.Millisecond))
		}
		assert.Zero(t, a.metric("pushgate_dead_lettered_total")+b.metric("pushgate_dead_lettered_total"))
		d.audit(2 * len(stale))
	})
}
