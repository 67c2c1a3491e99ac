package directory

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// deafLives are those of a Redis whose answers are lost.
type deafLives struct {
	Lives
	away         atomic.Bool // nothing is carried out either
	begins, held atomic.Bool // the next one is carried out, and not heard of
}

func (d *deafLives) Begin(ctx context.Context, node string, prior Life) (Life, error) {
	life, err := d.Lives.Begin(ctx, node, prior)
	if d.begins.CompareAndSwap(true, false) {
		return Life{}, errAway
	}
	return life, err
}

func (d *deafLives) Hold(ctx context.Context, life Life) (Life, bool, error) {
	if d.away.Load() {
		return life, false, errAway
	}
	next, lapsed, err := d.Lives.Hold(ctx, life)
	if d.held.CompareAndSwap(true, false) {
		return life, false, errAway
	}
	return next, lapsed, err
}

func TestANodeThatDidNotHearOfItsNewLifeKeepsItsSessions(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig, lives *deafLives, k *keeping, epoch uint64) {
		lives.begins.Store(true)
		require.NoError(t, r.flushAll())
		eventually(t, "the session is told of again", func() bool { return k.toldOf(epoch) == 2 })
		assert.False(t, lives.begins.Load())
		assert.Len(t, r.find(t, "user-0"), 1)
	})
}

func TestSessionsAreToldOfAfterALapseWhoseAnswerWasLost(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig, lives *deafLives, k *keeping, epoch uint64) {
		lives.away.Store(true)
		if r.mini != nil {
			r.advance(t, 2*r.config.Lease)
		}
		eventually(t, "the user is taken for offline", func() bool { return len(r.find(t, "user-0")) == 0 })
		lives.held.Store(true)
		lives.away.Store(false)
		eventually(t, "the session is told of again", func() bool { return k.toldOf(epoch) == 2 })
		assert.False(t, lives.held.Load())
		assert.Len(t, r.find(t, "user-0"), 1)
	})
}

// onEach runs a keeper with one session, told of once, on each kind of server.
func onEach(t *testing.T, test func(t *testing.T, r *rig, lives *deafLives, k *keeping, epoch uint64)) {
	t.Helper()
	for name, start := range map[string]func(*testing.T) (*rig, bool){
		"embedded": func(t *testing.T) (*rig, bool) { return embeddedRig(t, quick()), true },
		"Redis":    func(t *testing.T) (*rig, bool) { r, _, ok := realRig(t, quick()); return r, ok },
	} {
		t.Run(name, func(t *testing.T) {
			r, ok := start(t)
			if !ok {
				return
			}
			lives := &deafLives{Lives: r.Redis}
			k := keeperWith(t, r, lives, "gw-1")
			defer k.end(t)
			epoch := k.connect(t, 1)[0]
			eventually(t, "the session is told of", func() bool { return k.toldOf(epoch) == 1 })
			test(t, r, lives, k, epoch)
		})
	}
}
