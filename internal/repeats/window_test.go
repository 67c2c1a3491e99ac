package repeats_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"pushgate/internal/push"
	"pushgate/internal/repeats"
)

func message(user string, n int) *push.Message {
	return &push.Message{
		ID: fmt.Sprint("0194f6a2-7a3c-7bfb-8f1f-3f1c2d", n), User: user, Type: push.DefaultType, FirstSeen: time.UnixMilli(int64(n)),
		Data: []byte(`"` + strings.Repeat("x", 254) + `"`),
	}
}

func TestTheLatestMessagesOfAUserAreRemembered(t *testing.T) {
	const ids = 7 // no power of two
	w := repeats.New(ids, 10)
	for n := range 50 {
		k := w.Key(message("42", n))
		assert.False(t, w.Has(k))
		w.Add(k)
		w.Add(k) // twice is once
		for old := range n + 1 {
			assert.Equal(t, old > n-ids, w.Has(w.Key(message("42", old))), "%d after %d", old, n)
		}
		assert.False(t, w.Has(w.Key(message("43", n))), "another user's")
	}
}

func TestThoseServedLeastRecentlyAreForgotten(t *testing.T) {
	for _, users := range []int{1, 2, 3, 10, 1000, 5000} {
		w := repeats.New(4, users)
		loyal := w.Key(message("loyal", 0))
		kept := func(n int) (sum int) {
			for i := range n {
				if w.Has(w.Key(message(fmt.Sprint(i), i))) {
					sum++
				}
			}
			return sum
		}
		for i := range 5 * users {
			w.Add(loyal)
			w.Add(w.Key(message(fmt.Sprint(i), i)))
		}
		n := kept(5 * users)
		assert.LessOrEqual(t, n, max(users, 2), "%d users", users)
		assert.GreaterOrEqual(t, n, users/3, "%d users", users)
		assert.True(t, w.Has(loyal) || users == 1, "who is served often stays")
	}
}

// A window against what it promises: it never claims what was not added, never
// holds more than it may, and holds at least what was added last.
func TestAWindowHoldsWhatItPromisesAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids, users := rapid.IntRange(1, 5).Draw(t, "ids"), rapid.IntRange(2, 12).Draw(t, "users")
		w := repeats.New(ids, users)
		added := map[string][]int{}                                                         // by user, the latest last
		var served []string                                                                 // the latest last
		last := func(list []int, n int) []int { return list[len(list)-min(n, len(list)):] } // or all
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				user := fmt.Sprint(rapid.IntRange(0, 15).Draw(t, "user"))
				n := rapid.IntRange(0, 9).Draw(t, "message")
				k := w.Key(message(user, n))
				known := w.Has(k)
				w.Add(k)
				if !known {
					added[user] = append(slices.DeleteFunc(added[user], func(o int) bool { return o == n }), n)
				}
				served = append(slices.DeleteFunc(served, func(u string) bool { return u == user }), user)
			},
			"": func(t *rapid.T) {
				remembered := 0
				for i, user := range served {
					has := 0
					for n := range 10 {
						if !w.Has(w.Key(message(user, n))) {
							continue
						}
						has++
						if !slices.Contains(last(added[user], ids), n) {
							t.Fatalf("%s has message %d, of %v", user, n, added[user])
						}
					}
					if has > 0 {
						remembered++
					}
					lately := len(served)-i <= users/2
					if lately && (has == 0 || !w.Has(w.Key(message(user, added[user][len(added[user])-1])))) {
						t.Fatalf("%s was served lately and is forgotten", user)
					}
				}
				if remembered > users {
					t.Fatalf("%d users are remembered, %d may be", remembered, users)
				}
			},
		})
	})
}

func TestAUserWhoIsKnownCostsNoAllocation(t *testing.T) {
	w := repeats.New(64, 100)
	const round = 100
	var list []*push.Message
	for n := range round {
		list = append(list, message("42", n))
		w.Add(w.Key(list[n]))
	}
	n := 0
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		k := w.Key(list[n%round])
		if w.Has(k) {
			panic("it was forgotten 36 messages ago")
		}
		w.Add(k)
		n++
	}))
}

func TestAWindowMayBeUsedByManyAtOnce(t *testing.T) {
	w := repeats.New(8, 200)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			user := fmt.Sprint("mine-", g)
			for n := range 2000 {
				k := w.Key(message(user, n))
				w.Add(k)
				w.Add(w.Key(message(fmt.Sprint("ours-", n%20), n)))
				assert.True(t, w.Has(k))
			}
		})
	}
	all.Wait()
}

// What doc comments and operating.md say of memory.
func TestWhatAUserCosts(t *testing.T) {
	const users = 1 << 12
	for _, row := range []struct{ ids, most int }{{1, 200}, {8, 300}, {64, 1250}} {
		before := heap()
		w := repeats.New(row.ids, 3*users) // all of them are kept
		for u := range users {
			for n := range row.ids {
				w.Add(w.Key(message(fmt.Sprint("user-", u), n)))
			}
		}
		cost := int(heap()-before) / users
		t.Logf("%d ids: %d bytes a user", row.ids, cost)
		assert.Less(t, cost, row.most)
		runtime.KeepAlive(w)
	}
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func BenchmarkKey(b *testing.B) {
	for _, size := range []int{0, 256, 4096, 65_536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := repeats.New(64, 100)
			m := message("42", 1)
			m.Data = make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				w.Key(m)
			}
		})
	}
}

// BenchmarkDelivered is what the window costs a message that is no repeat, of a
// user who has as many as are kept: key, look-up, and remembering.
func BenchmarkDelivered(b *testing.B) {
	const users = 1 << 14
	w := repeats.New(64, 2*users)
	names := make([]string, users)
	for u := range names {
		names[u] = fmt.Sprintf("user-%07d", u)
		for n := range 64 {
			w.Add(w.Key(message(names[u], n)))
		}
	}
	m := message("42", 1)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		m.User, m.FirstSeen = names[n%users], time.UnixMilli(int64(1000+n))
		k := w.Key(m)
		if !w.Has(k) {
			w.Add(k)
		}
	}
}
