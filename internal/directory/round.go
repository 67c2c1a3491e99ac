package directory

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"
)

// What fails is tried again after between these, doubling.
const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 2 * time.Second
	doublings    = 6
)

// hurry starts a round of all sessions at the rate of the configuration. The lock
// is held.
func (k *Keeper) hurry() {
	k.urgent = true
	k.startRound(batch * time.Second / time.Duration(k.p.Config.RegisterRate))
}

// startRound enters all sessions again, the oldest first, a batch every step. The
// lock is held.
func (k *Keeper) startRound(step time.Duration) {
	now := time.Now()
	k.roundStep, k.roundDue = step, now
	k.routine = now.Add(k.p.Config.Refresh)
	from := len(k.round)
	for epoch, s := range k.sessions {
		if !s.inRound {
			s.inRound = true
			k.round = append(k.round, epoch)
		}
	}
	slices.Sort(k.round[from:])
}

// work is what is to be written next.
type work struct {
	life         Life
	left         []Session
	joined, some []Session // some: of the round
	pause        time.Duration
}

func (w work) empty() bool { return len(w.left)+len(w.joined)+len(w.some) == 0 }

// take takes the next piece of work, or says how long there is none; whatever is
// added meanwhile sends a signal.
func (k *Keeper) take() work {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	w := work{life: k.life, pause: k.p.Config.Refresh}
	if k.life.Number == 0 {
		k.joined = nil // The first round has them all.
		return w
	}
	if len(k.round) == 0 {
		k.urgent = false
		if !now.Before(k.routine) {
			batches := len(k.sessions)/batch + 1
			k.startRound(k.p.Config.Refresh / time.Duration(2*batches))
		}
	}
	if len(k.left) > 0 && !now.Before(k.leftDue) {
		n := min(batch, len(k.left))
		w.left, k.left = k.left[:n:n], k.left[n:]
	}
	w.joined, k.joined = k.some(k.joined, false)
	if len(k.round) > 0 && !now.Before(k.roundDue) {
		k.roundDue = now.Add(k.roundStep)
		w.some, k.round = k.some(k.round, true)
	}
	w.pause = min(w.pause, k.routine.Sub(now))
	if len(k.round) > 0 {
		w.pause = min(w.pause, k.roundDue.Sub(now))
	}
	if len(k.left) > 0 {
		w.pause = min(w.pause, k.leftDue.Sub(now))
	}
	return w
}

// some takes the sessions of a batch of epochs, those that are still open. The lock
// is held.
func (k *Keeper) some(epochs []uint64, round bool) (sessions []Session, rest []uint64) {
	for len(epochs) > 0 && len(sessions) < batch {
		s := k.sessions[epochs[0]]
		epochs = epochs[1:]
		if s == nil {
			continue
		}
		s.tried = k.life.Number
		if round {
			s.inRound = false
		}
		sessions = append(sessions, s.Session)
	}
	if len(epochs) == 0 {
		epochs = nil // Gives the memory back.
	}
	return sessions, epochs
}

// write is the only one that writes entries, so that of one session they are in
// order.
func (k *Keeper) write(ctx context.Context) error {
	for ctx.Err() == nil {
		w := k.take()
		if w.empty() {
			timer := time.NewTimer(max(w.pause, 0))
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-k.wake:
			}
			timer.Stop()
			continue
		}
		k.unbind(ctx, w.life, w.left)
		k.bind(ctx, w.life, w.joined)
		k.bind(ctx, w.life, w.some)
	}
	return context.Cause(ctx)
}

func (k *Keeper) unbind(ctx context.Context, life Life, sessions []Session) {
	if len(sessions) == 0 {
		return
	}
	gone, err := k.p.Directory.Unbind(ctx, life, sessions)
	if err == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log.Debug("removing entries failed; tried again", zap.Error(err))
	if k.life.Number != life.Number {
		return // They are swept with their life.
	}
	k.leftDue = time.Now().Add(k.backoff())
	for i, s := range sessions {
		if !gone[i] {
			k.leave(s)
		}
	}
}

