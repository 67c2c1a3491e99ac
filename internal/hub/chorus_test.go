package hub

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"pushgate/internal/push"
)

// word is one report.
type word struct {
	s push.Status
	r push.Reason
}

// listener writes down what is reported.
type listener struct {
	mu    sync.Mutex
	heard []word
}

func (l *listener) Report(_ *push.Message, s push.Status, r push.Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, word{s, r})
}

var (
	held = word{s: push.Held}
	done = word{s: push.Done}
)

func failed(r push.Reason) word { return word{push.Failed, r} }

func TestSeveralSessionsMakeOneReport(t *testing.T) {
	for _, c := range []struct {
		name     string
		sessions int
		said     []word
		want     []word
	}{
		{"done as soon as one is", 3, []word{held, done, held}, []word{held, done}},
		{"done though others failed", 3, []word{failed(push.SlowConsumer), held, failed(push.WriteError), done}, []word{held, done}},
		{"others fail when it is done", 2, []word{done, failed(push.Offline)}, []word{done}},
		{"all are done", 2, []word{held, held, done, done}, []word{held, done}},
		{"not failed while one is left", 3, []word{failed(push.Offline), failed(push.AckTimeout)}, nil},
		{"failed when all have", 2, []word{held, failed(push.AckTimeout), failed(push.Offline)}, []word{held, failed(push.AckTimeout)}},
		{"offline only when all are", 2, []word{failed(push.Offline), failed(push.Offline)}, []word{failed(push.Offline)}},
		{"a late word after all failed", 2, []word{failed(push.AckTimeout), failed(push.Offline), done}, []word{failed(push.AckTimeout), done}},
		{"a late word before all failed", 2, []word{failed(push.AckTimeout), done, failed(push.Offline)}, []word{done}},
		{"held comes after another failed", 2, []word{failed(push.Offline), held, failed(push.AckTimeout)}, []word{held, failed(push.AckTimeout)}},
	} {
		var l listener
		all := newChorus(&push.Message{}, &l, c.sessions)
		for _, w := range c.said {
			all.Report(nil, w.s, w.r)
		}
		assert.Equal(t, c.want, l.heard, c.name)
	}
}

func TestTheReasonIsThatOfTheSessionThatCameFurthest(t *testing.T) {
	strongestLast := []push.Reason{push.Offline, push.WriteError, push.SlowConsumer, push.AckTimeout}
	for i, weak := range strongestLast {
		for _, strong := range strongestLast[i:] {
			for _, order := range [][]push.Reason{{weak, strong}, {strong, weak}} {
				var l listener
				all := newChorus(&push.Message{}, &l, 2)
				for _, r := range order {
					all.Report(nil, push.Failed, r)
				}
				assert.Equal(t, []word{failed(strong)}, l.heard, "%v", order)
			}
		}
	}
}

// part is what one session says, by the contract of push.Reporter.
func part(t *rapid.T) []word {
	var said []word
	if rapid.Bool().Draw(t, "held") {
		said = append(said, held)
	}
	if rapid.Bool().Draw(t, "done") {
		return append(said, done)
	}
	reasons := []push.Reason{push.Offline, push.WriteError, push.SlowConsumer, push.AckTimeout}
	said = append(said, failed(rapid.SampledFrom(reasons).Draw(t, "reason")))
	if rapid.Bool().Draw(t, "late") {
		said = append(said, done)
	}
	return said
}

func TestSessionsThatSpeakAtOnceKeepTheContract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.Custom(part), 1, 5).Draw(t, "parts")
		var l listener
		all := newChorus(&push.Message{}, &l, len(parts))
		var speaking sync.WaitGroup
		for _, said := range parts {
			speaking.Go(func() {
				for _, w := range said {
					all.Report(nil, w.s, w.r)
				}
			})
		}
		speaking.Wait()
		anyDone, strongest := false, push.ReasonNone
		for _, said := range parts {
			for _, w := range said {
				anyDone = anyDone || w == done
				if strength(w.r) > strength(strongest) {
					strongest = w.r
				}
			}
		}
		// Held may come first; then Done, or Failed and perhaps Done.
		heard := l.heard
		if len(heard) > 0 && heard[0] == held {
			heard = heard[1:]
		}
		if len(heard) > 0 && heard[0].s == push.Failed {
			assert.Equal(t, failed(strongest), heard[0])
			heard = heard[1:]
			if !anyDone {
				assert.Empty(t, heard)
				return
			}
		}
		assert.True(t, anyDone)
		assert.Equal(t, []word{done}, heard)
	})
}

func BenchmarkLookingUpNobody(b *testing.B) {
	h, _ := New(Params{})
	user := []byte("user-123456")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			h.Of(user)
		}
	})
}

// A fair spread keeps shards from contending.
func TestUsersAreSpreadOverTheShards(t *testing.T) {
	h, _ := New(Params{})
	used := map[*shard]int{}
	for range 100 * shardCount {
		used[h.shard(string(rune('a'+rand.IntN(26)))+string(rune(rand.IntN(1<<16))))]++
	}
	assert.Len(t, used, shardCount)
	for _, n := range used {
		assert.Less(t, n, 300)
	}
}
