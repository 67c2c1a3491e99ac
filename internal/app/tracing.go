package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"pushgate/internal/custody"
	"pushgate/internal/delivery"
	"pushgate/internal/push"
	"pushgate/internal/targeted"
	"pushgate/internal/tracing"
)

// openTracing makes the tracer of the node, if there is to be one. What is left is sent
// when all that makes spans has ended.
func (n *Node) openTracing(ctx context.Context, version string, registry prometheus.Registerer) error {
	if !n.config.Tracing.Enabled {
		return nil
	}
	tracer, err := tracing.New(ctx, tracing.Params{
		Config: n.config.Tracing, Node: n.config.Node.ID, Version: version, Topic: n.config.Kafka.Topics.Requests,
		Logger: n.log, Registerer: registry,
	})
	if err != nil {
		return err
	}
	n.tracer = tracer
	n.closers.push("tracing", tracer.Close)
	return nil
}

// Those who follow messages, in the words of those who are followed; nil where nothing
// is. A nil of the tracer's own type would not be their nil.

func (n *Node) deliveryTracer() delivery.Tracer {
	if n.tracer == nil {
		return nil
	}
	return deliveryTracer{n.tracer}
}

type deliveryTracer struct{ *tracing.Tracer }

func (t deliveryTracer) Delivery(m *push.Message, headers push.Headers) delivery.Trace {
	if d := t.Tracer.Delivery(m, headers); d != nil {
		return d
	}
	return nil
}

func (n *Node) custodyTracer() custody.Tracer {
	if n.tracer == nil {
		return nil
	}
	return custodyTracer{n.tracer}
}

type custodyTracer struct{ *tracing.Tracer }

func (t custodyTracer) Custody(m *push.Message, headers push.Headers) custody.Trace {
	if c := t.Tracer.Custody(m, headers); c != nil {
		return c
	}
	return nil
}

func (n *Node) callTracer() targeted.Tracer {
	if n.tracer == nil {
		return nil
	}
	return callTracer{n.tracer}
}

type callTracer struct{ *tracing.Tracer }

func (t callTracer) Call(node string, c *push.Carriage) targeted.Trace {
	if call := t.Tracer.Call(node, c); call != nil {
		return call
	}
	return nil
}
