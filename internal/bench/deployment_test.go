package bench_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"pushgate/internal/bench"
	"pushgate/internal/client"
	"pushgate/internal/push"
)

const partitions = 4

// deployment stands for Kafka and the nodes: what is produced goes to whoever is
// connected as the user, or waits.
type deployment struct {
	// produce, deliver and connect bend what it does; nil is straight on. produce
	// may block, and is called for several partitions at a time; the records that
	// deliver returns go to their keys.
	produce func(ctx context.Context, records []push.Record) error
	deliver func(rec push.Record) []push.Record
	connect func(d bench.DeviceParams) error
	// delay before a message is at its user.
	delay time.Duration
	// forgetful: what a device has not taken when it leaves is lost.
	forgetful bool

	bending   sync.Mutex
	mu        sync.Mutex
	offset    int64
	inboxes   map[string][]chan []byte // of the devices that are connected
	waiting   map[string][][]byte
	underWay  int
	mostUnder int
	opened    []time.Time
}

func newDeployment() *deployment {
	return &deployment{inboxes: map[string][]chan []byte{}, waiting: map[string][][]byte{}}
}

func (d *deployment) params(c bench.Config) bench.Params {
	return bench.Params{Config: c, Topic: "requests", Partitions: partitions, Log: d, NewDevice: d.newDevice}
}

func (d *deployment) Produce(ctx context.Context, topic string, partition int32, records []push.Record) ([]int64, error) {
	if d.produce != nil {
		if err := d.produce(ctx, records); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var offsets []int64
	for _, rec := range records {
		if topic != "requests" || partition != push.Home(rec.Key, partitions) {
			return nil, errors.New("a record away from home")
		}
		m, err := push.ParseRequest(&rec, topic, push.Limits{})
		if err != nil {
			return nil, err
		}
		copies := []push.Record{rec}
		if d.deliver != nil {
			d.bending.Lock()
			copies = d.deliver(rec)
			d.bending.Unlock()
		}
		for _, c := range copies {
			frame := fmt.Appendf(nil, `{"id":%q,"type":%q,"attempt":1,"data":%s}`, m.ID, m.Type, c.Value)
			d.hand(string(c.Key), frame)
		}
		d.mu.Lock()
		d.offset++
		offsets = append(offsets, d.offset)
		d.mu.Unlock()
	}
	return offsets, nil
}

func (d *deployment) hand(user string, frame []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.inboxes[user]) == 0 {
		d.waiting[user] = append(d.waiting[user], frame)
		return
	}
	for _, inbox := range d.inboxes[user] {
		d.underWay++
		d.mostUnder = max(d.mostUnder, d.underWay)
		inbox <- frame
	}
}

// leave takes a device out. What it has not taken waits for the user, unless
// another device has it.
func (d *deployment) leave(user string, inbox chan []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inboxes[user] = slices.DeleteFunc(d.inboxes[user], func(i chan []byte) bool { return i == inbox })
	for {
		select {
		case frame := <-inbox:
			d.underWay--
			if len(d.inboxes[user]) == 0 && !d.forgetful {
				d.waiting[user] = append(d.waiting[user], frame)
			}
		default:
			return
		}
	}
}

func (d *deployment) newDevice(p bench.DeviceParams) (bench.Device, error) {
	return &device{DeviceParams: p, deployment: d}, nil
}

type device struct {
	bench.DeviceParams
	*deployment
}

func (d *device) RunRaw(ctx context.Context, take func([]byte) error) error {
	d.OnState(client.Connecting, nil)
	if d.connect != nil {
		if err := d.connect(d.DeviceParams); err != nil {
			return err
		}
	}
	const many = 1 << 14 // Produce never waits for a device
	inbox := make(chan []byte, many)
	d.mu.Lock()
	d.inboxes[d.User] = append(d.inboxes[d.User], inbox)
	d.opened = append(d.opened, time.Now())
	waiting := d.waiting[d.User]
	delete(d.waiting, d.User)
	d.mu.Unlock()
	defer d.leave(d.User, inbox)
	d.OnState(client.Open, nil)
	for _, frame := range waiting {
		pass(d.delay)
		if err := take(frame); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case frame := <-inbox:
			pass(d.delay)
			d.mu.Lock()
			d.underWay--
			d.mu.Unlock()
			if err := take(frame); err != nil {
				return err
			}
		}
	}
}

// pass lets time pass.
func pass(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
