package directory

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const crowd = 100_000

// benchRig is Redis; without one there is nothing to measure.
func benchRig(b *testing.B) (*rig, bool) {
	b.Helper()
	c := DefaultConfig()
	c.Redis.Timeout = 30 * time.Second
	r, _, ok := realRig(b, c)
	return r, ok
}

func crowdOf(n int) (sessions []Session, users []string) {
	for i := range n {
		s := session(fmt.Sprintf("user-%08d", i), uint64(i))
		s.UserAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
		sessions, users = append(sessions, s), append(users, s.User)
	}
	return sessions, users
}

func BenchmarkLookupOf500Users(b *testing.B) {
	r, ok := benchRig(b)
	if !ok {
		return
	}
	life := r.begin(b, "gw-1")
	sessions, users := crowdOf(10_000)
	r.bind(b, life, sessions...)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		from := i * batch % len(users)
		i++
		for _, f := range r.Lookup(b.Context(), users[from:from+batch]) {
			if f.Err != nil || len(f.Entries) != 1 {
				b.Fatal(f)
			}
		}
	}
	b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "users/s")
}

func BenchmarkBindOf1(b *testing.B)   { benchmarkBind(b, 1) }
func BenchmarkBindOf500(b *testing.B) { benchmarkBind(b, batch) }

func benchmarkBind(b *testing.B, n int) {
	b.Helper()
	r, ok := benchRig(b)
	if !ok {
		return
	}
	life := r.begin(b, "gw-1")
	sessions, _ := crowdOf(n)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		life, _, err = r.Hold(b.Context(), life)
		require.NoError(b, err)
		r.bind(b, life, sessions...)
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "sessions/s")
}

// BenchmarkRecoveryOf100000Sessions is how long it takes from when Redis was emptied
// until a keeper has entered all its sessions again: at the default rate, and as
// fast as it goes. It also says what a session takes of Redis's memory.
func BenchmarkRecoveryOf100000Sessions(b *testing.B) {
	for _, rate := range []int{DefaultConfig().RegisterRate, 1_000_000} {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			r, ok := benchRig(b)
			if !ok {
				return
			}
			empty := usedMemory(b, r)
			r.config.RegisterRate = rate
			k := keeperOn(b, r, "gw-1")
			defer k.end(b)
			sessions, _ := crowdOf(crowd)
			for _, s := range sessions {
				_, err := k.Connect(s)
				require.NoError(b, err)
			}
			untilAllAreBound(b, k)
			each := float64(usedMemory(b, r)-empty) / crowd
			for b.Loop() {
				require.NoError(b, r.flushAll())
				before := k.State().Life
				for k.State().Life.Number == before.Number {
					require.NoError(b, wait(b.Context(), time.Millisecond))
				}
				untilAllAreBound(b, k)
			}
			b.ReportMetric(each, "B/session")
		})
	}
}

func untilAllAreBound(b *testing.B, k *keeping) {
	b.Helper()
	for k.State().Bound < crowd {
		require.NoError(b, wait(b.Context(), 20*time.Millisecond))
	}
}

func usedMemory(b *testing.B, r *rig) int64 {
	b.Helper()
	info, err := r.rdb.Info(b.Context(), "memory").Result()
	require.NoError(b, err)
	_, rest, _ := strings.Cut(info, "used_memory:")
	number, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.ParseInt(number, 10, 64)
	require.NoError(b, err)
	return n
}
