package hub

import (
	"pushgate/internal/push"
	"pushgate/internal/session"
)

// single is a user with one session, several one with more. Each is the size of a
// pointer: as a push.Recipient it costs no allocation.
type (
	single  struct{ session *session.Session }
	several struct{ list *[]*session.Session }
)

// Deliver implements push.Recipient.
func (s single) Deliver(m *push.Message, r push.Reporter) bool {
	if !push.Takes(s.session.Type(), m.Type) {
		return false
	}
	frames := session.NewFrames(m)
	s.session.Deliver(m, &frames, r)
	return true
}

// Deliver implements push.Recipient: Done as soon as one session is done, Failed when
// all have failed.
func (s several) Deliver(m *push.Message, r push.Reporter) bool {
	last, takers := s.takers(m.Type)
	switch takers {
	case 0:
		return false
	case 1:
		return single{last}.Deliver(m, r)
	}
	all, frames := newChorus(m, r, takers), session.NewFrames(m)
	for _, one := range *s.list {
		if push.Takes(one.Type(), m.Type) {
			one.Deliver(m, &frames, all)
		}
	}
	return true
}

// takers counts the sessions that take a type, and returns the last of them.
func (s several) takers(kind string) (last *session.Session, count int) {
	for _, one := range *s.list {
		if push.Takes(one.Type(), kind) {
			last = one
			count++
		}
	}
	return last, count
}
