package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"pushgate/internal/config"
	"pushgate/internal/custody"
	"pushgate/internal/targeted"
)

// maxQueued is how many messages of one partition may wait for a call to a node that
// has not answered for standstill. It is a fraction of custody.max_in_flight: many
// nodes have to stand still before nobody's messages are read.
const (
	maxQueued  = 2000
	standstill = time.Second
)

// newCouriers returns what makes the courier of a partition, nil where requests are
// read by the gateways.
func (n *Node) newCouriers(registry prometheus.Registerer) (func(partition int32) custody.Courier, error) {
	if n.directory == nil {
		return nil, nil //nolint:nilnil // nothing is carried
	}
	tls, err := n.config.Internal.TLS.Client(config.InternalTLSKey)
	if err != nil {
		return nil, err
	}
	metrics := targeted.NewMetrics(registry)
	routing, log := n.config.Routing, n.log.Named("targeted")
	caller := targeted.NewCaller(targeted.CallerParams{
		Book: n.directory.book, Timeout: routing.CallTimeout, Token: n.config.Internal.Token, TLS: tls,
		Tracer: n.callTracer(), Logger: log, Metrics: metrics,
	})
	n.closers.push("calls of other nodes", func(context.Context) error {
		caller.Close()
		return nil
	})
	return func(partition int32) custody.Courier {
		return targeted.NewCourier(targeted.CourierParams{
			Policy: targeted.Policy{
				Cache: routing.Cache, CallMessages: routing.BatchMessages, CallBytes: routing.BatchBytes, MaxQueued: maxQueued, Standstill: standstill,
			},
			Partition: partition, Directory: n.directory.redis, Calls: caller,
			Logger: log.With(zap.Int32("partition", partition)), Metrics: metrics,
		})
	}, nil
}
