package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/twmb/franz-go/pkg/kgo"
)

// nature is how a user behaves.
type nature uint8

const (
	// patient users stay for a minute or two, then move to another gateway. They
	// trust a connection that is silent.
	patient nature = iota
	// watchful users do the same, but leave a connection that is silent.
	watchful
	// restless users change gateways all the time.
	restless
	// leaving users are away as often as not.
	leaving
)

func natureOf(number int) nature {
	const in = 20
	switch n := number % in; {
	case n < 4:
		return restless
	case n < 6:
		return leaving
	case n < 13:
		return watchful
	default:
		return patient
	}
}

// way is how a user reaches the gateways.
type way struct {
	entrances []string
	client    *http.Client // nil: the ordinary one
}

// crowd is many users, and one producer that writes to all of them in turn.
type crowd struct {
	*tally
	d      *deployment
	people []*person
	// away is how long users who leave are away at most.
	away time.Duration
	// heavy users get messages of several kilobytes.
	heavy atomic.Pointer[map[int]bool]

	present        context.Context // ends with the crowd
	leave, silence func()
	users          sync.WaitGroup
	producer       sync.WaitGroup
}

// person is one user's device: it acknowledges what it gets, and connects again.
type person struct {
	*crowd
	number int
	user   string
	nature nature
	// wanted is since when it has wanted to be connected.
	wanted atomic.Int64

	mu   sync.Mutex
	way  way
	life int // one that a fault has cut short is over: the next has begun
	dark bool
	conn *websocket.Conn
}

// gather has users connect.
func gather(t *testing.T, d *deployment, users int, away time.Duration, entrances []string) *crowd {
	t.Helper()
	c := &crowd{tally: newTally(), d: d, away: away}
	c.present, c.leave = context.WithCancel(context.WithoutCancel(t.Context()))
	c.silence = func() {}
	for i := range users {
		p := &person{crowd: c, number: i, user: fmt.Sprint("user-", i), nature: natureOf(i), way: way{entrances: entrances}}
		c.people = append(c.people, p)
		c.users.Go(func() { p.live(c.present, 0) })
	}
	t.Cleanup(func() { c.hush(); c.disperse() })
	return c
}

// disperse ends all users' connections.
func (c *crowd) disperse() {
	c.leave()
	c.users.Wait()
}

// connected counts.
func (c *crowd) connected() int {
	n := 0
	for _, p := range c.people {
		p.mu.Lock()
		if p.conn != nil {
			n++
		}
		p.mu.Unlock()
	}
	return n
}

// produce writes so many messages a second, until hush.
func (c *crowd) produce(t *testing.T, rate int) {
	t.Helper()
	ctx, silence := context.WithCancel(context.WithoutCancel(t.Context()))
	c.silence = silence
	c.producer.Go(func() {
		const interval = 10 * time.Millisecond
		tick := time.NewTicker(interval)
		defer tick.Stop()
		owed := 0.0
		for last := time.Now(); ; {
			select {
			case <-ctx.Done():
				_ = c.d.producer.Flush(context.WithoutCancel(ctx))
				return
			case now := <-tick.C:
				// What could not be written while the client's buffer was full is
				// not made up for.
				owed = min(owed+now.Sub(last).Seconds()*float64(rate), float64(rate))
				last = now
			}
			for ; owed >= 1; owed-- {
				c.write(ctx)
			}
		}
	})
}

// write hands one message to the client library; it blocks while that has no room.
func (c *crowd) write(ctx context.Context) {
	user := int(c.handed.Load()) % len(c.people)
	number := c.add(user)
	e := c.entry(number)
	length := 100
	if heavy := c.heavy.Load(); heavy != nil && (*heavy)[user] {
		length = 4000
	}
	m := message{id: strconv.FormatInt(number, 10), user: c.people[user].user, data: `{"for":"` + string(bytes.Repeat([]byte("x"), length)) + `"}`}
	c.d.producer.Produce(context.WithoutCancel(ctx), c.d.record(m), func(_ *kgo.Record, err error) {
		if err != nil {
			c.refused.Add(1)
			e.accepted.Store(-1)
			return
		}
		e.accepted.Store(c.now())
	})
}

// hush ends the producer and waits for what it has under way.
func (c *crowd) hush() {
	c.silence()
	c.producer.Wait()
}

// live connects, again and again, to one gateway after another.
func (p *person) live(ctx context.Context, life int) {
	for at := p.number; ; at += 1 + rand.N(2) {
		way, alive := p.wayOf(life)
		if !alive || ctx.Err() != nil {
			return
		}
		gateway := at % len(way.entrances)
		conn, err := open(ctx, way, way.entrances[gateway], p.user)
		if err != nil {
			pause(ctx, 100*time.Millisecond+rand.N(400*time.Millisecond))
			continue
		}
		p.listen(ctx, conn, life, gateway)
		if p.nature == leaving && ctx.Err() == nil {
			pause(ctx, p.away/4+rand.N(3*p.away/4))
			p.wanted.Store(p.now())
		}
	}
}

