package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"pushgate/internal/admin"
	"pushgate/internal/admin/jobs"
	"pushgate/internal/auth"
	"pushgate/internal/canary"
	"pushgate/internal/config"
	"pushgate/internal/console"
	"pushgate/internal/custody"
	"pushgate/internal/delivery"
	"pushgate/internal/fleet"
	"pushgate/internal/gateway"
	"pushgate/internal/hub"
	"pushgate/internal/kafka"
	"pushgate/internal/session"
	"pushgate/internal/tracing"
	"pushgate/internal/ws"
)

// Params of a Node.
type Params struct {
	Config  config.Config
	Logger  *zap.Logger
	Version string
}

// Node is one process of a deployment: gateway, custodian, or both. Its two
// listeners are bound from New on; Run brings it to life.
type Node struct {
	config config.Config
	log    *zap.Logger

	cluster    *kafka.Cluster
	partitions *partitionCount
	publisher  *kafka.Publisher
	verifier   *auth.Verifier
	sockets    *ws.Server
	hub        *hub.Hub
	delivery   *delivery.Gateway
	custodian  *custody.Custodian
	gateway    *gateway.Server // nil without that role
	directory  *whereabouts    // nil unless routing is targeted
	modes      *modes          // nil unless routing is targeted and this is a gateway
	admin      *admin.Server
	jobs       *jobs.Runner    // of operators
	tracer     *tracing.Tracer // nil unless tracing is enabled
	canary     *canary.Canary  // nil unless there is one
	fleet      *fleet.View
	reporter   *fleet.Reporter
	born       time.Time

	topicsChecked atomic.Bool
	draining      atomic.Bool
	up            chan struct{} // closed when every check of readiness has passed once
	closers       stack         // of what New has acquired
}

// New makes a node and binds its listeners. It connects to nothing but a
// configured key set: a Kafka cluster that is away is waited for in Run. A node
// that is not run must be closed.
func New(ctx context.Context, p Params) (_ *Node, err error) {
	n := &Node{config: p.Config, up: make(chan struct{}), born: time.Now(), log: p.Logger.With(zap.String("node", p.Config.Node.ID))}
	n.closers.log = n.log
	defer func() {
		if err != nil {
			n.closers.unwind(ctx)
		}
	}()
	registry := newRegistry(p.Version, settings{strict: n.strict(), targeted: n.config.Targeted()})
	if err := n.openTracing(ctx, p.Version, registry); err != nil {
		return nil, err
	}
	if err := n.openKafka(registry); err != nil {
		return nil, err
	}
	if n.config.Targeted() {
		if err := n.openDirectory(); err != nil {
			return nil, err
		}
	}
	if n.config.Has(config.RoleCustodian) {
		if n.custodian, err = n.newCustodian(registry); err != nil {
			return nil, err
		}
	}
	if n.config.Has(config.RoleGateway) {
		if err := n.newGateway(ctx, registry); err != nil {
			return nil, err
		}
	}
	n.newCanary(registry)
	n.newView()
	n.admin, err = admin.New(ctx, admin.Params{
		Config: n.config.Admin, Checks: n.checks(), Details: n.details(), Gatherer: registry, API: n.newAPI(p.Version), Console: console.Handler(), Logger: n.log,
	})
	if err != nil {
		return nil, err
	}
	n.closers.push("admin listener", func(context.Context) error { return n.admin.Close() })
	n.newReporter(p.Version, registry)
	n.registerState(registry)
	return n, nil
}

func (n *Node) openKafka(registry prometheus.Registerer) error {
	cluster, err := kafka.Open(kafka.Params{Config: n.config.Kafka, Logger: n.log, Registerer: registry})
	if err != nil {
		return err
	}
	n.closers.push("kafka connections", func(context.Context) error { return cluster.Close() })
	n.cluster = cluster
	n.partitions = &partitionCount{cluster: cluster, log: n.log}
	n.publisher = cluster.NewPublisher(cluster.Topics().Requests)
	n.closers.push("publisher", func(context.Context) error {
		n.publisher.Close()
		return nil
	})
	return nil
}

func (n *Node) newCustodian(registry prometheus.Registerer) (*custody.Custodian, error) {
	couriers, err := n.newCouriers(registry)
	if err != nil {
		return nil, err
	}
	topics := n.cluster.Topics()
	return custody.New(custody.Params{
		Policy: custody.Policy{
			Custody: n.config.Custody, Retry: n.config.Retry, Waiting: n.config.Waiting,
			DropExpired: n.config.Message.Expired == config.ExpiredDrop, Outcomes: n.config.Outcomes.Enabled,
			Strict: n.strict(), Targeted: n.config.Targeted(),
		},
		Limits:     n.config.Limits(),
		Partitions: n.partitions.get,
		Topics: custody.Topics{
			Requests: topics.Requests, Receipts: topics.Receipts, Retry: topics.Retry, DeadLetter: topics.DeadLetter,
			Outcomes: topics.Outcomes,
		},
		Node: n.config.Node.ID, NewCourier: couriers, Log: custodyLog{n.cluster}, Positioner: n.cluster,
		Tracer: n.custodyTracer(), Logger: n.log.Named("custody"), Metrics: custody.NewMetrics(registry),
	}), nil
}

