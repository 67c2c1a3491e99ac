package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Report is what a node says of itself. A field that is absent is zero, and one that
// is unknown is of another release: both are read without complaint.
type Report struct {
	Node string `json:"node"`
	// Life tells the processes with one node id apart: their start, Unix milliseconds.
	Life    int64     `json:"life"`
	At      time.Time `json:"at"` // on the node's clock
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Interval is how many seconds pass until the next report.
	Interval float64  `json:"interval"`
	Roles    []string `json:"roles"`
	// Gateway and Admin are the addresses of its listeners, as host:port.
	Gateway string `json:"gateway,omitempty"`
	Admin   string `json:"admin,omitempty"`
	// Routing and Order have to be the same on all nodes: routing.mode, delivery.order.
	Routing string `json:"routing"`
	Order   string `json:"order"`
	// Called: this gateway reads no requests, custodians call it.
	Called bool `json:"called,omitempty"`
	// Stopping: it drains. Ended: this is its last report.
	Stopping bool `json:"stopping,omitempty"`
	Ended    bool `json:"ended,omitempty"`
	// Ready and Checks are as on /readyz: "ok", or why not.
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks,omitempty"`
	// Details are other things worth showing, such as how its canary does.
	Details map[string]string `json:"details,omitempty"`

	Sessions int      `json:"sessions"`
	Users    int      `json:"users"`
	Counters Counters `json:"counters"`
	Latency  Latency  `json:"latency,omitzero"`

	CPU float64 `json:"cpu"` // seconds since the start
	RSS int64   `json:"rss"` // bytes

	// Reading is where a gateway that reads requests stands, by partition.
	Reading []Reading `json:"reading,omitempty"`
	// Custody is what it answers for as a custodian.
	Custody []Held `json:"custody,omitempty"`
}

// Counters count since the start of the process.
type Counters struct {
	// Of a gateway: requests read, those among them of users who are not there, and
	// messages by what became of them there.
	Read      int64 `json:"read"`
	Dropped   int64 `json:"dropped"`
	Delivered int64 `json:"delivered"`
	Held      int64 `json:"held"`
	Failed    int64 `json:"failed"`
	Repeats   int64 `json:"repeats"`
	// Of a custodian: requests of its partitions that it has read, messages by their
	// outcome, dead letters by reason, and times a message began to wait by reason.
	// What is zero is left out.
	Requests int64            `json:"requests"`
	Outcomes map[string]int64 `json:"outcomes,omitempty"`
	Dead     map[string]int64 `json:"dead,omitempty"`
	Waits    map[string]int64 `json:"waits,omitempty"`
}

// Latency of the messages that were first written to a socket during the last
// interval, from when they were written to Kafka. Quantiles are as exact as the
// buckets of pushgate_delivery_latency_seconds.
type Latency struct {
	P50   float64 `json:"p50"` // seconds
	P99   float64 `json:"p99"`
	Count int64   `json:"count"`
}

// Reading is where a gateway stands in a partition.
type Reading struct {
	Partition int32 `json:"partition"`
	Position  int64 `json:"position"` // the next request to read
	End       int64 `json:"end"`      // of the log, when it was read last
	// LagMessages were not read yet. LagSeconds is the age of the oldest of them at
	// most; 0 when there is none.
	LagMessages int64   `json:"lag_messages,omitempty"`
	LagSeconds  float64 `json:"lag_seconds,omitempty"`
	// Stalled says why its receipts cannot be written, empty if they can.
	Stalled string `json:"stalled,omitempty"`
}

// Held is a partition in custody.
type Held struct {
	Partition   int32   `json:"partition"`
	InFlight    int     `json:"in_flight,omitempty"`
	Waiting     int     `json:"waiting,omitempty"`
	LagMessages int64   `json:"lag_messages,omitempty"`
	LagSeconds  float64 `json:"lag_seconds,omitempty"`
	// OldestWait is when the message that has waited longest began to, or was last
	// offered again; zero when nothing waits.
	OldestWait time.Time `json:"oldest_wait,omitzero"`
	// Stalled says why it cannot be answered for at the moment, empty if it can.
	Stalled string `json:"stalled,omitempty"`
}

// Encode returns the report as it is written.
func (r *Report) Encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding a report: %w", err)
	}
	return b, nil
}

// Decode reads a report. It keeps nothing of b.
func Decode(b []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("no report of a node: %w", err)
	}
	if r.Node == "" || r.Life <= 0 || r.At.IsZero() {
		return nil, errors.New("no report of a node: it says not who wrote it, or not when")
	}
	return &r, nil
}
