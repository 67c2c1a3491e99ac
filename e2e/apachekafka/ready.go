package apachekafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"pushgate/internal/freeport"
)

// How long one question to a node may take.
const askTimeout = 2 * time.Second

// Ready waits until each running node answers, and knows of all the others
// that run, and of a controller. It fails when one ends meanwhile, with the end
// of its log.
func (c *Cluster) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	running := map[int32]*node{}
	for _, n := range c.nodes {
		if n.running() {
			running[int32(n.id)] = n //nolint:gosec // G115: 1 to 3.
		}
	}
	for _, n := range running {
		if err := c.nodeReady(ctx, n, running); err != nil {
			return fmt.Errorf("waiting for node %d: %w\n%s", n.id-1, err, tail(n.logFile()))
		}
	}
	return nil
}

// nodeReady asks one node again and again, by a listener that asks for no login.
func (c *Cluster) nodeReady(ctx context.Context, n *node, running map[int32]*node) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	var last error
	for {
		if last = c.ask(ctx, n, running); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), last)
		case <-n.process.ended:
			return fmt.Errorf("%w: %w", errEnded, n.process.err)
		case <-again.C:
		}
	}
}

func (c *Cluster) ask(ctx context.Context, n *node, running map[int32]*node) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(freeport.At(n.brokerPort)), kgo.RequestRetries(0),
		kgo.RequestTimeoutOverhead(askTimeout)) // A request that was sent does not end with its context.
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer client.Close()
	found, err := kadm.NewClient(client).BrokerMetadata(ctx)
	if err != nil {
		return fmt.Errorf("asking for the brokers: %w", err)
	}
	if found.Controller < 0 {
		return fmt.Errorf("there is no controller yet")
	}
	known := map[int32]bool{}
	for _, id := range found.Brokers.NodeIDs() {
		known[id] = true
	}
	for id := range running {
		if !known[id] {
			return fmt.Errorf("it knows nothing of node %d yet", id-1)
		}
	}
	// The listener of clients comes last.
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", freeport.At(n.clientPort))
	if err != nil {
		return fmt.Errorf("dialling: %w", err)
	}
	return conn.Close() //nolint:wrapcheck // nothing was said
}

// InSync waits until every node says that every partition has a leader and all
// its replicas in sync, and knows these topics: one that was created is known to
// the controller first. Then the next node may be killed. All nodes have to run.
func (c *Cluster) InSync(ctx context.Context, topics ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for i, at := range c.PlainAddresses() {
		if err := nodeInSync(ctx, at, topics); err != nil {
			return fmt.Errorf("waiting for replicas, by node %d: %w", i, err)
		}
	}
	return nil
}

func nodeInSync(ctx context.Context, at string, topics []string) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	var answer, failure error // the last of each
	for {
		err := behind(ctx, at, topics)
		var b behindError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &b):
			answer, failure = err, nil
		default: // It may have been cut off while asking, by the context.
			failure = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), errors.Join(answer, failure))
		case <-again.C:
		}
	}
}

// behindError is an answer: what a node knows that is not in sync.
type behindError string

func (e behindError) Error() string { return string(e) }

// behind returns behindError where a partition is not in sync, or the node does not know a
// topic; and any other error where it could not be asked.
func behind(ctx context.Context, at string, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// A client of its own: one that has learnt of other nodes asks these, too.
	client, err := kgo.NewClient(kgo.SeedBrokers(at), kgo.RequestRetries(0), kgo.RequestTimeoutOverhead(askTimeout))
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer client.Close()
	found, err := kadm.NewClient(client).ListTopicsWithInternal(ctx)
	if err != nil {
		return fmt.Errorf("asking for the topics: %w", err)
	}
	for _, name := range topics {
		if !found.Has(name) {
			return behindError(fmt.Sprintf("it knows nothing of topic %s yet", name))
		}
	}
	for _, topic := range found {
		for _, p := range topic.Partitions {
			if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
				return behindError(fmt.Sprintf("partition %d of %s has leader %d, and %d of %d replicas in sync",
					p.Partition, p.Topic, p.Leader, len(p.ISR), len(p.Replicas)))
			}
		}
	}
	return nil
}
