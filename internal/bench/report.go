package bench

import (
	"slices"
	"strconv"
	"time"
)

// Report is what a run came to.
type Report struct {
	Users       int  `json:"users"`
	Devices     int  `json:"devices"` // of each user
	Rate        int  `json:"rate"`
	InFlight    int  `json:"in_flight,omitempty"` // with rate 0
	Payload     int  `json:"payload_bytes"`
	Interrupted bool `json:"interrupted"`

	// Churn is the share of the users who were sent away each second; Reconnects is
	// how many connections were opened again for it.
	Churn      float64 `json:"churn"`
	SentAway   int64   `json:"sent_away"`
	Reconnects int64   `json:"reconnects"`

	// Window is how long was measured; the rates are those of it.
	Window             Seconds `json:"window_s"`
	ProducedPerSecond  float64 `json:"produced_per_s"`
	DeliveredPerSecond float64 `json:"delivered_per_s"`

	// Of the whole run, warm-up included. Unconfirmed messages are not known to be
	// in Kafka; lost ones are, and have not arrived in the time to settle; those
	// under way have not been given that time, because the run was interrupted.
	Produced    int64 `json:"produced"`
	Unconfirmed int64 `json:"unconfirmed"`
	Delivered   int64 `json:"delivered"`
	Lost        int64 `json:"lost"`
	UnderWay    int64 `json:"under_way"`
	// Repeats are messages that a device got which it had before.
	Repeats int64 `json:"repeats"`
	// Copies are messages that arrived, each counted once for each device that got
	// it, and AtAllDevices those that all devices of their users got.
	Copies       int64 `json:"copies"`
	AtAllDevices int64 `json:"at_all_devices"`
	// Misdirected arrived at another user.
	Misdirected int64 `json:"misdirected"`
	// Strangers are frames that are not of this run.
	Strangers int64 `json:"strangers"`
	// Closed connections, which the clients opened again if they could.
	Closed int64   `json:"connections_closed"`
	Settle Seconds `json:"settle_s"`

	Connect Distribution `json:"connect"`
	// Latency, Written and Pacing count from when a message was to be sent: until
	// it arrived, until Kafka had it, and until the generator came to it (which is
	// its own fault, not the deployment's).
	Latency Distribution `json:"latency"`
	// Returning is the latency of those messages whose user was sent away by the
	// churn after they were due; they are not in Latency.
	Returning *Distribution `json:"returning,omitempty"`
	Written   Distribution  `json:"written"`
	Pacing    Distribution  `json:"pacing"`
	// Types is empty when no types were asked for.
	Types []TypeReport `json:"types,omitempty"`
	// Waiting is nil when nobody was away.
	Waiting *Waiting `json:"waiting,omitempty"`

	Nodes    []NodeUse `json:"nodes,omitempty"`
	Problems []string  `json:"problems,omitempty"`
}

// TypeReport is the latency of the messages of a business type.
type TypeReport struct {
	Type    string       `json:"type"`
	Latency Distribution `json:"latency"`
}

// Waiting is how those fared who were away during the load: from when they were
// connected until their first and their last message was there.
type Waiting struct {
	Users    int          `json:"users"`
	Messages int64        `json:"messages"`
	First    Distribution `json:"first"`
	Last     Distribution `json:"last"`
}

// NodeUse is what a node has used in the window, by its own metrics.
type NodeUse struct {
	Name       string  `json:"name"`
	CPUSeconds float64 `json:"cpu_s"`
	Delivered  float64 `json:"delivered"`
	Read       float64 `json:"requests_read"`
	Dropped    float64 `json:"requests_dropped"`
	// PerCPUSecond is deliveries per second of CPU, CPUMicros its inverse.
	PerCPUSecond float64 `json:"deliveries_per_cpu_s"`
	CPUMicros    float64 `json:"cpu_us_per_delivery"`
	// RSSBytes at the end of the window; Idle with all connected, before the load.
	RSSBytes     float64 `json:"rss_bytes"`
	IdleRSSBytes float64 `json:"idle_rss_bytes"`
	Connections  float64 `json:"connections"`
	// RSSPerConnection is what memory grew by while users connected, over their
	// number on this node.
	RSSPerConnection float64 `json:"rss_bytes_per_connection"`
}

