package hub

import (
	"sync"

	"pushgate/internal/push"
	"pushgate/internal/session"
)

// chorus makes one report of what several sessions say about one message. It is
// done when one is done, and failed when all have failed.
type chorus struct {
	verdict *session.Verdict

	mu     sync.Mutex
	left   int // sessions that have not failed
	reason push.Reason
}

func newChorus(m *push.Message, r push.Reporter, sessions int) *chorus {
	return &chorus{verdict: session.NewVerdict(m, r), left: sessions}
}

// Report implements push.Reporter for each of the sessions. A Done that comes
// late, from a session that had failed, is a Done like any other: the verdict
// knows whether the whole had failed before.
func (c *chorus) Report(_ *push.Message, s push.Status, reason push.Reason) {
	if s != push.Failed {
		c.verdict.Tell(s, push.ReasonNone)
		return
	}
	c.mu.Lock()
	c.left--
	if strength(reason) > strength(c.reason) {
		c.reason = reason
	}
	all, reason := c.left == 0, c.reason
	c.mu.Unlock()
	if all {
		c.verdict.Tell(push.Failed, reason)
	}
}

// strength orders failures by how far the message had come: the furthest says
// most about what is wrong. That the user was away counts only when it is true
// of every session.
func strength(r push.Reason) int {
	switch r {
	case push.Offline:
		return 1
	case push.WriteError:
		return 2
	case push.SlowConsumer:
		return 3
	case push.AckTimeout:
		return 4
	default:
		return 0
	}
}
