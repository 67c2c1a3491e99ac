package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// renewals in the time of a lease: one may fail, and one more be slow.
const renewals = 3

// sampled is how many sessions each renewal looks for. Where a share p of the
// entries was lost, it goes unnoticed with a probability of (1-p)^sampled: with one
// of ten masters emptied, one in a thousand, until the next renewal.
const sampled = 64

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
	case err != nil && before == nil:
		k.log.Warn("the directory cannot be reached; sessions stay open, and are entered when it is back", zap.Error(err))
	case err == nil && before != nil:
		k.log.Info("the node is in the directory", zap.Stringer("life", life))
	}
}

// renew renews the lease, or takes a new one, and looks whether Redis still has
// what was entered.
func (k *Keeper) renew(ctx context.Context) error {
	life := k.current()
	var err error
	var lapsed bool
	if life.Number != 0 {
		life, lapsed, err = k.p.Lives.Hold(ctx, life)
	}
	switch {
	case life.Number == 0 || errors.Is(err, ErrLost):
		if err != nil {
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

// begin goes on in a new life, in which nothing is entered yet.
func (k *Keeper) begin(life Life) {
	k.mu.Lock()
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
	// The entries may be there and did not count: whoever is told of sessions that
	// can be found is told again.
	for _, s := range k.sessions {
		s.life = 0
	}
	k.hurry()
	k.signal()
}

// sample looks for some of the entries that ought to be there: one master of a
// cluster may have been emptied, or a failover have lost what was written last.
func (k *Keeper) sample(ctx context.Context, life Life) error {
	k.mu.Lock()
	some := make([]Session, 0, sampled)
	for _, s := range k.sessions {
		if len(some) == sampled || k.urgent {
			break
		}
		if s.life == life.Number {
			some = append(some, s.Session)
		}
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
			k.hurry()
			k.signal()
			break
		}
	}
	return nil
}
