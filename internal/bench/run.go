package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"pushgate/internal/push"
)

// run is one run: connect, load, settle, connect the rest, report.
type run struct {
	Params
	name   string // tells this run from others
	mark   []byte
	mix    mix
	shared []push.Headers // by type
	began  time.Time
	users  []*user
	lanes  []*lane

	living  context.Context //nolint:containedctx // of the devices
	devices sync.WaitGroup
	phase   atomic.Pointer[string]

	// loadFrom is when the load began; written before it does. loadUntil is what
	// progress says of it, 0 while there is no load.
	loadFrom  time.Duration
	loadUntil atomic.Int64
	room      chan struct{}

	generated, produced, refused              atomic.Int64
	received, repeats, misdirected, strangers atomic.Int64
	inFlight, connected, closes               atomic.Int64
	sentAway, reconnects, copies              atomic.Int64

	connecting, latency, returning, written, pacing *recorder
	byType                                          []*recorder // empty when no types are asked for

	mu          sync.Mutex
	unconfirmed map[int64]struct{} // numbers
	produceErr  error
	closedErr   error
}

// source is the CloudEvents source of the messages.
const source = "/pushgate/bench"

// Run loads the deployment and reports. It blocks until all it started has ended.
// When ctx ends during the load, the load ends early and what is under way is
// still waited for; the error is for what kept it from running at all.
func Run(ctx context.Context, p Params) (*Report, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	r := newRun(p)
	living, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		hangUp()
		r.devices.Wait()
	}()
	r.living = living
	if p.OnProgress != nil {
		stop := r.tell()
		defer stop()
	}
	return r.run(ctx)
}

func newRun(p Params) *run {
	id := push.NewID(time.Now())
	name := id[len(id)-runDigits:]
	r := &run{
		Params: p, name: name, mark: marker(name), mix: newMix(p.Types), began: time.Now(), room: make(chan struct{}, 1),
		connecting: newRecorder(), latency: newRecorder(), returning: newRecorder(), written: newRecorder(), pacing: newRecorder(),
		unconfirmed: make(map[int64]struct{}),
	}
	r.enter("")
	for _, s := range p.Types {
		r.shared = append(r.shared, headersOf(s.Type))
		r.byType = append(r.byType, newRecorder())
	}
	if len(p.Types) == 0 {
		r.shared = append(r.shared, headersOf(defaultType))
	}
	for partition := range p.Partitions {
		r.lanes = append(r.lanes, newLane(r, partition))
	}
	online := p.Users - int(float64(p.Users)*p.OfflineShare)
	for i := range p.Users {
		name := "bench-" + r.name + "-" + strconv.Itoa(i)
		u := &user{
			run: r, number: i, name: name, key: []byte(name),
			lane: r.lanes[push.Home(name, p.Partitions)], later: i >= online,
			devices: make([]device, p.Devices),
		}
		for k := range u.devices {
			u.devices[k].user, u.devices[k].number = u, i*p.Devices+k
		}
		r.users = append(r.users, u)
	}
	return r
}

// headersOf are those that all messages of a type share.
func headersOf(businessType string) push.Headers {
	var h push.Headers
	h.AddText(push.HeaderSpecVersion, "1.0")
	h.AddText(push.HeaderSource, source)
	h.AddText(push.HeaderType, businessType)
	h.AddText(push.HeaderContentType, "application/json")
	return h
}

func (r *run) now() time.Duration { return time.Since(r.began) }

func (r *run) enter(phase string) { r.phase.Store(&phase) }

// tell tells OnProgress until stop is called, and once more then.
func (r *run) tell() (stop func()) {
	const interval = 500 * time.Millisecond
	tick := time.NewTicker(interval)
	done, ended := make(chan struct{}), make(chan struct{})
	once := func() {
		now := r.now()
		p := Progress{
			Phase: *r.phase.Load(), Elapsed: now, Connected: r.connected.Load(), Produced: r.produced.Load(),
			Delivered: r.received.Load(),
		}
		if until := time.Duration(r.loadUntil.Load()); until > now {
			p.Left = until - now
		}
		r.OnProgress(p)
	}
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				r.enter(Done)
				once()
				return
			case <-tick.C:
				once()
			}
		}
	}()
	return func() {
		tick.Stop()
		close(done)
		<-ended
	}
}

func (r *run) run(ctx context.Context) (*Report, error) {
	online, later := r.split()
	report := r.newReport()
	empty, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	r.enter("connecting")
	if err := r.connect(ctx, online); err != nil {
		return nil, err
	}
	idle, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	report.noteMemory(empty, idle)

	writing := r.startWriters(context.WithoutCancel(ctx))
	defer writing.stop()
	r.measure(ctx, report, online)
	for _, l := range r.lanes {
		l.end()
	}
	report.Interrupted = ctx.Err() != nil

	r.enter("settling")
	report.Settle = Seconds(r.await(ctx, report, writing, online))
	switch {
	case len(later) == 0:
	case ctx.Err() != nil:
		report.UnderWay += r.missing(later)
	default:
		r.enter("connecting those who were away")
		if err := r.connect(ctx, later); err != nil {
			report.problem(err)
		}
		r.await(ctx, report, writing, later)
		report.Waiting = r.waiting(later)
	}
	r.complete(report)
	return report, nil
}

func (r *run) split() (online, later []*user) {
	for i, u := range r.users {
		if u.later {
			return r.users[:i], r.users[i:]
		}
	}
	return r.users, nil
}