// visit is how long the next connection is to last, and whether it ends with a
// goodbye.
func (p *person) visit() (stay time.Duration, polite bool) {
	switch p.nature {
	case restless:
		return time.Second + rand.N(4*time.Second), false
	case leaving:
		return 3*time.Second + rand.N(7*time.Second), rand.N(2) == 0
	default:
		return time.Minute + rand.N(time.Minute), true
	}
}

func (p *person) wayOf(life int) (way, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.way, p.life == life
}

func open(ctx context.Context, w way, entrance, user string) (*websocket.Conn, error) {
	const patience = 3 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, "ws://"+entrance+"/websocket/all/"+user,
		&websocket.DialOptions{Subprotocols: []string{"pushgate.v1"}, HTTPClient: w.client})
	if err != nil && res != nil && res.Body != nil {
		_ = res.Body.Close()
	}
	return conn, err
}

// listen takes and acknowledges until the connection ends.
func (p *person) listen(ctx context.Context, conn *websocket.Conn, life, gateway int) {
	stay, polite := p.visit()
	drop := func() { _ = conn.CloseNow() }
	end := context.AfterFunc(ctx, drop)
	defer func() { end(); drop() }()
	if !p.hold(conn, life) {
		return
	}
	defer p.release(conn)
	timer := time.AfterFunc(stay, func() {
		if polite && !p.inTheDark(life) {
			_ = conn.Close(websocket.StatusNormalClosure, "")
		}
		if !p.inTheDark(life) {
			drop()
		}
	})
	defer timer.Stop()
	const tooSilent = 8 * time.Second
	watch := time.AfterFunc(time.Hour, func() {
		if !p.inTheDark(life) {
			drop()
		}
	})
	defer watch.Stop()
	for {
		if p.nature == watchful {
			watch.Reset(tooSilent)
		}
		_, frame, err := conn.Read(context.WithoutCancel(ctx))
		if err != nil {
			return
		}
		id, attempt := partsOf(frame)
		number, err := strconv.ParseInt(string(id), 10, 64)
		if err != nil {
			number = -1
		}
		p.saw(number, seen{user: p.number, gateway: gateway, attempt: attempt, wanted: p.wanted.Load()})
		ack := append(append([]byte(`{"ack":["`), id...), `"]}`...)
		if conn.Write(context.WithoutCancel(ctx), websocket.MessageText, ack) != nil {
			return
		}
	}
}

// partsOf cuts id and attempt out of a frame; JSON is read properly by other tests.
func partsOf(frame []byte) (id []byte, attempt int) {
	_, rest, _ := bytes.Cut(frame, []byte(`"id":"`))
	id, _, _ = bytes.Cut(rest, []byte(`"`))
	_, rest, _ = bytes.Cut(frame, []byte(`"attempt":`))
	digits, _, _ := bytes.Cut(rest, []byte(`,`))
	attempt, _ = strconv.Atoi(string(digits))
	return id, attempt
}

func (p *person) hold(conn *websocket.Conn, life int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != life {
		return false
	}
	p.conn = conn
	return true
}

func (p *person) release(conn *websocket.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == conn {
		p.conn = nil
	}
}

// take changes how the person reaches gateways, and drops the connection.
func (p *person) take(w way) {
	p.mu.Lock()
	p.way = w
	conn := p.conn
	p.mu.Unlock()
	if conn != nil {
		_ = conn.CloseNow()
	}
}

// darken has the person keep the connection whatever happens: not even the end of
// it may be heard of.
func (p *person) darken() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dark = true
}

// inTheDark also tells of a life that is over.
func (p *person) inTheDark(life int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dark || p.life != life
}

// vanish leaves the connection behind, open and unread, and begins a new life by
// another way.
func (p *person) vanish(w way) {
	p.mu.Lock()
	p.way = w
	p.life++
	life := p.life
	p.conn, p.dark = nil, false
	p.mu.Unlock()
	p.wanted.Store(p.now())
	p.users.Go(func() { p.live(p.present, life) })
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// slowWay is a network that brings some hundred bytes a second, into a small
// window.
func slowWay(ctx context.Context, entrances []string) (w way, done func()) {
	transport := &http.Transport{DialContext: func(dialing context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096)
		}
		return &slowConn{Conn: conn, ctx: ctx}, nil
	}}
	return way{entrances: entrances, client: &http.Client{Transport: transport}}, transport.CloseIdleConnections
}

type slowConn struct {
	net.Conn
	ctx context.Context
}

func (c *slowConn) Read(b []byte) (int, error) {
	const size, every = 64, 100 * time.Millisecond
	pause(c.ctx, every)
	return c.Conn.Read(b[:min(size, len(b))])
}
