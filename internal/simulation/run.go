package simulation

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
)

// Play plays the history of one seed. It returns the first promise that is
// broken, with the story of how; nil if all are kept. It takes about a
// millisecond.
func Play(seed uint64) *Failure {
	if f := play(newWorld(seed, false)); f == nil {
		return nil
	}
	w := newWorld(seed, true)
	f := play(w)
	if f == nil {
		return &Failure{Seed: seed, Promise: noMisstep, Message: everybody, Detail: "it does not fail a second time: something depends on more than the seed"}
	}
	user := ""
	if f.Message >= 0 {
		user = w.messages[f.Message].user
	}
	f.Story = w.story.about(f.Message, user)
	return f
}

// Tell plays the history of one seed and returns the whole of its story.
func Tell(seed uint64) (*Failure, []string) {
	w := newWorld(seed, true)
	f := play(w)
	return f, w.story.whole()
}

// Search plays histories on several workers.
type Search struct {
	// From is the first seed, Histories how many follow.
	From, Histories uint64
	Workers         int
}

// Run plays until a promise is broken, all histories are played, or ctx ends. It
// returns the failure of the lowest seed, nil if there is none, and how many
// histories were played.
func (s Search) Run(ctx context.Context) (*Failure, uint64) {
	var (
		next, played atomic.Uint64
		mu           sync.Mutex
		first        *Failure
		all          sync.WaitGroup
		end          atomic.Uint64
	)
	next.Store(s.From)
	end.Store(s.From + s.Histories)
	for range s.Workers {
		all.Go(func() {
			for seed := next.Add(1) - 1; seed < end.Load() && ctx.Err() == nil; seed = next.Add(1) - 1 {
				f := Play(seed)
				played.Add(1)
				if f == nil {
					continue
				}
				mu.Lock()
				if first == nil || f.Seed < first.Seed {
					first = f
					end.Store(f.Seed) // lower ones are being played
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return first, played.Load()
}

func play(w *World) (f *Failure) {
	defer func() {
		if r := recover(); r != nil {
			w.broken(noMisstep, everybody, "panic: %v\n%s", r, where(string(debug.Stack())))
			f = w.failure
		}
	}()
	w.begin()
	w.play()
	return w.failure
}

// where keeps of a stack what is ours.
func where(stack string) string {
	var ours []string
	for line := range strings.SplitSeq(stack, "\n") {
		if at := strings.Index(line, "internal/"); at >= 0 && strings.HasPrefix(line, "\t") {
			ours = append(ours, fmt.Sprint("    ", line[at:]))
		}
	}
	return strings.Join(ours, "\n")
}
