package directory

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/directory/redistest"
)

// keeping is a keeper that runs, and what it told of.
type keeping struct {
	*Keeper
	stop  context.CancelFunc
	ended chan error

	mu   sync.Mutex
	told map[uint64]int
}

func (k *keeping) bound(sessions []Session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range sessions {
		k.told[s.Epoch]++
	}
}

// toldOf is how often it was told of a session.
func (k *keeping) toldOf(epoch uint64) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.told[epoch]
}

func run(t testing.TB, p KeeperParams) *keeping {
	t.Helper()
	k := &keeping{told: make(map[uint64]int), ended: make(chan error, 1)}
	p.Bound = k.bound
	if p.Node.ID == "" {
		p.Node = Node{ID: "gw-1", Addr: "192.0.2.1:8080"}
	}
	var err error
	k.Keeper, err = NewKeeper(p)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	go func() { k.ended <- k.Run(ctx) }()
	return k
}

// end stops it, and expects it to end well.
func (k *keeping) end(t testing.TB) {
	t.Helper()
	k.stop()
	require.NoError(t, <-k.ended)
}

// inABubble runs a keeper on a directory in memory.
func inABubble(t *testing.T, test func(t *testing.T, f *fake, k *keeping)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		k := run(t, KeeperParams{Config: DefaultConfig(), Directory: f, Lives: f, Census: f, Registry: f})
		synctest.Wait()
		test(t, f, k)
		select {
		case err := <-k.ended:
			k.ended <- err
			k.stop()
		default:
			k.end(t)
		}
	})
}

// pass lets time pass in a bubble.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	require.NoError(t, wait(t.Context(), d))
	synctest.Wait()
}

func (k *keeping) connect(t testing.TB, n int) (epochs []uint64) {
	t.Helper()
	open := k.State().Sessions
	for i := range n {
		epoch, err := k.Connect(session(fmt.Sprintf("user-%d", open+i), 0))
		require.NoError(t, err)
		epochs = append(epochs, epoch)
	}
	return epochs
}

func TestSessionsAreEnteredAsTheyComeAndRemovedAsTheyGo(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		epochs := k.connect(t, 3)
		synctest.Wait()
		assert.Len(t, f.entered(), 3, "at once")
		assert.Equal(t, State{Life: f.held(), Sessions: 3, Bound: 3}, k.State())
		for range 2 {
			k.Disconnect(epochs[1])
			k.Disconnect(99)
			synctest.Wait()
			assert.Len(t, f.entered(), 2)
			assert.Equal(t, 1, k.toldOf(epochs[1]))
		}
		assert.Equal(t, f.held().Number, f.names()["gw-1"].Life)
		pass(t, time.Hour)
		assert.Equal(t, State{Life: f.held(), Sessions: 2, Bound: 2}, k.State())
		assert.Equal(t, 1, k.toldOf(epochs[0]), "entering it again is no news")
		k.end(t)
		assert.Empty(t, f.names(), "the life is over")
		k.ended <- nil
	})
}

func TestASessionThatCannotBeKeptIsRefused(t *testing.T) {
	inABubble(t, func(t *testing.T, _ *fake, k *keeping) {
		for _, s := range []Session{
			{Type: "all"},
			{User: string(make([]byte, 257)), Type: "all"},
			{User: "alice"},
			{User: "alice", Type: string(make([]byte, 129))},
		} {
			_, err := k.Connect(s)
			require.ErrorContains(t, err, "bytes, not")
		}
		assert.Zero(t, k.State().Sessions)
	})
}

func TestWhileRedisIsAwayNothingIsForgotten(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		before := k.connect(t, 2)
		synctest.Wait()
		f.set(func() { f.away = true })
		during := k.connect(t, 2)
		k.Disconnect(before[0])
		pass(t, 30*time.Second)
		state := k.State()
		require.ErrorIs(t, state.Err, errAway)
		assert.Equal(t, 3, state.Sessions)
		k.Disconnect(during[0])
		f.set(func() { f.away = false })
		pass(t, 3*time.Second)
		require.NoError(t, k.State().Err)
		assert.Len(t, f.entered(), 2)
		assert.Equal(t, 2, k.State().Bound)
		assert.EqualValues(t, 1, f.held().Number, "the life goes on")
		assert.Equal(t, 2, k.toldOf(before[1]), "its entry did not count for a while")
		assert.Equal(t, 1, k.toldOf(during[1]))
		assert.Zero(t, k.toldOf(during[0]))
	})
}

func TestWithoutRedisAtTheStartSessionsAreEnteredWhenItIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.away = true
		k := run(t, KeeperParams{Config: DefaultConfig(), Directory: f, Lives: f, Census: f, Registry: f})
		epochs := k.connect(t, 2)
		pass(t, time.Minute)
		k.Disconnect(epochs[0])
		f.set(func() { f.away = false })
		pass(t, time.Second)
		assert.Len(t, f.entered(), 1)
		assert.Equal(t, 1, k.toldOf(epochs[1]))
		k.end(t)
	})
}

