package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"go.uber.org/zap"
)

// Params of a Cluster.
type Params struct {
	Config     Config
	Logger     *zap.Logger
	Registerer prometheus.Registerer
	// GiveUp ends the retrying of a request that has failed for so long, for tools
	// that somebody waits for; 0: never, as a node needs it.
	GiveUp time.Duration
}

// Cluster is the way to one Kafka cluster: one set of connections for the whole
// process. Safe for concurrent use.
type Cluster struct {
	config    Config
	log       *zap.Logger
	giveUp    time.Duration
	transport *kafkago.Transport
	client    *kafkago.Client
	tls       *tls.Config
	sasl      sasl.Mechanism
	health    *health
	metrics   *metrics
	stop      context.CancelFunc
	closing   context.Context //nolint:containedctx // ends background dials of the transport on Close
	once      sync.Once
}

// Open prepares the way to a cluster. It reads TLS files but connects to nothing:
// a cluster that is away shows in Ready.
func Open(p Params) (*Cluster, error) {
	registerRawFetch()
	tlsConfig, err := p.Config.TLS.Config(tlsKey)
	if err != nil {
		return nil, err
	}
	mechanism, err := p.Config.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	transport := &kafkago.Transport{
		Dial:        dialer.DialContext,
		DialTimeout: 5 * time.Second,
		ClientID:    p.Config.ClientID,
		TLS:         tlsConfig,
		SASL:        mechanism,
		// A leader that moved is found again within this time.
		MetadataTTL: time.Second,
		IdleTimeout: 30 * time.Second,
		Context:     ctx,
	}
	c := &Cluster{
		config: p.Config, log: p.Logger.Named("kafka"), giveUp: p.GiveUp, transport: transport,
		client: &kafkago.Client{Addr: kafkago.TCP(p.Config.Brokers...), Transport: transport},
		tls:    tlsConfig, sasl: mechanism,
		metrics: newMetrics(p.Registerer), stop: stop, closing: ctx,
	}
	c.health = newHealth(c.log, c.metrics)
	return c, nil
}

// Topics returns the names of the platform's topics.
func (c *Cluster) Topics() Topics { return c.config.Topics }

// Close ends every connection and what the client library runs in the
// background. It does not wait for calls under way; those end with their
// contexts.
func (c *Cluster) Close() error {
	c.once.Do(func() {
		c.transport.CloseIdleConnections()
		c.stop()
	})
	return nil
}

// Ready returns nil while the cluster answers, else since when it does not, and
// why.
func (c *Cluster) Ready() error { return c.health.ready() }

// Run asks the cluster for a sign of life every second until ctx ends, so that
// Ready also knows when nothing else is asked for.
func (c *Cluster) Run(ctx context.Context) error {
	const interval = time.Second
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := c.Ping(ctx); err != nil && ctx.Err() == nil {
			c.log.Debug("probe failed", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Ping asks the cluster for a sign of life, once.
func (c *Cluster) Ping(ctx context.Context) error {
	return c.attempt(ctx, "api_versions", func(ctx context.Context) error {
		_, err := c.client.ApiVersions(ctx, &kafkago.ApiVersionsRequest{})
		return err //nolint:wrapcheck // wrapped by attempt
	})
}

// attempt makes one request under its own deadline, and remembers how it went.
func (c *Cluster) attempt(ctx context.Context, api string, do func(context.Context) error) error {
	return c.attemptWithin(ctx, api, c.config.RequestTimeout, do)
}

func (c *Cluster) attemptWithin(ctx context.Context, api string, limit time.Duration, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(bounded)
	if ctx.Err() != nil {
		return fmt.Errorf("kafka %s: %w", api, context.Cause(ctx))
	}
	if err != nil {
		err = fmt.Errorf("kafka %s: %w", api, err)
		c.metrics.errors.WithLabelValues(api).Inc()
		c.log.Debug("request failed", zap.String("api", api), zap.Error(err))
	}
	// The client library answers questions about topics out of its memory: that is
	// no sign of life.
	if err != nil || api != apiMetadata {
		c.health.note(err)
	}
	return err
}

// apiMetadata labels questions about topics.
const apiMetadata = "metadata"

// retry repeats a request until it succeeds, fails for good, or ctx ends.
func (c *Cluster) retry(ctx context.Context, api string, do func(context.Context) error) error {
	for wait := c.newBackoff(); ; {
		err := c.attempt(ctx, api, do)
		if err == nil || ctx.Err() != nil || permanent(err) || wait.exhausted() {
			return err
		}
		if err := wait.next(ctx); err != nil {
			return fmt.Errorf("kafka %s: %w", api, err)
		}
	}
}

// backoff is exponential with full jitter.
type backoff struct {
	limit time.Duration
	until time.Time // zero: for ever
}

const (
	backoffFirst = 50 * time.Millisecond
	backoffMax   = 2 * time.Second
)

func newBackoff() *backoff { return &backoff{limit: backoffFirst} }

func (c *Cluster) newBackoff() *backoff {
	b := newBackoff()
	if c.giveUp > 0 {
		b.until = time.Now().Add(c.giveUp)
	}
	return b
}

func (b *backoff) exhausted() bool { return !b.until.IsZero() && time.Now().After(b.until) }

// next waits, or returns the context's error.
func (b *backoff) next(ctx context.Context) error {
	d := b.limit/2 + time.Duration(rand.Int64N(int64(b.limit))) //nolint:gosec // spreads load, guards nothing
	b.limit = min(2*b.limit, backoffMax)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// permanent says that a broker refuses the request as such: trying the same
// again cannot help. What an operator can mend (a topic that is missing, rights,
// a broker that is down) is not permanent.
func permanent(err error) bool {
	var code kafkago.Error
	if !errors.As(err, &code) {
		return false
	}
	return slices.Contains([]kafkago.Error{
		kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge, kafkago.InvalidRecord, kafkago.InvalidTimestamp,
		kafkago.UnsupportedForMessageFormat, kafkago.InvalidRequiredAcks,
		kafkago.IllegalGeneration, kafkago.UnknownMemberId, kafkago.RebalanceInProgress, kafkago.FencedInstanceID,
		kafkago.OffsetOutOfRange, kafkago.OffsetMetadataTooLarge, kafkago.InvalidCommitOffsetSize,
		kafkago.UnsupportedVersion, kafkago.InvalidRequest,
	}, code)
}
