package apachekafka

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"pushgate/internal/freeport"
)

//go:embed log4j2.xml
var log4j []byte

// How long nodes may take to answer. Alone on a machine it is a few seconds.
const startTimeout = 2 * time.Minute

// Params of Start.
type Params struct {
	// Nodes of the cluster: 1 or 3. With three, everything is replicated three
	// times and a write needs two.
	Nodes int
	// Dir takes the data, configuration and logs of the nodes. Required for
	// Start; Run takes the test's own when empty.
	Dir string
	// Security of the listener that clients connect to.
	Security Security
	// Detour gives each node one more listener, in plain text, that is advertised
	// under an address where nobody listens: the caller puts a proxy there. Who
	// starts from these addresses reaches the cluster by the proxies only. See
	// Cluster.Detours.
	Detour bool
	// Properties are added to every node's configuration, or replace what is
	// there.
	Properties map[string]string
	// Logger; nil: none.
	Logger *zap.Logger
}

// Cluster is Apache Kafka, running. Nodes are counted from 0. Its methods are
// not safe for concurrent use.
type Cluster struct {
	distribution Distribution
	nodes        []*node
	certificates Certificates
	log          *zap.Logger
	dir          string
	kill         context.CancelFunc
	alive        context.Context //nolint:containedctx // the processes' lifetime, which outlives every call
}

// Start starts a cluster and waits until all its nodes answer. The context
// bounds starting, not the cluster's life: that is ended by Close, or by the end
// of this process on Linux.
func Start(ctx context.Context, d Distribution, p Params) (_ *Cluster, err error) {
	if p.Nodes != 1 && p.Nodes != 3 {
		return nil, fmt.Errorf("Params.Nodes is %d: 1 or 3", p.Nodes)
	}
	if strings.Contains(p.Dir, ",") {
		return nil, fmt.Errorf("Params.Dir is %q: Kafka takes a comma for the end of a directory's name", p.Dir)
	}
	if err := p.Security.check(); err != nil {
		return nil, err
	}
	if p.Logger == nil {
		p.Logger = zap.NewNop()
	}
	c := &Cluster{distribution: d, log: p.Logger, dir: p.Dir}
	c.alive, c.kill = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if err := c.layOut(ctx, p); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := c.format(ctx, p.Security); err != nil {
		return nil, err
	}
	formatted := time.Since(began)
	for _, n := range c.nodes {
		if err := c.start(n); err != nil {
			return nil, err
		}
	}
	if err := c.Ready(ctx); err != nil {
		return nil, err
	}
	c.log.Info("Apache Kafka is ready", zap.String("version", Version), zap.Strings("clients", c.Addresses()),
		zap.Duration("formatting", formatted), zap.Duration("all", time.Since(began)))
	return c, nil
}

// layOut writes what the nodes read.
func (c *Cluster) layOut(ctx context.Context, p Params) error {
	const each = 5
	ports, err := freeport.Find(ctx, each*p.Nodes)
	if err != nil {
		return err
	}
	for i := range p.Nodes {
		own := ports[each*i:]
		n := &node{
			id: i + 1, dir: filepath.Join(p.Dir, fmt.Sprintf("node-%d", i)),
			clientPort: own[0], brokerPort: own[1], controllerPort: own[2],
		}
		if p.Detour {
			n.detourPort, n.proxyPort = own[3], own[4]
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := os.MkdirAll(n.dir, 0o750); err != nil {
			return fmt.Errorf("making a node's directory: %w", err)
		}
	}
	var authority authority
	var brokers pair
	if p.Security.TLS {
		a, err := newAuthority()
		if err != nil {
			return err
		}
		if brokers, err = a.issue("broker"); err != nil {
			return err
		}
		if c.certificates, err = a.write(p.Dir); err != nil {
			return err
		}
		authority = *a
	}
	if err := os.WriteFile(c.log4jFile(), log4j, 0o600); err != nil {
		return fmt.Errorf("writing the nodes' log settings: %w", err)
	}
	for _, n := range c.nodes {
		all := properties(n, c.nodes, p.Security)
		maps.Copy(all, p.Security.properties(authority.pem, brokers))
		maps.Copy(all, p.Properties)
		if err := os.WriteFile(n.propertiesFile(), []byte(encodeProperties(all)), 0o600); err != nil {
			return fmt.Errorf("writing a node's configuration: %w", err)
		}
	}
	return nil
}

func (n *node) dataDir() string        { return filepath.Join(n.dir, "data") }
func (n *node) propertiesFile() string { return filepath.Join(n.dir, "server.properties") }
func (n *node) logFile() string        { return filepath.Join(n.dir, "server.log") }
func (c *Cluster) log4jFile() string   { return filepath.Join(c.dir, "log4j2.xml") }

// format prepares the nodes' directories, all at the same time.
func (c *Cluster) format(ctx context.Context, s Security) error {
	cluster := newClusterID()
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range c.nodes {
		group.Go(func() error {
			args := append(c.java("kafka.tools.StorageTool"),
				"format", "--cluster-id", cluster, "--config", n.propertiesFile())
			p, err := run(ctx, n.logFile(), c.distribution.Java, append(args, s.formatArguments()...)...)
			if err != nil {
				return err
			}
			<-p.ended
			if p.err != nil {
				return fmt.Errorf("formatting node %d's directory: %w\n%s", n.id-1, p.err, tail(n.logFile()))
			}
			return nil
		})
	}
	return group.Wait()
}

// newClusterID makes an id as Kafka writes them. It does not begin with a dash:
// format would take it for an option.
func newClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // It never fails.
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// java is the command line of one of Kafka's programs: a small heap, and no
// time lost on optimising what runs for seconds.
func (c *Cluster) java(class string) []string {
	return []string{
		"-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile=" + c.log4jFile(),
		"-cp", filepath.Join(c.distribution.Libs, "*"), class,
	}
}

func (c *Cluster) start(n *node) error {
	p, err := run(c.alive, n.logFile(), c.distribution.Java, append(c.java("kafka.Kafka"), n.propertiesFile())...)
	if err != nil {
		return fmt.Errorf("starting node %d: %w", n.id-1, err)
	}
	n.process = p
	return nil
}

// running tells whether the node's process is there, paused or not.
func (n *node) running() bool {
	if n.process == nil {
		return false
	}
	select {
	case <-n.process.ended:
		return false
	default:
		return true
	}
}

// Addresses are where clients connect, with what Security says.
func (c *Cluster) Addresses() []string {
	return c.addresses(func(n *node) int { return n.clientPort })
}

// PlainAddresses are where anybody may connect whatever Security says, for a
// test's look behind the scenes.
func (c *Cluster) PlainAddresses() []string {
	return c.addresses(func(n *node) int { return n.brokerPort })
}

// Detour is a way to a node that leads through a proxy.
type Detour struct {
	// Listen is where the proxy has to listen: the address that the node names to
	// clients which reached it this way.
	Listen string
	// Forward is where the proxy has to lead.
	Forward string
}

// Detours are those of the nodes, in their order; nil without Params.Detour.
func (c *Cluster) Detours() []Detour {
	var all []Detour
	for _, n := range c.nodes {
		if n.detourPort != 0 {
			all = append(all, Detour{Listen: freeport.At(n.proxyPort), Forward: freeport.At(n.detourPort)})
		}
	}
	return all
}

func (c *Cluster) addresses(port func(*node) int) []string {
	out := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		out[i] = freeport.At(port(n))
	}
	return out
}

