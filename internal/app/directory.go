package app

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"pushgate/internal/directory"
	"pushgate/internal/push"
	"pushgate/internal/session"
)

// whereabouts is the directory as a node uses it, where routing is targeted: to look
// up users and the addresses of nodes, and to enter itself and its sessions.
type whereabouts struct {
	config   directory.Config
	redis    *directory.Redis
	registry *directory.RedisRegistry
	book     *directory.Book
	// presence is nil without the gateway's role.
	presence *presence
}

func (n *Node) openDirectory() error {
	client, err := directory.Open(n.config.Directory.Redis)
	if err != nil {
		return err
	}
	n.closers.push("directory connections", func(context.Context) error { return client.Close() })
	w := &whereabouts{
		config: n.config.Directory, redis: directory.NewRedis(client, n.config.Directory),
		registry: directory.NewRedisRegistry(client, n.config.Directory),
	}
	w.book = directory.NewBook(w.registry)
	n.directory = w
	return nil
}

// newPresence makes what keeps this gateway and its sessions in the directory. The
// listener that other nodes call must be bound.
func (n *Node) newPresence(registry prometheus.Registerer) error {
	address, err := n.advertised()
	if err != nil {
		return err
	}
	d := n.directory
	keeper, err := directory.NewKeeper(directory.KeeperParams{
		Config: d.config, Directory: d.redis, Lives: d.redis, Census: d.redis, Registry: d.registry,
		Node: directory.Node{
			ID: n.config.Node.ID, Addr: address, Capabilities: n.config.Node.Roles,
		},
		Bound: func(sessions []directory.Session) {
			for _, s := range sessions {
				n.delivery.Found(push.Binding{User: s.User, Type: s.Type})
			}
		},
		Logger: n.log.Named("directory"),
	})
	if err != nil {
		return fmt.Errorf("the node cannot be entered in the directory: %w", err)
	}
	d.presence = &presence{keeper: keeper, log: n.log.Named("directory"), epochs: make(map[*session.Session]uint64)}
	registerPresence(registry, keeper)
	return nil
}

// advertised is where other nodes reach this one: node.advertise, with the port that
// was found free where the listener was to choose one.
func (n *Node) advertised() (string, error) {
	address := n.config.Node.Advertise
	if address == "" {
		address = n.config.PushListen()
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("node.advertise is %q: write it as host:port", address)
	}
	if port != "0" {
		return address, nil
	}
	_, port, err = net.SplitHostPort(n.gateway.InternalAddr())
	if err != nil {
		return "", fmt.Errorf("the port that other nodes call: %w", err)
	}
	return net.JoinHostPort(host, port), nil
}

// presence enters sessions in the directory when they are bound, and removes them when
// they have ended. Safe for concurrent use; nothing blocks but Run.
type presence struct {
	keeper *directory.Keeper
	log    *zap.Logger

	mu     sync.Mutex
	epochs map[*session.Session]uint64 // what the keeper calls each
}

func (p *presence) bind(s *session.Session) {
	address, agent := s.Client()
	p.mu.Lock() // until its end can be told of, too
	defer p.mu.Unlock()
	epoch, err := p.keeper.Connect(directory.Session{
		User: s.User(), Type: s.Type(), Since: s.Opened(), ClientAddr: address, UserAgent: agent,
	})
	if err != nil {
		// Admission asks for more than the directory does: nobody comes here.
		p.log.Error("a session cannot be found by others", zap.String("user", s.User()), zap.Error(err))
		return
	}
	p.epochs[s] = epoch
}

func (p *presence) unbind(s *session.Session) {
	p.mu.Lock()
	epoch, ok := p.epochs[s]
	delete(p.epochs, s)
	p.mu.Unlock()
	if ok {
		p.keeper.Disconnect(epoch)
	}
}

// registerPresence publishes how the node stands in the directory.
func registerPresence(r prometheus.Registerer, keeper *directory.Keeper) {
	gauge := func(name, help string, value func(directory.State) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			return value(keeper.State())
		}))
	}
	gauge("pushgate_directory_sessions", "Sessions here that are to be found in the directory.",
		func(s directory.State) float64 { return float64(s.Sessions) })
	gauge("pushgate_directory_bound", "Of these, those that are entered, to this node's knowledge.",
		func(s directory.State) float64 { return float64(s.Bound) })
	gauge("pushgate_directory_lease_held", "1 while this node holds its lease in the directory.",
		func(s directory.State) float64 {
			if s.Err != nil {
				return 0
			}
			return 1
		})
}

// bound is called with each session that can take messages from now on.
func (n *Node) bound(s *session.Session) {
	n.delivery.Connected(push.Binding{User: s.User(), Type: s.Type()})
	if n.directory != nil {
		n.directory.presence.bind(s)
	}
}

// unbound is called with each session that takes none any more.
func (n *Node) unbound(s *session.Session) {
	if n.directory != nil {
		n.directory.presence.unbind(s)
	}
}

// sessions are all that are open here.
func (n *Node) sessions() []push.Binding {
	all := n.hub.All()
	bindings := make([]push.Binding, len(all))
	for i, s := range all {
		bindings[i] = push.Binding{User: s.User(), Type: s.Type()}
	}
	return bindings
}
