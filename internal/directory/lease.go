package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"
)

// renewals in the time of a lease: one may fail, and one more be slow.
const renewals = 3

// sampled is how many sessions each renewal looks for. Where a share p of the
// entries was lost, it goes unnoticed with a probability of (1-p)^sampled: with one
// of ten masters emptied, one in a thousand, until the next renewal. lookedBack
// bounds how many epochs are gone through for those that came last: many may be closed.
const (
	sampled    = 64
	lookedBack = 4096
)

// keepLease renews the lease until the context ends, or another process has the
// name.
func (k *Keeper) keepLease(ctx context.Context) error {
	every := k.p.Config.Lease / renewals
	for {
		began := time.Now()
		call, cancel := context.WithTimeout(ctx, every)
		err := k.renew(call)
		cancel()
		if errors.Is(err, ErrSuperseded) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k.report(err)
		pause := every
		if err != nil {
			const sooner = 4
			pause = every / sooner
		}
		if err := wait(ctx, max(pause-time.Since(began), 0)); err != nil {
			return err
		}
	}
}

// report logs when the directory is lost and found, not each time that it is not
// there.
func (k *Keeper) report(err error) {
	k.mu.Lock()
	before := k.state.Err
	k.state.Err = err
	life := k.life
	k.mu.Unlock()
	switch {
	case err != nil && (before == nil || errors.Is(before, errNoLease)):
		k.log.Warn("the directory cannot be reached; sessions stay open, and are entered when it is back: look at directory.redis", zap.Error(err))
	case err == nil && before != nil:
		k.log.Info("the node is in the directory", zap.Stringer("life", life))
	}
}

// renew renews the lease, or takes a new one, and looks whether Redis still has
// what was entered.
func (k *Keeper) renew(ctx context.Context) error {
	life, beginning := k.standing()
	var err error
	var lapsed bool
	if !beginning {
		life, lapsed, err = k.p.Lives.Hold(ctx, life)
	}
	switch {
	case beginning || errors.Is(err, ErrLost):
		if err != nil {
			k.lost()
			k.log.Warn("the directory was emptied, or the node was away for long; entering all sessions again", zap.Error(err))
		}
		if life, err = k.p.Lives.Begin(ctx, k.p.Node.ID, life); err != nil {
			return fmt.Errorf("taking a lease: %w", err)
		}
		// First: who finds a session asks where its node is.
		err = k.p.Registry.Register(ctx, k.node(life))
		k.begin(life)
		return err
	case err != nil:
		return err
	}
	k.held(life, lapsed)
	err = k.p.Registry.Renew(ctx, k.node(life))
	if errors.Is(err, ErrLost) {
		err = k.p.Registry.Register(ctx, k.node(life))
	}
	return errors.Join(err, k.sample(ctx, life))
}

// standing returns the life, and whether a new one has to be begun. Once Redis has
// forgotten the life it is not held any more, until a new one was heard of: when the
// answer to Begin is lost, Redis has a newer life of this node, which this process
// would take for another's, and leave.
func (k *Keeper) standing() (life Life, beginning bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.life, k.beginning || k.life.Number == 0
}

// lost notes that Redis has forgotten the life.
func (k *Keeper) lost() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.beginning = true
}

// begin goes on in a new life, in which nothing is entered yet.
func (k *Keeper) begin(life Life) {
	k.mu.Lock()
	k.beginning = false
	k.life, k.left = life, nil // What is left in the old life is swept.
	k.hurry()
	k.mu.Unlock()
	k.signal()
}

// held goes on in the same life.
func (k *Keeper) held(life Life, lapsed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.life = life
	if !lapsed {
		return
	}
	k.log.Warn("the lease had ended; entering all sessions again", zap.Stringer("life", life))
	k.again() // The entries may be there, and did not count.
}

// again enters all sessions again, and tells of each, whatever Redis says was there:
// it says so, too, of an entry that was lost and is there since a write whose answer
// did not come through, and nobody was told then. The lock is held.
func (k *Keeper) again() {
	for _, s := range k.sessions {
		s.life = 0
	}
	k.hurry()
	k.signal()
}

// pick chooses entered sessions to look for. A failover loses what was written last:
// half of them are of those that came last, the closer together the newer they are,
// and not only the very newest, as some may have come since it. The others are any.
// The lock is held.
func (k *Keeper) pick(life Life) []Session {
	some := make([]Session, 0, sampled)
	for back := uint64(0); back < min(k.epoch, lookedBack) && len(some) < sampled/2; back++ {
		if s := k.sessions[k.epoch-back]; s != nil && s.life == life.Number {
			some = append(some, s.Session)
			back += rand.Uint64N(1 + back/2) //nolint:gosec // G404: which ones is no secret.
		}
	}
	for _, s := range k.sessions {
		if len(some) == sampled {
			break
		}
		if s.life == life.Number {
			some = append(some, s.Session)
		}
	}
	return some
}

// sample looks for some of the entries that ought to be there: one master of a
// cluster may have been emptied, or a failover have lost what was written last.
func (k *Keeper) sample(ctx context.Context, life Life) error {
	k.mu.Lock()
	var some []Session
	if !k.urgent {
		some = k.pick(life)
	}
	k.mu.Unlock()
	if len(some) == 0 {
		return nil
	}
	missing, err := k.p.Census.Missing(ctx, life, some)
	if err != nil {
		return fmt.Errorf("looking for entries: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range missing {
		// A session that was closed meanwhile is missing rightly.
		if k.sessions[s.Epoch] != nil && k.life.Number == life.Number {
			k.log.Warn("entries are missing in the directory; entering all sessions again", zap.String("user", s.User))
			k.again()
			break
		}
	}
	return nil
}
