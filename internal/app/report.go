package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"pushgate/internal/fleet"
	"pushgate/internal/push"
)

// newReporter makes who tells others how this node does.
func (n *Node) newReporter(version string, gatherer prometheus.Gatherer) {
	s := n.newSpeaker(version, gatherer)
	topic := n.cluster.Topics().Nodes
	n.reporter = fleet.NewReporter(fleet.ReporterParams{
		Config: n.config.Nodes, Gather: s.report, Logger: n.log,
		Write: func(ctx context.Context, rec push.Record) error {
			_, err := n.cluster.Produce(ctx, topic, 0, []push.Record{rec})
			return err
		},
	})
}

// newView makes who hears how all nodes do.
func (n *Node) newView() {
	n.fleet = fleet.NewView(fleet.Params{
		Log: fleetLog{n.cluster}, Topic: n.cluster.Topics().Nodes, Partitions: n.partitions.get, Logger: n.log.Named("fleet"),
	})
}

// speaker puts together what this node says of itself. What has a metric is read there,
// so that both say the same.
type speaker struct {
	node     *Node
	gatherer prometheus.Gatherer
	about    fleet.Report // what does not change

	// Since the last report.
	latency  buckets
	read     map[int32]int64 // by partition in custody, up to where
	requests int64           // that custodians here have read
}

func (n *Node) newSpeaker(version string, gatherer prometheus.Gatherer) *speaker {
	return &speaker{
		node: n, gatherer: gatherer, read: make(map[int32]int64),
		about: fleet.Report{
			Node: n.config.Node.ID, Version: version, Started: n.born.UTC(), Life: n.born.UnixMilli(), Roles: n.config.Node.Roles,
			Gateway: n.GatewayAddr(), Admin: n.AdminAddr(), Routing: n.config.Routing.Mode, Order: n.config.Delivery.Order,
		},
	}
}

// report is not safe for concurrent use. It takes no lock that anybody holds for long.
func (s *speaker) report() fleet.Report {
	r, n := s.about, s.node
	r.Stopping = n.draining.Load()
	r.Ready, r.Checks = true, make(map[string]string)
	for _, c := range n.checks() {
		r.Checks[c.Name] = "ok"
		if err := c.Ready(); err != nil {
			r.Ready = false
			r.Checks[c.Name] = shortened(err)
		}
	}
	for _, d := range n.details() {
		if r.Details == nil {
			r.Details = make(map[string]string)
		}
		r.Details[d.Name] = d.Text()
	}
	if n.hub != nil {
		r.Sessions, r.Users = n.hub.Counts()
	}
	if n.delivery != nil {
		r.Called = n.delivery.Called()
		for _, at := range n.delivery.Standings() {
			r.Reading = append(r.Reading, fleet.Reading{
				Partition: at.Partition, Position: at.Position, End: at.End, LagMessages: at.End - at.Position,
				LagSeconds: seconds(at.LagTime), Stalled: shortened(at.Stalled),
			})
		}
	}
	s.custody(&r)
	s.measure(&r)
	return r
}

// custody says what is held, and counts what was read of it.
func (s *speaker) custody(r *fleet.Report) {
	if s.node.custodian == nil {
		return
	}
	held := s.node.custodian.Holdings()
	for number := range s.node.partitions.get() {
		h, ok := held[number]
		last, known := s.read[number]
		if !ok {
			delete(s.read, number)
			continue
		}
		if known {
			s.requests += max(h.Next-last, 0)
		}
		s.read[number] = h.Next
		r.Custody = append(r.Custody, fleet.Held{
			Partition: number, InFlight: h.InFlight, Waiting: h.Waiting, LagMessages: h.Lag, LagSeconds: seconds(h.LagTime),
			OldestWait: h.OldestWait.UTC().Truncate(time.Second), Stalled: shortened(h.Stalled),
		})
	}
	r.Counters.Requests = s.requests
}

// measure takes the counters out of the metrics.
func (s *speaker) measure(r *fleet.Report) {
	families, err := s.gatherer.Gather()
	if err != nil {
		// What was gathered is as good as ever.
		s.node.log.Debug("not all metrics could be gathered", zap.Error(err))
	}
	c := &r.Counters
	for _, f := range families {
		switch f.GetName() {
		case "pushgate_requests_read_total":
			c.Read = sum(f)
		case "pushgate_requests_dropped_total":
			c.Dropped = sum(f)
		case "pushgate_delivered_total":
			c.Delivered = sum(f)
		case "pushgate_held_total":
			c.Held = sum(f)
		case "pushgate_failed_total":
			c.Failed = sum(f)
		case "pushgate_repeats_dropped_total":
			c.Repeats = sum(f)
		case "pushgate_outcomes_total":
			c.Outcomes = byLabel(f)
		case "pushgate_dead_lettered_total":
			c.Dead = byLabel(f)
		case "pushgate_waits_total":
			c.Waits = byLabel(f)
		case "pushgate_delivery_latency_seconds":
			r.Latency = s.latency.since(f)
		case "process_cpu_seconds_total":
			r.CPU = value(f)
		case "process_resident_memory_bytes":
			r.RSS = int64(value(f))
		}
	}
}

