package fleet

import (
	"context"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/push"
)

// ReporterParams are what NewReporter needs.
type ReporterParams struct {
	Config NodesConfig
	// Gather returns what there is to say now. It must not block, and need not fill in
	// what the Reporter knows: At, Interval, Ended.
	Gather func() Report
	// Write blocks until the record is durable, or ctx ends.
	Write  func(ctx context.Context, record push.Record) error
	Logger *zap.Logger
}

// Reporter writes a report of this node now and then. It never holds anything up: one
// report at most is under way, and what cannot be written in time is dropped.
type Reporter struct {
	p       ReporterParams
	log     *zap.Logger
	soon    chan struct{}
	failing bool
}

// NewReporter returns a reporter that does nothing yet.
func NewReporter(p ReporterParams) *Reporter {
	return &Reporter{p: p, log: p.Logger.Named("report"), soon: make(chan struct{}, 1)}
}

// Soon has a report written at once, because something has changed that others should
// know. It does not block.
func (r *Reporter) Soon() {
	select {
	case r.soon <- struct{}{}:
	default:
	}
}

const (
	// writePatience bounds the writing of a report. A later one says more.
	writePatience = 5 * time.Second
	// lastPatience bounds that of the last one: a node must not take longer to end
	// because nobody hears that it does.
	lastPatience = 2 * time.Second
)

// Run reports until ctx ends, then once more, and returns nil.
func (r *Reporter) Run(ctx context.Context) error {
	tick := time.NewTicker(r.p.Config.ReportInterval)
	defer tick.Stop()
	for {
		r.write(ctx, writePatience, false)
		select {
		case <-ctx.Done():
			r.write(context.WithoutCancel(ctx), lastPatience, true)
			return nil
		case <-r.soon:
		case <-tick.C:
		}
	}
}

// write says what there is to say. That it could not is logged once, until it can.
func (r *Reporter) write(ctx context.Context, patience time.Duration, last bool) {
	report := r.p.Gather()
	report.At, report.Interval = time.Now().UTC(), r.p.Config.ReportInterval.Seconds()
	report.Ended, report.Stopping = last, report.Stopping || last
	value, err := report.Encode()
	if err == nil {
		bounded, cancel := context.WithTimeout(ctx, patience)
		err = r.p.Write(bounded, push.Record{Key: []byte(report.Node), Value: value})
		cancel()
	}
	switch {
	case ctx.Err() != nil:
	case err != nil && !r.failing:
		r.failing = true
		r.log.Warn("cannot report how this node does; it works on all the same, and is shown as silent until reports are written again", zap.Error(err))
	case err == nil && r.failing:
		r.failing = false
		r.log.Info("reports are written again")
	}
}
