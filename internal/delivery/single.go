package delivery

import (
	"context"
	"sync"
	"time"

	"pushgate/internal/push"
	"pushgate/internal/repeats"
)

// Push delivers one message of another service to its user here, and waits until it
// is delivered or has failed, or ctx ends: then it returns how far it has come, which
// is Held or nothing. Here is false when the user has no session that takes it. No
// log knows of the message: nobody offers it again.
//
// It is idempotent by id, as far back as the window of repeats reaches
// (delivery.repeat_window; 0 is not at all): the same message, in content too, to the
// same user, is written once, and delivered ever after. What is the same message is
// for its sender to say, with m.ID, and with m.Time where ids are used again: zero
// means that none was given. The time at which it came here says nothing: of the
// same message it is another one each time. m is not kept.
func (g *Gateway) Push(ctx context.Context, m *push.Message) (status push.Status, reason push.Reason, here bool) {
	s := &single{gateway: g, message: *m, ended: make(chan struct{})}
	if g.window != nil {
		s.key = g.keyOfPushed(m)
		if g.window.Has(s.key) {
			g.p.Metrics.repeats.Inc()
			g.p.Metrics.reported(&s.message, push.Done, push.ReasonNone, false)
			return push.Done, push.ReasonNone, true
		}
	}
	now := time.Now()
	s.message.FirstSeen, s.message.Attempt, s.message.EndsWait = now, 1, push.NoWait
	if m.Time.IsZero() {
		s.message.Time = now
	}
	s.message.Offset = notInLog
	to := g.p.Hub.Of([]byte(m.User))
	here = to != nil && to.Deliver(&s.message, g.follow(&s.message, push.Headers{}, s))
	s.message.Data = nil
	if !here {
		return 0, push.ReasonNone, false
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told, s.reason, true
}

// keyOfPushed is the key of a message that was in no log. The window tells messages
// with the same id apart by when they were first written; here that is the time that
// their sender gave them.
func (g *Gateway) keyOfPushed(m *push.Message) repeats.Key {
	c := *m
	if c.Time.IsZero() {
		c.Time = time.Unix(0, 0) // the same, and in the range of what keys are made of
	}
	c.FirstSeen = c.Time
	return g.window.Key(&c)
}

// single is one message that was pushed, on its way to the sessions. It implements
// push.Reporter for it.
type single struct {
	gateway *Gateway
	message push.Message
	key     repeats.Key

	mu     sync.Mutex
	told   push.Status
	reason push.Reason
	ended  chan struct{} // closed at Done or Failed
}

// Report implements push.Reporter.
func (s *single) Report(m *push.Message, status push.Status, reason push.Reason) {
	if status == push.Done {
		s.gateway.remember(s.key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.told
	s.told, s.reason = status, reason
	// How long it took is nothing that a log could tell.
	s.gateway.p.Metrics.reported(m, status, reason, false)
	if status != push.Held && before != push.Failed {
		close(s.ended)
	}
}
