package delivery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

// undecided has a session for everything, and reports when it is told to.
type undecided struct {
	messages []*push.Message
	reporter push.Reporter
}

func (u *undecided) take(m *push.Message, r push.Reporter) bool {
	u.messages, u.reporter = append(u.messages, m), r
	return true
}

// decide has half of the messages delivered, and half of them failed.
func (u *undecided) decide() {
	for i, m := range u.messages {
		u.reporter.Report(m, push.Held, push.ReasonNone)
		if i%2 == 0 {
			u.reporter.Report(m, push.Done, push.ReasonNone)
		} else {
			u.reporter.Report(m, push.Failed, push.AckTimeout)
		}
	}
}

func TestMoreThanFitsIntoOneReceiptIsSaidInSeveralThatAreEvidenceTogether(t *testing.T) {
	const many, mebibyte = 50_000, 1 << 20
	hold := func(r *rig, until chan struct{}) {
		r.log.set(func(l *fakeLog) { l.hold = until }) // for what is written from now on
	}
	for name, c := range map[string]struct {
		goOn func(r *rig, u *undecided, release chan struct{})
		last push.Presence
	}{
		"when the broker is back": {func(_ *rig, u *undecided, release chan struct{}) {
			u.decide()
			close(release)
			pass(time.Minute)
		}, push.Heartbeat},
		"at the end, of what could not be written": {func(r *rig, u *undecided, release chan struct{}) {
			close(release)
			pass(time.Second)
			hold(r, make(chan struct{}))
			u.decide()
			pass(time.Second)
			hold(r, nil)
			r.stop()
		}, push.Goodbye},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(t *testing.T, r *rig) {
				r.config.MaxUnsettled = 2 * many
				r.log.perRead = many
				r.start()
				var u undecided
				r.connect("user", u.take)
				pass(time.Second)
				before := len(r.log.receipts(0))

				release := make(chan struct{})
				hold(r, release)
				r.log.add(0, requestsOf("user", many)...)
				pass(time.Second)
				require.Equal(t, many, len(u.messages)) //nolint:testifylint // as below
				c.goOn(r, &u, release)

				listed, ended := map[int64]bool{}, map[int64]int{}
				said := r.log.receipts(0)[before:]
				through := int64(0)
				for _, part := range said {
					assert.Less(t, len(part.AppendBinary(nil)), mebibyte)
					assert.LessOrEqual(t, len(part.Delivered)+len(part.Held)+len(part.Queued)+len(part.Failed), 20_000)
					for _, offsets := range [][]int64{part.Queued, part.Held, part.Delivered} {
						for _, o := range offsets {
							listed[o] = true
						}
					}
					for _, o := range part.Delivered {
						ended[o]++
					}
					for _, f := range part.Failed {
						ended[f.Offset]++
					}
					for ; through < part.ReadThrough; through++ {
						require.True(t, listed[through], "nothing has been said of %d, and all was said to have been read through %d", through, part.ReadThrough)
					}
				}
				require.Equal(t, many, len(ended)) //nolint:testifylint // Len would print all of them
				for o, times := range ended {
					require.Equal(t, 1, times, "of offset %d", o)
				}
				sum := all(said)
				assert.Equal(t, int64(many), sum.ReadThrough)
				assert.Equal(t, int64(many), r.log.position(0))
				for i, part := range said {
					if i < len(said)-1 {
						assert.Equal(t, push.Heartbeat, part.Presence, "a goodbye is the last word")
					} else {
						assert.Equal(t, c.last, part.Presence)
					}
				}
			})
		})
	}
}
