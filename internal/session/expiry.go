package session

import (
	"container/heap"
	"sync"
	"time"
)

// expiries closes sessions whose token has expired. One timer serves all of them: a
// session has a place in a heap, and no timer of its own for the hours of its life.
type expiries struct {
	mu    sync.Mutex
	queue expiryQueue
	timer *time.Timer // nil while nothing expires
	due   int64       // when it goes off, Unix nanoseconds
}

func (e *expiries) add(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	heap.Push(&e.queue, s)
	e.arm()
}

// remove takes a session out; one that is not there any more is ignored.
func (e *expiries) remove(s *Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.expiryIndex < 0 {
		return
	}
	heap.Remove(&e.queue, int(s.expiryIndex))
	if len(e.queue) == 0 && e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
}

// arm makes sure that the timer goes off no later than the first session expires. The
// caller holds mu.
func (e *expiries) arm() {
	first := e.queue[0].expires
	switch {
	case e.timer == nil:
		e.timer = time.AfterFunc(time.Until(time.Unix(0, first)), e.expire)
	case first < e.due:
		e.timer.Reset(time.Until(time.Unix(0, first)))
	default:
		return
	}
	e.due = first
}

// expire closes those whose time has come.
func (e *expiries) expire() {
	now := time.Now().UnixNano()
	var expired []*Session
	e.mu.Lock()
	for len(e.queue) > 0 && e.queue[0].expires <= now {
		s, _ := heap.Pop(&e.queue).(*Session)
		expired = append(expired, s)
	}
	e.timer = nil
	if len(e.queue) > 0 {
		e.arm()
	}
	e.mu.Unlock()
	for _, s := range expired {
		s.Close(CloseTokenExpired)
	}
}

// expiryQueue implements heap.Interface: the first to expire is in front.
type expiryQueue []*Session

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, j int) bool { return q[i].expires < q[j].expires }

func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].expiryIndex, q[j].expiryIndex = int32(i), int32(j) //nolint:gosec // numbers of connections
}

func (q *expiryQueue) Push(x any) {
	s, _ := x.(*Session)
	s.expiryIndex = int32(len(*q)) //nolint:gosec // as above
	*q = append(*q, s)
}

func (q *expiryQueue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.expiryIndex = -1
	return s
}