func TestAnEmptiedRedisIsFilledAgainAtABoundedRate(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		const n = 20_000
		epochs := k.connect(t, n)
		synctest.Wait()
		require.Len(t, f.entered(), n)
		f.empty()
		f.set(func() { f.writes = nil })
		began := time.Now()
		newcomer := uint64(0)
		for k.State().Bound < n || newcomer == 0 {
			pass(t, 100*time.Millisecond)
			if newcomer == 0 && k.State().Life.Number == 2 {
				newcomer = k.connect(t, 1)[0]
				synctest.Wait()
				assert.Equal(t, 1, k.toldOf(newcomer), "who comes meanwhile does not queue")
			}
			require.Less(t, time.Since(began), time.Minute)
		}
		pass(t, 100*time.Millisecond)
		assert.Len(t, f.entered(), n+1)
		assert.Equal(t, 2, k.toldOf(epochs[0]))
		assert.Equal(t, 2, k.toldOf(epochs[n-1]))
		const rate = 10_000
		writes := f.written()
		for i := 0; i+rate < len(writes); i++ {
			require.GreaterOrEqual(t, writes[i+rate].Sub(writes[i]), 900*time.Millisecond)
		}
		assert.Less(t, time.Since(began), 5*time.Second)
	})
}

func TestEntriesThatAreLostUnnoticedComeBack(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		epochs := k.connect(t, 2000)
		synctest.Wait()
		lose := func(some int) {
			f.set(func() {
				for key := range f.entries {
					if some--; some < 0 {
						return
					}
					delete(f.entries, key)
				}
			})
		}
		lose(1000) // One master of two.
		pass(t, 3*time.Second)
		assert.Len(t, f.entered(), 2000, "a sample finds out")
		told := 0
		for _, e := range epochs {
			told += k.toldOf(e)
		}
		assert.Equal(t, 4000, told, "of all: which of them were lost is not known for sure")
		lose(1)
		pass(t, DefaultConfig().Refresh+time.Minute)
		assert.Len(t, f.entered(), 2000, "all are entered again from time to time")
	})
}

func TestWhatAFailoverLosesOfTheNewestIsMissedAtTheNextRenewal(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		const n, last = 20_000, 5
		epochs := k.connect(t, n)
		synctest.Wait()
		for _, e := range k.connect(t, 100) {
			k.Disconnect(e) // Who came later and has left hides nobody.
		}
		synctest.Wait()
		lose := func(epochs []uint64) {
			f.set(func() {
				for _, e := range epochs {
					delete(f.entries, field(f.life.String(), e))
				}
			})
		}
		lose(epochs[n-last:])
		pass(t, 6*time.Second)
		assert.Len(t, f.entered(), n)
		assert.Equal(t, 2, k.toldOf(epochs[n-1]))

		const since = 100
		k.connect(t, since)
		synctest.Wait()
		lose(epochs[n-since:])
		pass(t, 30*time.Second)
		assert.Len(t, f.entered(), n+since, "nor do those who came after it, for long")
	})
}

func TestALostEntryThatIsBackIsToldOfThoughTheFirstAnswerIsLost(t *testing.T) {
	// Whether the keeper notices, or its client repeats the write by itself.
	for name, repeated := range map[string]bool{"noticed": false, "repeated by the client": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				d := Directory(f)
				if repeated {
					d = repeating{f}
				}
				k := run(t, KeeperParams{Config: DefaultConfig(), Directory: d, Lives: f, Census: f, Registry: f})
				epoch := k.connect(t, 1)[0]
				synctest.Wait()
				require.Equal(t, 1, k.toldOf(epoch))
				f.set(func() { clear(f.entries); f.deaf = bindCall })
				pass(t, 20*time.Second)
				assert.Len(t, f.entered(), 1)
				assert.Equal(t, 2, k.toldOf(epoch))
				k.end(t)
			})
		})
	}
}

// repeating tries once more by itself.
type repeating struct{ *fake }

func (r repeating) Bind(ctx context.Context, life Life, sessions []Session) ([]Bound, error) {
	if bound, err := r.fake.Bind(ctx, life, sessions); err == nil {
		return bound, nil
	}
	return r.fake.Bind(ctx, life, sessions)
}

func TestALostEntryThatTheRefreshWritesIsToldOfThoughTheFirstAnswerIsLost(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		epoch := k.connect(t, 1)[0]
		synctest.Wait()
		c := DefaultConfig()
		pass(t, c.Refresh-time.Millisecond) // No renewal comes in between.
		f.set(func() { clear(f.entries); f.deaf = bindCall })
		pass(t, time.Second)
		assert.Len(t, f.entered(), 1)
		assert.Equal(t, 2, k.toldOf(epoch))
	})
}

