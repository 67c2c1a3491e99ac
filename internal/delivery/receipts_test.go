package delivery_test

import (
	"fmt"
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
	for name, goOn := range map[string]func(r *rig, release chan struct{}){
		"when the broker is back": func(_ *rig, release chan struct{}) {
			close(release)
			pass(time.Minute)
		},
		"at the end": func(r *rig, _ chan struct{}) {
			r.log.set(func(l *fakeLog) { l.hold = nil }) // for what is written from now on
			r.stop()
		},
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
				r.log.set(func(l *fakeLog) { l.hold = release })
				list := make([]push.Record, 0, many)
				for i := range many {
					list = append(list, request("user", fmt.Sprint(i)))
				}
				r.log.add(0, list...)
				pass(time.Second)
				require.Len(t, u.messages, many)
				u.decide()
				goOn(r, release)

				listed, ended := map[int64]bool{}, map[int64]int{}
				said := r.log.receipts(0)[before:]
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
					for o := range part.ReadThrough {
						require.True(t, listed[o], "nothing has been said of %d, and all was said to have been read through %d", o, part.ReadThrough)
					}
				}
				require.Len(t, ended, many)
				for o, times := range ended {
					require.Equal(t, 1, times, "of offset %d", o)
				}
				sum := all(said)
				assert.Equal(t, int64(many), sum.ReadThrough)
				assert.Equal(t, int64(many), r.log.position(0))
				if name == "at the end" {
					assert.Equal(t, push.Goodbye, said[len(said)-1].Presence)
					for _, part := range said[:len(said)-1] {
						assert.Equal(t, push.Heartbeat, part.Presence, "goodbye is the last word")
					}
				}
			})
		})
	}
}
