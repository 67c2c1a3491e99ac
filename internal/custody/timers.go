package custody

import "container/heap"

const noTimer int32 = -1

// timers holds waits by when something is to be done about them: offered again,
// or expired. It implements heap.Interface for itself.
type timers struct {
	entries *slab[entry]
	heap    []ref
}

// add takes in a wait; one that is in already stays where it is.
func (t *timers) add(e *entry) {
	if e.timer == noTimer {
		heap.Push(t, e.self)
	}
}

func (t *timers) remove(e *entry) {
	if e.timer != noTimer {
		heap.Remove(t, int(e.timer))
	}
}

// due removes and returns a wait whose time has come, nil if there is none.
func (t *timers) due(now int64) *entry {
	if len(t.heap) == 0 || t.entries.at(t.heap[0]).wakeAt() > now {
		return nil
	}
	r, _ := heap.Pop(t).(ref)
	return t.entries.at(r)
}

// wakeAt is when something is to be done about a wait, in Unix milliseconds.
func (e *entry) wakeAt() int64 {
	if e.ready {
		return e.expires
	}
	return min(e.expires, e.due)
}

// Len is called by package heap only, as are those below.
func (t *timers) Len() int { return len(t.heap) }

// Less orders by time.
func (t *timers) Less(i, j int) bool {
	a, b := t.entries.at(t.heap[i]), t.entries.at(t.heap[j])
	if x, y := a.wakeAt(), b.wakeAt(); x != y {
		return x < y
	}
	return a.origin < b.origin
}

// Swap keeps each entry's place in the entry.
func (t *timers) Swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.entries.at(t.heap[i]).timer = int32(i) //nolint:gosec // as many as there are slots
	t.entries.at(t.heap[j]).timer = int32(j) //nolint:gosec // as above
}

// Push appends.
func (t *timers) Push(x any) {
	r, _ := x.(ref)
	t.entries.at(r).timer = int32(len(t.heap)) //nolint:gosec // as above
	t.heap = append(t.heap, r)
}

// Pop takes the last.
func (t *timers) Pop() any {
	last := len(t.heap) - 1
	r := t.heap[last]
	t.heap = t.heap[:last]
	t.entries.at(r).timer = noTimer
	return r
}