// connect connects users at the rate that is asked for, and returns when all are.
func (r *run) connect(ctx context.Context, users []*user) error {
	// Handshakes under way at a time: a deployment that is slow to take them is not
	// flooded.
	const handshakes = 256
	// patience beyond what the rate takes.
	const patience = 30 * time.Second
	// alone is how long it may take until there is one connection at all.
	const alone = 10 * time.Second
	all := len(users) * r.Devices
	bounded, cancel := context.WithTimeout(ctx, patience+time.Duration(all)*time.Second/time.Duration(r.ConnectRate))
	defer cancel()
	bounded, giveUp := context.WithCancelCause(bounded)
	defer giveUp(nil)
	nobody := time.AfterFunc(alone, func() {
		if r.connected.Load() == 0 {
			giveUp(fmt.Errorf("none within %s", alone))
		}
	})
	defer nobody.Stop()
	answers := make(chan error, all) // an answer does not wait for us
	from := r.now()
	open := 0
	for i := range all {
		for i-open >= handshakes {
			if err := r.answered(bounded, answers, open, all); err != nil {
				return err
			}
			open++
		}
		if !r.until(bounded, from+time.Duration(i)*time.Second/time.Duration(r.ConnectRate)) {
			break
		}
		d := &users[i/r.Devices].devices[i%r.Devices]
		d.answer = answers
		r.devices.Go(d.live)
	}
	for ; open < all; open++ {
		if err := r.answered(bounded, answers, open, all); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) answered(ctx context.Context, answers <-chan error, open, all int) error {
	var err error
	select {
	case err = <-answers:
		if err == nil {
			return nil
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("the others are still trying")
		}
		if last := r.lastClosed(); last != nil {
			err = fmt.Errorf("%w; the last failure: %w", err, last)
		}
	}
	who := "users"
	if r.Devices > 1 {
		who = "devices"
	}
	return fmt.Errorf("%d of %d %s could connect: %w", open, all, who, err)
}

func (r *run) noteClosed(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closedErr = err
}

func (r *run) lastClosed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closedErr
}

// look asks every node what it has used so far.
func (r *run) look(ctx context.Context) ([]Usage, error) {
	const patience = 5 * time.Second
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	usages := make([]Usage, len(r.Nodes))
	errs := make([]error, len(r.Nodes))
	var asking sync.WaitGroup
	for i, n := range r.Nodes {
		asking.Go(func() { usages[i], errs[i] = n.Usage(bounded) })
	}
	asking.Wait()
	return usages, errors.Join(errs...)
}

// reading is where the counters stand.
type reading struct {
	at                 time.Duration
	produced, received int64
	usages             []Usage
}

// read reads the counters, also when the run was interrupted.
func (r *run) read(ctx context.Context, report *Report) reading {
	usages, err := r.look(context.WithoutCancel(ctx))
	if err != nil {
		report.problem(err)
	}
	return reading{at: r.now(), produced: r.produced.Load(), received: r.received.Load(), usages: usages}
}

// measure runs the load, and the churn of those who are connected, and reads the
// counters when the warm-up is over and when all is.
func (r *run) measure(ctx context.Context, report *Report, online []*user) {
	r.loadFrom = r.now()
	r.loadUntil.Store(int64(r.loadFrom + r.lead() + r.Duration))
	defer r.loadUntil.Store(0)
	loading, ended := context.WithCancel(ctx)
	var under sync.WaitGroup
	under.Go(func() { r.load(ctx) })
	under.Go(func() { r.churn(loading, online) })
	if r.RampUp > 0 {
		r.enter("ramping up")
		r.until(ctx, r.loadFrom+r.RampUp)
	}
	r.enter("warming up")
	r.until(ctx, r.loadFrom+r.lead())
	first := r.read(ctx, report)
	r.enter("measuring")
	r.until(ctx, r.loadFrom+r.lead()+r.Duration)
	last := r.read(ctx, report)
	ended()
	under.Wait()
	report.noteWindow(first, last)
}

// await waits until everything that is in Kafka for the users has arrived, and
// returns how long it took. What has not arrived after Settle is lost. An
// interruption before it does not matter, one meanwhile ends it.
func (r *run) await(ctx context.Context, report *Report, writing writers, users []*user) time.Duration {
	const look = 20 * time.Millisecond
	from := r.now()
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	select {
	case <-writing.ended:
	case <-bounded.Done():
		writing.stop()
	}
	for bounded.Err() == nil {
		if r.missing(users) == 0 {
			took := r.now() - from
			r.awaitCopies(bounded)
			return took
		}
		select {
		case <-bounded.Done():
		case <-tick.C:
		}
	}
	if ctx.Err() != nil {
		report.UnderWay += r.missing(users)
	} else {
		report.Lost += r.missing(users)
	}
	return r.now() - from
}

// awaitCopies waits, once each message has arrived, for those that are still on
// their way to the other devices of their users; not for long, as a device that
// was away gets none.
func (r *run) awaitCopies(ctx context.Context) {
	const quiet = 250 * time.Millisecond
	for before := int64(-1); r.Devices > 1; {
		now := r.copies.Load()
		if now == before || now == r.received.Load()*int64(r.Devices) || !r.sleep(ctx, quiet) {
			return
		}
		before = now
	}
}

func (r *run) missing(users []*user) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := int64(0)
	for _, u := range users {
		missing += u.missing(r.generated.Load(), r.unconfirmed)
	}
	return missing
}