func TestANodeThatDidNotHearOfItsNewLifeGoesOn(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		epoch := k.connect(t, 1)[0]
		synctest.Wait()
		f.empty()
		f.set(func() { f.deaf = beginCall })
		pass(t, 20*time.Second)
		require.NoError(t, k.Ready())
		assert.EqualValues(t, 3, k.State().Life.Number, "the second was not heard of")
		assert.Equal(t, 2, k.toldOf(epoch))
		f.set(func() { f.taken = true })
		pass(t, 3*time.Second)
		err := <-k.ended
		require.ErrorIs(t, err, ErrSuperseded, "another process is still heeded")
		k.ended <- err
	})
}

func TestWhatALateWriteBroughtBackIsRemoved(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		epochs := k.connect(t, 2)
		synctest.Wait()
		s := f.entered()[field(f.held().String(), epochs[0])]
		k.Disconnect(epochs[0])
		synctest.Wait()
		f.set(func() {
			key := field(f.life.String(), epochs[0])
			f.entries[key], f.index[key] = s, s
		})
		pass(t, 2*DefaultConfig().Refresh)
		assert.Len(t, f.entered(), 1)
	})
}

func TestOneMasterThatIsAwayHoldsUpOnlyItsOwnUsers(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		f.set(func() { f.refuse = func(s Session) bool { return s.Epoch%2 == 0 } })
		epochs := k.connect(t, 2000)
		pass(t, 3*time.Second)
		assert.Len(t, f.entered(), 1000)
		assert.Equal(t, 1, k.toldOf(epochs[0]))
		assert.Less(t, len(f.written()), 2000+3*10_000, "the rate is bounded")
		f.set(func() { f.refuse = nil })
		pass(t, 4*time.Second)
		assert.Len(t, f.entered(), 2000)
		assert.Equal(t, 1, k.toldOf(epochs[1]))
	})
}

func TestTheOlderOfTwoProcessesWithOneNameLeaves(t *testing.T) {
	inABubble(t, func(t *testing.T, f *fake, k *keeping) {
		f.set(func() { f.taken = true })
		pass(t, 3*time.Second)
		err := <-k.ended
		require.ErrorIs(t, err, ErrSuperseded)
		k.ended <- err
	})
}

func keeperOn(t testing.TB, r *rig, name string) *keeping {
	t.Helper()
	return keeperWith(t, r, r.Redis, name)
}

func keeperWith(t testing.TB, r *rig, lives Lives, name string) *keeping {
	t.Helper()
	log := zap.NewNop()
	if tt, ok := t.(*testing.T); ok {
		log = zaptest.NewLogger(tt, zaptest.Level(zap.WarnLevel))
	}
	return run(t, KeeperParams{
		Config: r.config, Directory: r.Redis, Lives: lives, Census: r.Redis, Registry: r.registry, Logger: log,
		Node: Node{ID: name, Addr: "192.0.2.1:8080", Capabilities: []string{"gateway"}},
	})
}

// quick is a configuration with a lease that tests can wait for.
func quick() Config {
	c := DefaultConfig()
	c.Lease, c.SweepAfter, c.Refresh = time.Second, 2*time.Second, time.Hour
	c.Redis.DialTimeout, c.Redis.Timeout = time.Second, time.Second
	return c
}

func TestOnRedisADeadNodesUsersAreOfflineWhenItsLeaseEndsAndThenSwept(t *testing.T) {
	r, _, ok := realRig(t, quick())
	if !ok {
		return
	}
	dead := r.begin(t, "gw-dead")
	r.bind(t, dead, session("alice", 1))
	living := keeperOn(t, r, "gw-1")
	defer living.end(t)
	epoch := living.connect(t, 1)[0]
	eventually(t, "the lease ends", func() bool { return len(r.find(t, "alice")) == 0 })
	eventually(t, "what it left is swept", func() bool {
		return r.rdb.Exists(t.Context(), r.keys.user("alice"), r.keys.sessions(dead.String())).Val() == 0
	})
	assert.Len(t, r.find(t, "user-0"), 1)
	assert.Equal(t, 1, living.toldOf(epoch))
}

func TestOnRedisThatRestartsEmptyAllSessionsComeBack(t *testing.T) {
	r, server, ok := realRig(t, quick())
	if !ok {
		return
	}
	k := keeperOn(t, r, "gw-1")
	defer k.end(t)
	epochs := k.connect(t, 1200)
	eventually(t, "all are entered", func() bool { return k.State().Bound == 1200 })
	server.Kill()
	k.Disconnect(epochs[0])
	late := k.connect(t, 1)[0]
	server.Restart(t)
	server.Ready(t)
	eventually(t, "all are entered again", func() bool { return k.toldOf(late) > 0 && k.State().Bound == 1200 && k.toldOf(epochs[1199]) == 2 })
	assert.Empty(t, r.find(t, "user-0"))
	assert.Len(t, r.find(t, "user-1199"), 2, "the one that came late has its number")
	n, err := r.registry.Resolve(t.Context(), "192.0.2.1:8080")
	require.NoError(t, err)
	assert.Equal(t, "gw-1", n.ID)
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	redistest.Until(t, what, func(context.Context) error {
		if !so() {
			return fmt.Errorf("it is not so")
		}
		return nil
	})
}
