package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"pushgate/internal/client"
)

// device is a user's client that stays connected until it leaves.
type device struct {
	user  string
	leave context.CancelFunc
	ended chan struct{}

	mu     sync.Mutex
	opened []time.Time // when each of its connections was opened
	err    error       // why it gave up, or why it lost its last connection
	over   bool        // it will not connect again
}

// settling is how long a session that was opened gets until everybody concerned
// knows of it. A message sent at the very moment a user connects may be offered
// to the session twice or after later ones; the story is not about that.
const settling = 200 * time.Millisecond

// connect brings a user's client to the gateway. It returns when the connection
// stands. handle is called before a message is acknowledged.
func (s *stage) connect(ctx context.Context, user string, handle func(context.Context, client.Message) error) (*device, error) {
	token, err := s.Token(user)
	if err != nil {
		return nil, fmt.Errorf("a token for %s: %w", user, err)
	}
	d := &device{user: user, ended: make(chan struct{})}
	const soon = time.Second
	c, err := client.New(client.Params{
		URL: s.Gateway, User: user, Token: token, OnState: d.onState, MaxBackoff: soon,
	})
	if err != nil {
		return nil, err
	}
	// The client outlives the act it appears in.
	running, leave := context.WithCancel(context.WithoutCancel(ctx))
	d.leave = leave
	s.devices = append(s.devices, d)
	go func() {
		defer close(d.ended)
		d.gaveUp(c.Run(running, handle))
	}()
	err = eventually(ctx, "connecting "+user, func(context.Context) (bool, string, error) {
		return len(d.connections()) > 0, d.state(), d.failed()
	})
	return d, err
}

// take is the handler of a client that works as it should.
func (s *stage) take(_ context.Context, m client.Message) error {
	s.book.came(m.ID)
	return nil
}

func (d *device) onState(state client.State, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch state {
	case client.Open:
		d.opened = append(d.opened, time.Now())
	case client.Closed:
		d.err = err
	case client.Connecting:
	}
}

func (d *device) gaveUp(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if err == nil {
		err = errLeft
	}
	d.err = err
}

// connections returns when each connection was opened.
func (d *device) connections() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]time.Time(nil), d.opened...)
}

// failed returns why the client gave up, nil if it has not.
func (d *device) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return d.err
	}
	return nil
}

func (d *device) state() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err.Error()
	}
	return "no answer"
}

// trouble returns why a user's client gave up, nil if it has not or there is
// none.
func (s *stage) trouble(user string) error {
	for _, d := range s.devices {
		if d.user == user {
			if err := d.failed(); err != nil {
				return err
			}
		}
	}
	return nil
}
