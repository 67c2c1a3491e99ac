package bench

import (
	"fmt"
	"sync"
	"time"

	"pushgate/internal/client"
)

// user is one who connects. Message n is for user n modulo their number, as
// that user's message n divided by it.
type user struct {
	run    *run
	number int
	name   string
	key    []byte // the name, as records have it
	lane   *lane
	later  bool // connects only after the load

	// Told by the device, one call at a time.
	dialled   time.Duration
	connected bool
	answer    chan<- error // gets nil at the first connection, or why there is none

	mu     sync.Mutex
	opened time.Duration // of the first connection
	first  time.Duration // when the first message came
	last   time.Duration // when the last new one came
	got    []uint64      // a bit a message
	count  int64         // bits that are set
}

func (u *user) onState(s client.State, err error) {
	r := u.run
	now := r.now()
	switch s {
	case client.Connecting:
		u.dialled = now
	case client.Open:
		r.connected.Add(1)
		u.connected = true
		r.connecting.record(u.number, now-u.dialled, 1)
		if u.answer != nil {
			u.mu.Lock()
			u.opened = now
			u.mu.Unlock()
			u.answer <- nil
			u.answer = nil
		}
	case client.Closed:
		r.noteClosed(err)
		if u.connected {
			r.connected.Add(-1)
			r.closes.Add(1)
		}
		u.connected = false
	}
}

// live connects and stays until the run is over.
func (u *user) live() {
	r := u.run
	device, err := r.NewDevice(DeviceParams{Number: u.number, User: u.name, OnState: u.onState})
	if err == nil {
		err = device.RunRaw(r.living, u.take)
	}
	if err != nil {
		r.noteClosed(err)
	}
	if u.answer != nil {
		if err == nil {
			err = fmt.Errorf("user %s was not connected", u.name)
		}
		u.answer <- err
		u.answer = nil
	}
}

// take counts what arrived. Nothing is wrong enough to end the connection for.
func (u *user) take(frame []byte) error {
	r := u.run
	now := r.now()
	s, ok := findStamp(frame, r.mark)
	users := int64(r.Users)
	switch {
	case !ok || s.number >= r.generated.Load():
		r.strangers.Add(1)
	case s.number%users != int64(u.number):
		r.misdirected.Add(1)
	case !u.note(s.number/users, now):
		r.repeats.Add(1)
	default:
		r.received.Add(1)
		if !u.later {
			r.settled(1)
			if r.measured(s.at) {
				r.latency.record(u.number, now-s.at, 1)
			}
		}
	}
	return nil
}

// note is false for a message that came before.
func (u *user) note(k int64, now time.Duration) bool {
	const bits = 64
	word, bit := int(k/bits), uint64(1)<<(k%bits)
	u.mu.Lock()
	defer u.mu.Unlock()
	for word >= len(u.got) {
		u.got = append(u.got, 0)
	}
	if u.got[word]&bit != 0 {
		return false
	}
	u.got[word] |= bit
	if u.count == 0 {
		u.first = now
	}
	u.count++
	u.last = now
	return true
}

// missing is how many messages that Kafka has have not arrived, out of those
// numbered below generated.
func (u *user) missing(generated int64, unconfirmed map[int64]struct{}) int64 {
	users, own := int64(u.run.Users), int64(u.number)
	if generated <= own {
		return 0
	}
	sent := (generated - own + users - 1) / users
	u.mu.Lock()
	defer u.mu.Unlock()
	missing := sent - u.count
	if missing == 0 || len(unconfirmed) == 0 {
		return missing
	}
	const bits = 64
	for k := range sent {
		_, unknown := unconfirmed[k*users+own]
		arrived := int(k/bits) < len(u.got) && u.got[k/bits]&(1<<(k%bits)) != 0
		if unknown && !arrived {
			missing--
		}
	}
	return missing
}

// waited is how long after connecting the first and the last of count messages
// were there.
func (u *user) waited() (first, last time.Duration, count int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.first - u.opened, u.last - u.opened, u.count
}