// sum of all series of a counter.
func sum(f *dto.MetricFamily) (n int64) {
	for _, m := range f.GetMetric() {
		n += int64(m.GetCounter().GetValue())
	}
	return n
}

// value of a metric with one series.
func value(f *dto.MetricFamily) (v float64) {
	for _, m := range f.GetMetric() {
		v = m.GetCounter().GetValue() + m.GetGauge().GetValue() // one of the two
	}
	return v
}

// byLabel are the series of a counter that has one label, those of them that count
// something.
func byLabel(f *dto.MetricFamily) map[string]int64 {
	counts := make(map[string]int64)
	for _, m := range f.GetMetric() {
		if n := int64(m.GetCounter().GetValue()); n > 0 && len(m.GetLabel()) == 1 {
			counts[m.GetLabel()[0].GetValue()] = n
		}
	}
	return counts
}

// buckets of a histogram, as they were when they were looked at last.
type buckets struct{ counts []uint64 }

// since returns what came in since the last look.
func (b *buckets) since(f *dto.MetricFamily) fleet.Latency {
	var bounds []float64
	var counts []uint64 // each of its bucket alone
	for _, m := range f.GetMetric() {
		h := m.GetHistogram()
		if counts == nil {
			counts = make([]uint64, len(h.GetBucket())+1)
		}
		var below uint64
		for i, bucket := range h.GetBucket() {
			bounds = append(bounds[:i], bucket.GetUpperBound())
			counts[i] += bucket.GetCumulativeCount() - below
			below = bucket.GetCumulativeCount()
		}
		counts[len(counts)-1] += h.GetSampleCount() - below
	}
	fresh := make([]uint64, len(counts))
	var total uint64
	for i := range counts {
		fresh[i] = counts[i]
		if i < len(b.counts) {
			fresh[i] -= min(b.counts[i], counts[i])
		}
		total += fresh[i]
	}
	b.counts = counts
	if total == 0 {
		return fleet.Latency{}
	}
	const median, most = 0.5, 0.99
	return fleet.Latency{
		P50: quantile(median, bounds, fresh), P99: quantile(most, bounds, fresh), Count: int64(total),
	}
}

// quantile is reckoned as Prometheus does: within a bucket, evenly; beyond the last
// bound, that bound.
func quantile(q float64, bounds []float64, counts []uint64) float64 {
	var total uint64
	for _, c := range counts {
		total += c
	}
	rank, below, lower := q*float64(total), uint64(0), 0.0
	for i, upper := range bounds {
		if c := counts[i]; c > 0 && float64(below+c) >= rank {
			return milliseconds(lower + (upper-lower)*(rank-float64(below))/float64(c))
		}
		below += counts[i]
		lower = upper
	}
	return lower
}

// milliseconds rounds seconds to hundredths of one: more would only make reports longer.
func milliseconds(seconds float64) float64 {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Microsecond).Seconds()
}

func seconds(d time.Duration) float64 { return d.Round(10 * time.Millisecond).Seconds() }

// shortened is an error in a report: empty for none.
func shortened(err error) string {
	const most = 300
	if err == nil {
		return ""
	}
	if s := []rune(err.Error()); len(s) > most {
		return string(s[:most-1]) + "…"
	}
	return err.Error()
}

// watchFleet keeps the view of all nodes until ctx ends. That it cannot be kept is no
// reason for a node to end.
func (n *Node) watchFleet(ctx context.Context) error {
	const pause = 5 * time.Second
	for {
		err := n.fleet.Run(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		n.log.Warn("the reports of the nodes cannot be read; trying again", zap.Error(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// runFleet starts telling others how this node does, and hearing how they do. It comes
// early, and so ends late: the last report says that all else has ended.
func (n *Node) runFleet(ctx context.Context, parts *stack) {
	parts.run(ctx, "view of the nodes", n.watchFleet)
	parts.run(ctx, "reports", n.reporter.Run)
}