// newGateway makes the socket side, and what delivers to it.
func (n *Node) newGateway(ctx context.Context, registry prometheus.Registerer) (err error) {
	if n.verifier, err = auth.New(ctx, n.config.Auth); err != nil {
		return err
	}
	n.closers.push("key set", func(context.Context) error {
		n.verifier.Close()
		return nil
	})
	n.sockets, err = ws.NewServer(ws.ServerParams{Limits: n.config.Session.Limits(), Registerer: registry})
	if err != nil {
		return err
	}
	sessions, err := session.NewFactory(session.FactoryParams{
		Config: n.config.Session, Logger: n.log.Named("session"), Registerer: registry,
	})
	if err != nil {
		return err
	}
	// The hub tells delivery of sessions, delivery asks it for those of a user.
	n.hub, err = hub.New(hub.Params{
		MaxPerUser: n.config.Session.MaxPerUser, Registerer: registry,
		OnBind: n.bound, OnUnbind: n.unbound,
	})
	if err != nil {
		return err
	}
	topics := n.cluster.Topics()
	n.delivery = delivery.New(delivery.Params{
		Config: n.config.Delivery, Limits: n.config.Limits(), Node: n.config.Node.ID,
		Requests: topics.Requests, Receipts: topics.Receipts,
		Partitions: n.partitions.get, Log: deliveryLog{n.cluster, n.partitions.get},
		Positions: gatewayPositions{
			cluster: n.cluster, group: kafka.GatewayGroup(n.config.Node.ID), topic: topics.Requests, custodians: n.config.Custody.Group,
		},
		Hub: n.hub, Users: n.users, Sessions: n.sessions, Tracer: n.deliveryTracer(), Logger: n.log,
		Metrics: delivery.NewMetrics(registry, n.config.Metrics.Types...),
	})
	internalTLS, err := n.config.Internal.TLS.Server(config.InternalTLSKey)
	if err != nil {
		return err
	}
	n.gateway, err = gateway.New(ctx, gateway.Params{
		Config: n.config.Gateway, Limits: n.config.Limits(), Verifier: n.verifier, Sockets: n.sockets, Descriptors: descriptors(),
		Sessions: sessions, Hub: n.hub, Publisher: requestPublisher{n.publisher},
		Internal: gateway.Internal{
			Listen: n.config.Internal.Listen, Token: n.config.Internal.Token, TLS: internalTLS,
			TrustLoopback: n.config.Auth.Mode == auth.ModeNone,
		},
		Carrier: n.delivery,
		Ready:   n.takesSessions, Logger: n.log, Registerer: registry,
	})
	if err != nil {
		return err
	}
	n.closers.push("gateway listener", func(context.Context) error { return n.gateway.Close() })
	if n.directory == nil {
		return nil
	}
	n.modes = &modes{
		members: func(ctx context.Context) ([]kafka.Member, error) {
			return n.cluster.Members(ctx, n.config.Custody.Group)
		},
		set: n.delivery.SetCalled, log: n.log, lease: n.config.Directory.Lease,
	}
	if err := n.newPresence(registry); err != nil {
		return err
	}
	n.modes.entered = n.directory.presence.keeper.Ready
	return nil
}

func (n *Node) strict() bool { return n.config.Delivery.Order == delivery.Strict }

// GatewayAddr returns where clients connect, as host:port; empty without that
// role.
func (n *Node) GatewayAddr() string {
	if n.gateway == nil {
		return ""
	}
	return n.gateway.Addr()
}

// AdminAddr returns where the admin listener is, as host:port.
func (n *Node) AdminAddr() string { return n.admin.Addr() }

// Up is closed when the node has been ready for the first time.
func (n *Node) Up() <-chan struct{} { return n.up }

// Close gives back what New has acquired. Run does it, too.
func (n *Node) Close() { n.closers.unwind(context.Background()) }