func (k *Keeper) bind(ctx context.Context, life Life, sessions []Session) {
	if len(sessions) == 0 {
		return
	}
	bound, err := k.p.Directory.Bind(ctx, life, sessions)
	if fresh := k.entered(life, sessions, bound, err); len(fresh) > 0 {
		k.p.Bound(fresh)
	}
}

// entered notes what came of entering sessions, and returns those that can be found
// now and could not before. Those that failed join the round: it has the bounded
// rate at which everything is entered when Redis is back.
func (k *Keeper) entered(life Life, sessions []Session, bound []Bound, err error) (fresh []Session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.failures = 0
	} else if !errors.Is(err, context.Canceled) {
		k.log.Debug("entering sessions failed; tried again", zap.Error(err))
	}
	failed, done := false, false
	for i, s := range sessions {
		open := k.sessions[s.Epoch]
		switch {
		case open == nil || k.life.Number != life.Number:
			// Closed meanwhile: Disconnect has seen that it was tried. Or in another
			// life: the round of that one has it.
		case bound[i] == NotBound:
			failed = true
			// It may be written all the same: an entry that was lost is there again then,
			// and the next answer says that it was there. Whoever took the user for
			// offline meanwhile is to hear of it.
			open.life = 0
			if !open.inRound {
				open.inRound = true
				k.round = append(k.round, s.Epoch)
			}
		default:
			if open.life != life.Number || bound[i] == BoundNew {
				fresh = append(fresh, s)
			}
			open.life = life.Number
			done = true
		}
	}
	if failed && !k.urgent {
		k.urgent = true
		k.roundStep = batch * time.Second / time.Duration(k.p.Config.RegisterRate)
	}
	// One master of a cluster that is away does not slow down what the others take.
	if failed && !done {
		k.roundDue = time.Now().Add(max(k.roundStep, k.backoff()))
	}
	return fresh
}

// backoff returns how long to wait after one more failure. The lock is held.
func (k *Keeper) backoff() time.Duration {
	d := maxBackoff
	if k.failures < doublings {
		d = firstBackoff << k.failures
	}
	k.failures++
	return d/2 + rand.N(d/2) //nolint:gosec // G404: so that nodes do not come at once; no secret.
}

// sweepLimit is how many entries are removed before others get a turn.
const sweepLimit = 5000

// sweep removes what dead nodes have left, if no other node does.
func (k *Keeper) sweep(ctx context.Context) error {
	for {
		pause := k.p.Config.Lease
		removed, more, err := k.p.Lives.Sweep(ctx, sweepLimit)
		if err != nil && ctx.Err() == nil {
			k.log.Debug("sweeping failed; tried again", zap.Error(err))
		}
		if removed > 0 {
			k.log.Info("entries of nodes that are gone were removed", zap.Int("entries", removed))
		}
		if more {
			pause = sweepLimit * time.Second / time.Duration(k.p.Config.RegisterRate)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// count removes entries of this life whose sessions are closed: a write that was
// given up may have been carried out after all, after the entry was removed.
func (k *Keeper) count(ctx context.Context) error {
	var cursor uint64
	for {
		life := k.current()
		pause := k.p.Config.Refresh
		if life.Number != 0 {
			entered, next, err := k.p.Census.Indexed(ctx, life, cursor)
			if err == nil && next != 0 {
				pause = cmp.Or(batch*time.Second/time.Duration(k.p.Config.RegisterRate), time.Millisecond)
			}
			cursor = next
			k.removeClosed(life, entered)
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// removeClosed removes those that are not open. A session is open here before its
// index says so: what was read before from the index, and is not open, is closed.
func (k *Keeper) removeClosed(life Life, entered []Session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.life.Number != life.Number {
		return
	}
	for _, s := range entered {
		if k.sessions[s.Epoch] == nil {
			k.leave(s)
		}
	}
	if len(k.left) > 0 {
		k.signal()
	}
}