// Certificates are the files a client needs, where Security.TLS is set.
func (c *Cluster) Certificates() Certificates { return c.certificates }

// NodeID is the broker id, as clients see it, of a node.
func (c *Cluster) NodeID(i int) int32 { return int32(c.nodes[i].id) } //nolint:gosec // G115: 1 to 3.

// LogFile is where a node logs.
func (c *Cluster) LogFile(i int) string { return c.nodes[i].logFile() }

// Kill ends a node by SIGKILL and waits until it is gone. Killing one that is
// not running does nothing.
func (c *Cluster) Kill(i int) error {
	if !c.nodes[i].running() {
		return nil
	}
	c.log.Info("killing a node", zap.Int("node", i))
	return c.nodes[i].process.kill()
}

// Restart starts a node that was killed, on its old ports and data, and waits
// until it answers. One that is still running is killed before.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	if err := c.Kill(i); err != nil {
		return err
	}
	if err := c.start(c.nodes[i]); err != nil {
		return err
	}
	began := time.Now()
	if err := c.Ready(ctx); err != nil {
		return err
	}
	c.log.Info("a node is back", zap.Int("node", i), zap.Duration("after", time.Since(began)))
	return nil
}

// RestartAll kills all nodes that run, starts all, and waits until they answer:
// one node alone would wait for a majority that is not there.
func (c *Cluster) RestartAll(ctx context.Context) error {
	for i := range c.nodes {
		if err := c.Kill(i); err != nil {
			return err
		}
	}
	began := time.Now()
	for _, n := range c.nodes {
		if err := c.start(n); err != nil {
			return err
		}
	}
	if err := c.Ready(ctx); err != nil {
		return err
	}
	c.log.Info("all nodes are back", zap.Duration("after", time.Since(began)))
	return nil
}

// Pause stops a node where it is: its connections stay open, and nothing
// answers.
func (c *Cluster) Pause(i int) error { return c.signal(i, pause) }

// Continue lets a paused node go on.
func (c *Cluster) Continue(i int) error { return c.signal(i, resume) }

func (c *Cluster) signal(i int, send func(pid int) error) error {
	if !c.nodes[i].running() {
		return fmt.Errorf("node %d is not running", i)
	}
	return send(c.nodes[i].process.pid)
}

// Close kills all nodes and waits until they are gone. It may be called again.
func (c *Cluster) Close() {
	c.kill() // Of a cluster that is given up, nothing has to be saved.
	for _, n := range c.nodes {
		if n.running() {
			_ = n.process.kill() // It ends by the context, too.
		}
	}
}

// tail returns the last lines of a log.
func tail(path string) string {
	content, err := os.ReadFile(path) //nolint:gosec // G304: the test's own directory.
	if err != nil {
		return err.Error()
	}
	const lines = 30
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

var errEnded = errors.New("a node's process has ended")
