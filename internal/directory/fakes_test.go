package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

var errAway = errors.New("Redis is away")

// fake is a directory in memory, for time that is not ours.
type fake struct {
	mu      sync.Mutex
	away    bool
	refuse  func(Session) bool // entries that cannot be written
	life    Life
	till    time.Time
	swept   bool     // the life is forgotten
	taken   bool     // by another process
	deaf    fakeCall // whose next answer is lost; it is carried out
	entries map[string]Session
	index   map[string]Session // as entries, and what a late write leaves
	named   map[string]Node
	writes  []time.Time // when each entry was written
	sweeps  int
}

func newFake() *fake {
	return &fake{entries: make(map[string]Session), index: make(map[string]Session), named: make(map[string]Node)}
}

const fakeLease = 6 * time.Second

// fakeCall is one that a test meddles with.
type fakeCall string

const (
	beginCall fakeCall = "begin"
	bindCall  fakeCall = "bind"
)

// unheard says, once, that the answer to a call is lost. The lock is held.
func (f *fake) unheard(c fakeCall) bool {
	if f.deaf != c {
		return false
	}
	f.deaf = ""
	return true
}

func (f *fake) failing() error {
	if f.away {
		return errAway
	}
	return nil
}

func (f *fake) empty() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.entries)
	clear(f.index)
	clear(f.named)
	f.swept = true
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// entered returns the entries by field.
func (f *fake) entered() map[string]Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.entries)
}

func (f *fake) held() Life {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.life
}

func (f *fake) names() map[string]Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.named)
}

func (f *fake) written() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.writes)
}

func (f *fake) Begin(_ context.Context, node string, _ Life) (Life, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return Life{}, errAway
	}
	f.till, f.swept = time.Now().Add(fakeLease), false
	f.life = Life{Node: node, Number: f.life.Number + 1, till: f.till.UnixMilli()}
	if f.unheard(beginCall) {
		return Life{}, errAway
	}
	return f.life, nil
}

func (f *fake) Hold(_ context.Context, life Life) (Life, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.away:
		return life, false, errAway
	case f.taken || !f.swept && life.Number < f.life.Number:
		return life, false, fmt.Errorf("holding: %w", ErrSuperseded)
	case f.swept || life.Number != f.life.Number:
		return life, false, fmt.Errorf("holding: %w", ErrLost)
	}
	now := time.Now()
	lapsed := now.After(f.till) || now.UnixMilli() >= life.till
	f.till = now.Add(fakeLease)
	life.till = f.till.UnixMilli()
	f.life = life
	return life, lapsed, nil
}

func (f *fake) Release(_ context.Context, life Life) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if life.Number == f.life.Number {
		f.swept = true
	}
	return f.failing()
}

func (f *fake) Sweep(context.Context, int) (int, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweeps++
	return 1, f.sweeps < 3, f.failing()
}

func (f *fake) Bind(_ context.Context, life Life, sessions []Session) ([]Bound, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	bound := make([]Bound, len(sessions))
	switch {
	case f.away:
		return bound, errAway
	case f.swept || life.Number != f.life.Number || time.Now().After(f.till):
		return bound, ErrLate
	}
	var err error
	for i, s := range sessions {
		key := field(life.String(), s.Epoch)
		f.writes = append(f.writes, time.Now())
		if f.refuse != nil && f.refuse(s) {
			err = errAway
			continue
		}
		bound[i] = BoundNew
		if _, there := f.entries[key]; there {
			bound[i] = BoundAgain
		}
		f.entries[key], f.index[key] = s, s
	}
	if f.unheard(bindCall) {
		return make([]Bound, len(sessions)), errAway
	}
	return bound, err
}

func (f *fake) Unbind(_ context.Context, life Life, sessions []Session) ([]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gone := make([]bool, len(sessions))
	if f.away {
		return gone, errAway
	}
	for i, s := range sessions {
		gone[i] = true
		delete(f.entries, field(life.String(), s.Epoch))
		delete(f.index, field(life.String(), s.Epoch))
	}
	return gone, nil
}

func (f *fake) Lookup(context.Context, []string) []Found { return nil }

func (f *fake) Missing(_ context.Context, life Life, sessions []Session) (missing []Session, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range sessions {
		if _, there := f.entries[field(life.String(), s.Epoch)]; !there {
			missing = append(missing, s)
		}
	}
	return missing, f.failing()
}

func (f *fake) Indexed(context.Context, Life, uint64) (all []Session, _ uint64, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.index {
		all = append(all, s)
	}
	return all, 0, f.failing()
}

func (f *fake) Register(_ context.Context, n Node) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.away {
		f.named[n.ID] = n
	}
	return f.failing()
}

func (f *fake) Renew(_ context.Context, n Node) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.named[n.ID].Life != n.Life {
		return ErrLost
	}
	return f.failing()
}

func (f *fake) Deregister(_ context.Context, n Node) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.named, n.ID)
	return f.failing()
}

func (f *fake) Resolve(context.Context, string) (Node, error) { return Node{}, ErrUnknownNode }
func (f *fake) List(context.Context) ([]Node, error)          { return nil, nil }
