package app

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/kafka"
)

// partitionCount knows how many partitions the request topic has, and notices
// when some are added. Safe for concurrent use.
type partitionCount struct {
	cluster *kafka.Cluster
	log     *zap.Logger
	known   atomic.Int32
}

// get returns the number last seen; 0 before find.
func (p *partitionCount) get() int32 { return p.known.Load() }

// find blocks until the number is known or ctx ends.
func (p *partitionCount) find(ctx context.Context) error {
	n, err := p.cluster.Partitions(ctx, p.cluster.Topics().Requests)
	if err != nil {
		return err
	}
	// Partitions cannot be taken away; a topic made anew with fewer needs a
	// restart anyhow.
	if n > p.known.Load() {
		p.known.Store(n)
	}
	return nil
}

// Run looks now and then until ctx ends.
func (p *partitionCount) Run(ctx context.Context) error {
	const interval = 5 * time.Second
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := p.find(ctx); err != nil && ctx.Err() == nil {
			p.log.Debug("number of partitions not found", zap.Error(err))
		}
	}
}
