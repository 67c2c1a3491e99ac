// Package embedded runs a broker that speaks Kafka's protocol inside this
// process: for `pushgate dev`, and for tests. It is franz-go's kfake, and it is
// not Kafka: one broker, no replication, and only as durable as the machine's
// page cache - killing the process loses nothing, losing power may. What the
// platform promises is therefore also tested on Apache Kafka.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config of a Broker.
type Config struct {
	// Listen is the address to listen on; port 0 takes a free one.
	Listen string
	// DataDir keeps everything across restarts; empty: in memory.
	DataDir string
	// Options go to kfake, for tests (TLS, SASL).
	Options []kfake.Opt
}

// Broker is a running embedded broker.
type Broker struct {
	*kfake.Cluster
	lock *os.File
}

// Start starts a broker, with what DataDir holds.
func Start(ctx context.Context, c Config) (*Broker, error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: address %q is not host:port: %w", c.Listen, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: port %q is no number", port)
	}
	listen := func(network, address string) (net.Listener, error) {
		_, port, _ := net.SplitHostPort(address)
		var lc net.ListenConfig
		return lc.Listen(ctx, network, net.JoinHostPort(host, port))
	}
	b := &Broker{}
	options := append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(number), kfake.ListenFn(listen), kfake.ClusterID("pushgate-embedded"),
		kfake.GroupMinSessionTimeout(100 * time.Millisecond),
	}, c.Options...)
	if c.DataDir != "" {
		if b.lock, err = lockDir(c.DataDir); err != nil {
			return nil, err
		}
		options = append(options, kfake.DataDir(filepath.Join(c.DataDir, "broker")))
	}
	b.Cluster, err = kfake.NewCluster(options...)
	if err != nil {
		err = errors.Join(err, b.unlock())
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("embedded broker: %s is in use already: stop what listens there, or choose another address with --kafka-listen", c.Listen)
		}
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	stampAppendTime(b.Cluster)
	return b, nil
}

// Addresses returns where the broker listens, as host:port.
func (b *Broker) Addresses() []string { return b.ListenAddrs() }

// Close stops the broker and writes what is not written yet.
func (b *Broker) Close() error {
	b.Cluster.Close()
	return b.unlock()
}

// lockDir makes sure that one process at a time uses a data directory. The lock
// ends with the process, however it ends.
func lockDir(dir string) (*os.File, error) {
	const private = 0o700
	if err := os.MkdirAll(dir, private); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the directory the user named
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := flock(file); err != nil {
		holder, _ := os.ReadFile(path) //nolint:gosec // as above
		_ = file.Close()
		return nil, fmt.Errorf("data directory %s is in use by process %s: stop it, or choose another directory with --data-dir",
			dir, strings.TrimSpace(string(holder)))
	}
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	return file, nil
}

func (b *Broker) unlock() error {
	if b.lock == nil {
		return nil
	}
	if err := b.lock.Close(); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
