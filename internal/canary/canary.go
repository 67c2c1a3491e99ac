package canary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"pushgate/internal/push"
)

// Params of a Canary.
type Params struct {
	Config Config
	Node   string
	// Listen is connected as user until ctx ends, or until something says that trying
	// again at once is no use. It tells opened of each connection that is open, closed
	// of each that is not any more and why, and received of each message by its id.
	Listen func(ctx context.Context, user string, on Events) error
	// Publish writes a request to the message log. It returns when that is durable, or
	// ctx has ended.
	Publish    func(ctx context.Context, rec push.Record) error
	Logger     *zap.Logger
	Registerer prometheus.Registerer
}

// Events are what a connection tells. None of them blocks.
type Events struct {
	Opened   func()
	Closed   func(err error)
	Received func(id string)
}

// Canary is the canary of one node.
type Canary struct {
	p       Params
	user    string
	log     *zap.Logger
	metrics *metrics

	mu        sync.Mutex
	connected chan struct{} // closed while connected
	why       error         // it is not connected
	awaited   string        // the id of the message under way
	arrived   chan struct{} // closed when it is there
	last      round
}

// round is one message, from before it was produced.
type round struct {
	began time.Time
	took  time.Duration
	err   error // nil: it came
	// failing: since when rounds fail; zero while they do not.
	failing time.Time
}

// New registers the metrics; Run starts it.
func New(p Params) *Canary {
	return &Canary{
		p: p, user: User(p.Node), log: p.Logger.Named("canary"), metrics: newMetrics(p.Registerer),
		connected: make(chan struct{}), why: errors.New("not yet"),
	}
}

// Run connects, and has a message sent now and then, until ctx ends. Then it takes what
// is under way, for a moment, and leaves. It fails for nothing, and returns nil.
func (c *Canary) Run(ctx context.Context) error {
	listening, leave := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.listen(listening)
	}()
	c.rounds(ctx)
	leave()
	<-ended
	return nil
}

// listen stays connected until ctx ends.
func (c *Canary) listen(ctx context.Context) {
	for {
		err := c.p.Listen(ctx, c.user, Events{Opened: c.opened, Closed: c.closed, Received: c.received})
		if ctx.Err() != nil {
			return
		}
		c.closed(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.p.Config.Interval):
		}
	}
}

func (c *Canary) opened() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		c.why = nil
		close(c.connected)
	}
}

func (c *Canary) closed(err error) {
	if err == nil {
		err = errors.New("the connection was closed")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == nil {
		c.connected = make(chan struct{})
	}
	c.why = err
}

func (c *Canary) received(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == c.awaited && id != "" {
		c.awaited = ""
		close(c.arrived)
	}
}

// rounds has a message sent at every interval until ctx ends.
func (c *Canary) rounds(ctx context.Context) {
	tick := time.NewTicker(c.p.Config.Interval)
	defer tick.Stop()
	for {
		stage, err := c.round(ctx)
		if ctx.Err() != nil {
			return
		}
		c.note(stage, err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// leaving bounds how long a message is awaited that was under way when the end came.
const leaving = time.Second

// round sends a message and waits for it. It returns the stage in which it has failed.
func (c *Canary) round(ctx context.Context) (stage string, err error) {
	if err := c.await(ctx); err != nil {
		return stageConnect, err
	}
	id, began := push.NewID(time.Now()), time.Now()
	c.mu.Lock()
	arrived := make(chan struct{})
	c.awaited, c.arrived = id, arrived
	c.last.began = began
	c.mu.Unlock()

	publishing, cancel := context.WithTimeout(ctx, c.p.Config.Timeout)
	defer cancel()
	rec, err := c.record(id, began)
	if err == nil {
		err = c.p.Publish(publishing, rec)
	}
	if err != nil {
		return stageProduce, fmt.Errorf("producing: %w", err)
	}
	late := time.NewTimer(time.Until(began.Add(c.p.Config.Timeout)))
	defer late.Stop()
	select {
	case <-arrived:
	case <-late.C:
		return stageReceive, fmt.Errorf("the message %s did not come within %s", id, c.p.Config.Timeout)
	case <-ctx.Done():
		select {
		case <-arrived:
		case <-time.After(leaving):
		}
		return "", ctx.Err() //nolint:wrapcheck // nobody looks at it
	}
	took := time.Since(began)
	c.metrics.took.Observe(took.Seconds())
	c.metrics.lastSuccess.SetToCurrentTime()
	c.mu.Lock()
	c.last.took = took
	c.mu.Unlock()
	return "", nil
}

// await returns when the canary is connected, or says why it is not.
func (c *Canary) await(ctx context.Context) error {
	c.mu.Lock()
	connected := c.connected
	c.mu.Unlock()
	timer := time.NewTimer(c.p.Config.Timeout)
	defer timer.Stop()
	select {
	case <-connected:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // nobody looks at it
	case <-timer.C:
		c.mu.Lock()
		defer c.mu.Unlock()
		return fmt.Errorf("connecting: %w", c.why)
	}
}

// record makes the request, which expires when nobody waits for it any more.
func (c *Canary) record(id string, now time.Time) (push.Record, error) {
	data, err := json.Marshal(struct {
		Canary string    `json:"canary"`
		Sent   time.Time `json:"sent"`
	}{c.p.Node, now.UTC()})
	if err != nil {
		return push.Record{}, fmt.Errorf("encoding: %w", err)
	}
	rec := push.Record{Key: []byte(c.user), Value: data, Time: now}
	rec.Headers.AddText(push.HeaderID, id)
	rec.Headers.AddText(push.HeaderType, Type)
	rec.Headers.AddText(push.HeaderSource, "/pushgate/canary/"+c.p.Node)
	rec.Headers.AddText(push.HeaderContentType, "application/json")
	rec.Headers.AddText(push.HeaderExpiryTime, now.Add(c.p.Config.Timeout).UTC().Format(time.RFC3339Nano))
	return rec, nil
}

// note counts a round that has failed, and logs when rounds begin to fail and when they
// do so no more.
func (c *Canary) note(stage string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaited = ""
	c.last.err = err
	switch {
	case err == nil && !c.last.failing.IsZero():
		c.log.Info("the canary's messages come again", zap.Duration("after", time.Since(c.last.failing)))
		c.last.failing = time.Time{}
	case err != nil:
		c.metrics.failures[stage].Inc()
		if c.last.failing.IsZero() {
			c.last.failing = time.Now()
			c.log.Warn("the canary has no luck: what it fails at, users of this node may fail at, too",
				zap.String("stage", stage), zap.Error(err))
		}
	}
}

// Text says how it is doing, for operators.
func (c *Canary) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch last := c.last; {
	case last.err != nil:
		return fmt.Sprintf("failing for %s: %s", time.Since(last.failing).Round(time.Second), last.err)
	case last.took == 0:
		return "no message yet"
	default:
		return fmt.Sprintf("ok: the last message took %s, %s ago", last.took.Round(100*time.Microsecond), time.Since(last.began).Round(time.Second))
	}
}
