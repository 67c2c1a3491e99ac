package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pushgate/internal/client"
	"pushgate/internal/push"
)

// Config is the load.
type Config struct {
	// Users who connect, with Devices connections each; messages go to them in turn.
	// A message is delivered when the first of its user's devices has it.
	Users, Devices int
	// OfflineShare of the users, from 0 to 1, connects only after the load has
	// ended: their messages wait.
	OfflineShare float64
	// Churn is the share of the users, from 0 to 1, of whom each second all devices
	// disconnect, and connect again after Away. It lasts as long as the load.
	Churn float64
	Away  time.Duration
	// ConnectRate is how many connections are begun in a second.
	ConnectRate int
	// Rate of messages in a second; 0 is as fast as it goes with InFlight messages
	// under way.
	Rate     int
	InFlight int
	// Types are the business types of the messages, at most 16; empty: one.
	Types []TypeShare
	// Payload in bytes, at least MinPayload.
	Payload int
	// RampUp is how long the rate takes to rise from nothing to Rate. Then comes
	// WarmUp at the full rate; neither is measured. Duration is.
	RampUp, WarmUp, Duration time.Duration
	// Settle bounds the wait for what is still under way at the end.
	Settle time.Duration
}

// DefaultConfig returns a modest load.
func DefaultConfig() Config {
	return Config{
		Users: 1000, Devices: 1, ConnectRate: 1000, Away: time.Second,
		Rate: 1000, InFlight: 5000, Payload: 256,
		WarmUp: 2 * time.Second, Duration: 10 * time.Second, Settle: 10 * time.Second,
	}
}

// Validate reports every value that cannot work, by the names of the flags.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, text string) {
		if !ok {
			errs = append(errs, errors.New(text))
		}
	}
	check(c.Users >= 1, "--users must be at least 1")
	check(c.Devices >= 1, "--devices must be at least 1")
	check(c.OfflineShare >= 0 && c.OfflineShare <= 1, "--offline-share must be from 0 to 1")
	check(c.Churn >= 0 && c.Churn <= 1, "--churn must be from 0 to 1")
	check(c.Away >= 0, "--away must not be negative")
	check(c.ConnectRate >= 1, "--connect-rate must be at least 1")
	check(c.Rate >= 0, "--rate must not be negative")
	check(c.InFlight >= 1, "--in-flight must be at least 1")
	check(c.Payload >= MinPayload, fmt.Sprintf("--payload must be at least %d: number and time stand in it", MinPayload))
	check(c.RampUp >= 0, "--ramp-up must not be negative")
	check(c.RampUp == 0 || c.Rate > 0, "--ramp-up needs a --rate to rise to")
	check(c.WarmUp >= 0, "--warm-up must not be negative")
	check(c.Duration > 0, "--duration must be above zero")
	check(c.Settle > 0, "--settle must be above zero")
	return errors.Join(append(errs, checkTypes(c.Types))...)
}

// Log is where requests are written. Safe for concurrent use.
type Log interface {
	// Produce returns when the records are durable; it retries passing errors
	// until ctx ends.
	Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error)
}

// Device is a user's end of a connection. *client.Client is one.
type Device interface {
	// RunRaw stays connected until ctx ends, then it returns nil, and may be called
	// again. take gets each frame, one at a time, and does not keep it.
	RunRaw(ctx context.Context, take func(frame []byte) error) error
}

// DeviceParams are a device of a user that is about to connect.
type DeviceParams struct {
	// Number of the device, over all users.
	Number int
	User   string
	// OnState must be told of each attempt to connect, of each connection, and of
	// its end, one at a time.
	OnState func(client.State, error)
}

// Params of a run.
type Params struct {
	Config
	// Topic of the requests, and how many partitions it has.
	Topic      string
	Partitions int32
	Log        Log
	NewDevice  func(DeviceParams) (Device, error)
	// Nodes are asked what they use; may be empty.
	Nodes []Node
	// Nap, if not nil, sleeps for a few milliseconds at most, more precisely than a
	// timer.
	Nap func(time.Duration)
	// OnProgress, if not nil, is told now and then how the run is doing.
	OnProgress func(Progress)
}

// Node is asked what it uses.
type Node struct {
	Name string
	// Usage blocks until the node has answered or ctx ends.
	Usage func(ctx context.Context) (Usage, error)
}

// Progress is how a run is doing.
type Progress struct {
	Phase string
	// Elapsed since the run began; Left of the load, 0 before and after it.
	Elapsed, Left                  time.Duration
	Connected, Produced, Delivered int64
}

// Done is the last phase: nothing is told after it.
const Done = "done"
