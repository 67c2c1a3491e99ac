package app

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"go.uber.org/zap"

	directory "pushgate/internal/directory/embedded"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/embedded"
	"pushgate/internal/listen"
)

// devPartitions is how many partitions the topics of a development platform get:
// enough for what depends on there being several.
const devPartitions = 8

// Dev is a whole platform in one process: a broker, the directory where routing is
// targeted, and a node on them. The node is that of a cluster; only the addresses
// differ.
type Dev struct {
	*Node
	broker    *embedded.Broker
	directory *directory.Server // nil where routing is broadcast
}

// NewDev starts the broker with what its data directory holds, creates the
// topics and binds the node's listeners. A Dev that is not run must be closed.
func NewDev(ctx context.Context, p Params) (_ *Dev, err error) {
	broker, err := embedded.Start(ctx, embedded.Config{Listen: p.Config.Dev.KafkaListen, DataDir: p.Config.Dev.DataDir})
	if err != nil {
		return nil, err
	}
	d := &Dev{broker: broker}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.closeServers())
		}
	}()
	p.Config.Kafka.Brokers = broker.Addresses()
	if p.Config.Targeted() {
		if d.directory, err = startDirectory(p.Config.Dev.RedisListen); err != nil {
			return nil, err
		}
		p.Config.Directory = d.directory.Config(p.Config.Directory)
	}
	if err := applyTopics(ctx, p); err != nil {
		return nil, fmt.Errorf("creating the topics: %w", err)
	}
	if d.Node, err = New(ctx, p); err != nil {
		return nil, err
	}
	return d, nil
}

func startDirectory(address string) (*directory.Server, error) {
	s, err := directory.Start(address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &listen.InUseError{Name: "embedded directory", Key: "dev.redis_listen", Address: address}
	}
	return s, err
}

func applyTopics(ctx context.Context, p Params) error {
	cluster, err := kafka.Open(kafka.Params{Config: p.Config.Kafka, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	return cluster.ApplyTopics(ctx, p.Config.Kafka.TopicSpecs(devPartitions, 1, p.Config.Message.MaxBytes))
}

// BrokerAddr returns where producers reach the broker, as host:port.
func (d *Dev) BrokerAddr() string { return d.broker.Addresses()[0] }

// DirectoryAddr returns where the directory is, as host:port; empty where routing is
// broadcast.
func (d *Dev) DirectoryAddr() string {
	if d.directory == nil {
		return ""
	}
	return d.directory.Addr()
}

// Run is Node.Run; at the end the broker writes what is not written yet.
func (d *Dev) Run(ctx context.Context) error {
	return errors.Join(d.Node.Run(ctx), d.closeServers())
}

func (d *Dev) closeServers() error {
	if d.directory != nil {
		d.directory.Close()
	}
	return d.broker.Close()
}

// Close gives back what NewDev has acquired. Run does it, too.
func (d *Dev) Close() error {
	d.Node.Close()
	return d.closeServers()
}