// Seconds is a duration that JSON shows in seconds.
type Seconds time.Duration

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) {
	const digits, bits = 3, 64
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', digits, bits), nil
}

func (r *run) newReport() *Report {
	report := &Report{
		Users: r.Users, Devices: r.Devices, Churn: r.Churn, Rate: r.Rate, Payload: r.Payload,
		Nodes: make([]NodeUse, len(r.Nodes)),
	}
	if r.Rate == 0 {
		report.InFlight = r.InFlight
	}
	for i, n := range r.Nodes {
		report.Nodes[i].Name = n.Name
	}
	return report
}

// problem notes what makes the report incomplete; each once.
func (p *Report) problem(err error) {
	if text := err.Error(); !slices.Contains(p.Problems, text) {
		p.Problems = append(p.Problems, text)
	}
}

func (p *Report) noteMemory(empty, idle []Usage) {
	for i := range p.Nodes {
		n, grown := &p.Nodes[i], idle[i].minus(empty[i])
		n.IdleRSSBytes, n.Connections = idle[i].RSSBytes, grown.Sessions
		n.RSSPerConnection = over(grown.RSSBytes, grown.Sessions)
	}
}

func (p *Report) noteWindow(first, last reading) {
	window := last.at - first.at
	p.Window = Seconds(window)
	p.ProducedPerSecond = over(float64(last.produced-first.produced), window.Seconds())
	p.DeliveredPerSecond = over(float64(last.received-first.received), window.Seconds())
	for i := range p.Nodes {
		n, used := &p.Nodes[i], last.usages[i].minus(first.usages[i])
		if used.CPUSeconds <= 0 {
			continue // it did not answer, or was started anew
		}
		n.CPUSeconds, n.Delivered, n.Read, n.Dropped = used.CPUSeconds, used.Delivered, used.Read, used.Dropped
		n.PerCPUSecond = over(used.Delivered, used.CPUSeconds)
		n.CPUMicros = over(used.CPUSeconds*float64(time.Second/time.Microsecond), used.Delivered)
		n.RSSBytes = last.usages[i].RSSBytes
	}
}

func over(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// waiting gathers how long those who came later waited for what waited for them.
func (r *run) waiting(users []*user) *Waiting {
	w := &Waiting{Users: len(users)}
	first, last := newRecorder(), newRecorder()
	for _, u := range users {
		a, b, count := u.waited()
		if count == 0 {
			continue
		}
		w.Messages += count
		first.record(u.number, a, 1)
		last.record(u.number, b, 1)
	}
	w.First, w.Last = first.distribution(), last.distribution()
	return w
}

// complete adds what is known at the end.
func (r *run) complete(p *Report) {
	p.Produced, p.Unconfirmed, p.Delivered = r.produced.Load(), r.refused.Load(), r.received.Load()
	p.Repeats, p.Misdirected, p.Strangers = r.repeats.Load(), r.misdirected.Load(), r.strangers.Load()
	p.Closed, p.SentAway, p.Reconnects = r.closes.Load(), r.sentAway.Load(), r.reconnects.Load()
	p.Copies, p.AtAllDevices = p.Delivered, p.Delivered
	if r.Devices > 1 {
		p.Copies, p.AtAllDevices = r.copies.Load(), 0
		for _, u := range r.users {
			p.AtAllDevices += u.everywhere()
		}
	}
	p.Connect, p.Latency = r.connecting.distribution(), r.latency.distribution()
	p.Written, p.Pacing = r.written.distribution(), r.pacing.distribution()
	if r.Churn > 0 {
		returning := r.returning.distribution()
		p.Returning = &returning
	}
	for i, t := range r.Types {
		p.Types = append(p.Types, TypeReport{Type: t.Type, Latency: r.byType[i].distribution()})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.produceErr != nil {
		p.problem(r.produceErr)
	}
	if (p.Closed > 0 || r.Churn > 0) && r.closedErr != nil {
		p.problem(r.closedErr)
	}
}
