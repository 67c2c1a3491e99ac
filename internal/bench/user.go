package bench

import (
	"context"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/client"
)

// user is one to whom messages go. Message n is for user n modulo their number,
// as that user's message n divided by it.
type user struct {
	run    *run
	number int
	name   string
	key    []byte // the name, as records have it
	lane   *lane
	later  bool // connects only after the load

	// devices does not change while the run lasts.
	devices []device

	mu     sync.Mutex
	opened time.Duration // of the first connection
	first  time.Duration // when the first message came
	last   time.Duration // when the last new one came
	back   time.Duration // when the user came back whom the churn had sent away; 0: never
	open   int           // connections
	got    bitmap        // at any device
	count  int64         // bits that are set
}

// device is one connection of a user, opened again when it ends.
type device struct {
	user   *user
	number int // over all users

	// Told by whoever connects, one call at a time.
	dialled   time.Duration
	connected bool
	churned   bool         // the connection that is to come makes up for one that was ended here
	answer    chan<- error // gets nil at the first connection, or why there is none

	hangUp atomic.Pointer[context.CancelFunc]
	got    bitmap // with several devices; guarded by the user's mu
}

// bitmap holds a bit a message.
type bitmap []uint64

const wordBits = 64

// set is false for a bit that was set before.
func (b *bitmap) set(k int64) bool {
	word, bit := int(k/wordBits), uint64(1)<<(k%wordBits)
	for word >= len(*b) {
		*b = append(*b, 0)
	}
	if (*b)[word]&bit != 0 {
		return false
	}
	(*b)[word] |= bit
	return true
}

func (b bitmap) has(k int64) bool {
	word := int(k / wordBits)
	return word < len(b) && b[word]&(1<<(k%wordBits)) != 0
}

func (d *device) onState(s client.State, err error) {
	r := d.user.run
	now := r.now()
	switch s {
	case client.Connecting:
		d.dialled = now
	case client.Open:
		d.connected = true
		r.connected.Add(1)
		r.connecting.record(d.number, now-d.dialled, 1)
		d.user.opens(now, d.churned)
		if d.churned {
			r.reconnects.Add(1)
			d.churned = false
		}
		if d.answer != nil {
			d.answer <- nil
			d.answer = nil
		}
	case client.Closed:
		r.noteClosed(err)
		if d.connected {
			r.closes.Add(1)
		}
		d.closed()
	}
}

// closed notes that there is no connection now.
func (d *device) closed() {
	if !d.connected {
		return
	}
	d.connected = false
	d.user.run.connected.Add(-1)
	d.user.mu.Lock()
	defer d.user.mu.Unlock()
	d.user.open--
}

// opens notes a connection; back says that it makes up for one that was ended
// here.
func (u *user) opens(now time.Duration, back bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.opened == 0 {
		u.opened = now
	}
	if back && u.open == 0 {
		u.back = now
	}
	u.open++
}

// live connects and stays until the run is over, but for the times it is sent
// away.
func (d *device) live() {
	r := d.user.run
	conn, err := r.NewDevice(DeviceParams{Number: d.number, User: d.user.name, OnState: d.onState})
	for err == nil {
		if err = d.stay(conn); err != nil || r.living.Err() != nil {
			break
		}
		// Sent away: it comes back.
		d.closed()
		d.churned = true
		if !r.sleep(r.living, r.Away) {
			break
		}
	}
	if err != nil {
		r.noteClosed(err)
	}
	if d.answer != nil {
		if err == nil {
			err = fmt.Errorf("user %s was not connected", d.user.name)
		}
		d.answer <- err
		d.answer = nil
	}
}

// stay is connected until the run is over or the device is sent away.
func (d *device) stay(conn Device) error {
	r := d.user.run
	if r.Churn == 0 {
		return conn.RunRaw(r.living, d.take)
	}
	ctx, hangUp := context.WithCancel(r.living)
	defer hangUp()
	d.hangUp.Store(&hangUp)
	return conn.RunRaw(ctx, d.take)
}

// sendAway ends the connections of a user; the devices connect again by
// themselves. It is false for a user who is away already.
func (u *user) sendAway() bool {
	u.mu.Lock()
	there := u.open > 0
	u.mu.Unlock()
	if !there {
		return false
	}
	for i := range u.devices {
		if hangUp := u.devices[i].hangUp.Load(); hangUp != nil {
			(*hangUp)()
		}
	}
	return true
}

// take counts what arrived. Nothing is wrong enough to end the connection for.
func (d *device) take(frame []byte) error {
	u := d.user
	r := u.run
	now := r.now()
	s, ok := findStamp(frame, r.mark)
	users := int64(r.Users)
	switch {
	case !ok || s.number >= r.generated.Load():
		r.strangers.Add(1)
		return nil
	case s.number%users != int64(u.number):
		r.misdirected.Add(1)
		return nil
	}
	a := d.note(s, now)
	if a.again {
		r.repeats.Add(1)
	} else if len(u.devices) > 1 {
		r.copies.Add(1)
	}
	if !a.first {
		return nil
	}
	r.received.Add(1)
	if u.later {
		return nil
	}
	r.settled(1)
	if r.measured(s.at) {
		r.arrived(u, s, now-s.at, a.away)
	}
	return nil
}

// arrival is what is known of a message that came.
type arrival struct {
	first bool // the user gets it for the first time
	again bool // this device had it before
	away  bool // its user had been sent away since it was due
}

func (d *device) note(s stamp, now time.Duration) arrival {
	u := d.user
	k := s.number / int64(u.run.Users)
	u.mu.Lock()
	defer u.mu.Unlock()
	first := u.got.set(k)
	again := !first
	if len(u.devices) > 1 {
		again = !d.got.set(k)
	}
	if first {
		if u.count == 0 {
			u.first = now
		}
		u.count++
		u.last = now
	}
	return arrival{first: first, again: again, away: s.at < u.back}
}

// missing is how many messages that Kafka has have not arrived at any device, out
// of those numbered below generated.
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
	for k := range sent {
		if _, unknown := unconfirmed[k*users+own]; unknown && !u.got.has(k) {
			missing--
		}
	}
	return missing
}

// everywhere is how many messages have arrived at every device of the user.
func (u *user) everywhere() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	count := int64(0)
	for word := range u.got {
		all := u.got[word]
		for i := range u.devices {
			if got := u.devices[i].got; word < len(got) {
				all &= got[word]
			} else {
				all = 0
			}
		}
		count += int64(bits.OnesCount64(all))
	}
	return count
}

// waited is how long after connecting the first and the last of count messages
// were there.
func (u *user) waited() (first, last time.Duration, count int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.first - u.opened, u.last - u.opened, u.count
}