// Run lives until ctx ends, then leaves in order and returns nil. It returns an
// error when the node cannot do its work, such as with topics that are not as
// they should be.
func (n *Node) Run(ctx context.Context) error {
	defer n.closers.unwind(ctx)
	running, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	parts := &stack{log: n.log, failed: failed}
	began := time.Now()
	n.log.Info("starting", zap.String("gateway", n.GatewayAddr()), zap.String("admin", n.AdminAddr()),
		zap.Strings("roles", n.config.Node.Roles), zap.String("order", n.config.Delivery.Order), zap.String("routing", n.config.Routing.Mode),
		zap.Strings("brokers", n.config.Kafka.Brokers))

	// First the listeners: they say how it is going, and refuse what comes before
	// the node is ready or after it has begun to drain.
	parts.run(ctx, "admin listener", n.admin.Run)
	if n.gateway != nil {
		parts.run(ctx, "gateway listener", n.gateway.Run)
	}
	parts.run(ctx, "kafka probe", n.cluster.Run)
	n.runFleet(ctx, parts)
	if err := n.awaitTopics(running); err != nil {
		parts.unwind(ctx)
		return n.ended(ctx, running, err)
	}
	parts.run(ctx, "partition count", n.partitions.Run)
	if n.custodian != nil {
		parts.run(ctx, "custodian", n.serveCustody)
	}
	if n.gateway != nil {
		parts.run(ctx, "delivery", n.delivery.Run)
		n.runPresence(ctx, parts)
		parts.run(ctx, "sockets", n.sockets.Run)
		parts.push("sessions", n.drain)
	}
	parts.run(ctx, "operations", n.jobs.Run) // interrupted while all they need still runs
	if n.awaitReady(running) {
		n.log.Info("ready", zap.Duration("took", time.Since(began)))
		close(n.up)
		if n.canary != nil {
			parts.run(ctx, "canary", n.canary.Run) // the last to come, the first to go
		}
	}

	<-running.Done()
	n.draining.Store(true)
	n.reporter.Soon()
	if ctx.Err() != nil {
		n.log.Info("draining", zap.Duration("over", n.config.Drain.Timeout))
	}
	parts.unwind(ctx)
	err := n.ended(ctx, running, nil)
	if err == nil {
		n.log.Info("stopped")
	}
	return err
}

// runPresence keeps the gateway in the directory. It ends after the sessions, so that
// each is removed, and before delivery says goodbye: nobody calls a node that cannot
// be found.
func (n *Node) runPresence(ctx context.Context, parts *stack) {
	if n.directory == nil {
		return
	}
	parts.run(ctx, "directory", n.directory.presence.keeper.Run)
	parts.run(ctx, "routing of the custodians", n.modes.Run)
}

// ended is what Run returns: nil when it was told to end.
func (n *Node) ended(ctx, running context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // what fails after that fails because of it
	}
	if err != nil {
		return err
	}
	return context.Cause(running)
}

// drain tells the sessions to go elsewhere, spread over the drain time; those
// that do not go are dropped by the step that follows.
func (n *Node) drain(ctx context.Context) error {
	over := n.config.Drain.Timeout
	// Beyond the last close frame: what is queued is written, and answered.
	bound := over + n.config.Session.WriteTimeout + 2*n.config.Session.CloseTimeout
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	return n.hub.Drain(bounded, over, session.CloseGoElsewhere)
}

// awaitTopics returns when the topics were found as they should be. A cluster
// that is away is waited for; topics that are wrong, and stay so for a moment, are
// an error that says what to type. For a moment, because the broker that is asked
// may not have heard yet of topics that were created just now.
func (n *Node) awaitTopics(ctx context.Context) error {
	specs := n.config.Kafka.TopicSpecs(0, 0, n.config.Message.MaxBytes)
	const (
		pause    = 500 * time.Millisecond
		patience = 3 * time.Second
	)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var wrongSince time.Time
	for {
		err := n.cluster.CheckTopics(ctx, specs)
		var wrong *kafka.WrongTopicsError
		switch {
		case err == nil:
			if err := n.partitions.find(ctx); err != nil {
				return fmt.Errorf("finding the partitions: %w", err)
			}
			n.topicsChecked.Store(true)
			return nil
		case !errors.As(err, &wrong):
			wrongSince = time.Time{}
		case wrongSince.IsZero():
			wrongSince = time.Now()
		case time.Since(wrongSince) > patience:
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// serveCustody is a member of the group that shares the partitions out.
func (n *Node) serveCustody(ctx context.Context) error {
	return n.cluster.RunGroup(ctx, kafka.GroupParams{
		Group: n.config.Custody.Group, Topic: n.cluster.Topics().Requests, About: aboutCustodian(n.config),
		OnGeneration: func(ctx context.Context, g *kafka.Generation) error {
			// Partitions that were added are assigned before the next look at their
			// number.
			if err := n.partitions.find(ctx); err != nil {
				return fmt.Errorf("finding the partitions: %w", err)
			}
			return n.custodian.Serve(ctx, assignment{g})
		},
	})
}
