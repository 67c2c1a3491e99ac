package targeted

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"pushgate/internal/directory"
	"pushgate/internal/push"
)

// Book knows at which address a life of a node is. directory.ErrOtherLife: at none
// any more.
type Book interface {
	Address(ctx context.Context, node string, life uint64) (string, error)
}

// CallerParams of NewCaller.
type CallerParams struct {
	Book Book
	// Timeout bounds a call.
	Timeout time.Duration
	// Token is shown to the nodes; empty: none is.
	Token string
	// TLS of the connections; nil: they are not encrypted.
	TLS *tls.Config
	// Tracer follows calls; nil: none is followed.
	Tracer  Tracer
	Logger  *zap.Logger
	Metrics *Metrics
}

// Caller calls nodes: one pool of connections, and one circuit breaker, for each. It
// is safe for concurrent use.
type Caller struct {
	p         CallerParams
	scheme    string
	transport *http.Transport
	client    *http.Client

	mu       sync.Mutex
	breakers map[string]*breaker
}

type breaker = gobreaker.CircuitBreaker[*push.Receipt]

// A node is skipped for a moment after so many calls in a row have failed. The moment
// is short: a lease that ends says soon enough that a node is gone for good.
const (
	failuresInARow = 3
	skipFor        = time.Second
	maxBreakers    = 4096 // past it, they begin again
)

// NewCaller returns a caller; Close gives its connections back.
func NewCaller(p CallerParams) *Caller {
	const perNode = 64 // idle connections: about one for each partition in custody here
	c := &Caller{p: p, scheme: "http", breakers: make(map[string]*breaker)}
	if p.TLS != nil {
		c.scheme = "https"
	}
	c.transport = &http.Transport{
		TLSClientConfig: p.TLS, TLSHandshakeTimeout: p.Timeout,
		MaxIdleConnsPerHost: perNode, IdleConnTimeout: 30 * time.Second,
		DisableCompression: true,
	}
	c.client = &http.Client{
		Transport:     c.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Close ends the idle connections.
func (c *Caller) Close() { c.transport.CloseIdleConnections() }

// Call brings a node a carriage and returns its answer. It blocks for the timeout at
// most. An error that is directory.ErrOtherLife says that the node has not that life
// any more; with any other, nobody knows what became of the messages.
func (c *Caller) Call(ctx context.Context, node string, life uint64, carriage *push.Carriage) (*push.Receipt, error) {
	began := time.Now()
	answer, err := c.breakerOf(node).Execute(func() (*push.Receipt, error) {
		ctx, cancel := context.WithTimeout(ctx, c.p.Timeout)
		defer cancel()
		address, err := c.p.Book.Address(ctx, node, life)
		if err != nil {
			return nil, err
		}
		if c.p.Tracer == nil {
			return c.post(ctx, node, address, carriage, nil)
		}
		return c.followed(ctx, node, address, carriage)
	})
	result := resultAnswered
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		result = resultSkipped
		err = fmt.Errorf("skipped, as its calls keep failing: %w", err)
	case errors.Is(err, directory.ErrOtherLife), errors.Is(err, directory.ErrUnknownNode):
		result = resultUnknownNode
	case err != nil:
		result = resultFailed
	}
	if ctx.Err() == nil {
		c.p.Metrics.called(len(carriage.Records), result, time.Since(began))
	}
	return answer, err
}

func (c *Caller) breakerOf(node string) *breaker {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.breakers[node]; b != nil {
		return b
	}
	if len(c.breakers) >= maxBreakers {
		clear(c.breakers)
	}
	b := gobreaker.NewCircuitBreaker[*push.Receipt](gobreaker.Settings{
		Name: node, Timeout: skipFor,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= failuresInARow },
		IsExcluded: func(err error) bool {
			return errors.Is(err, directory.ErrOtherLife) || errors.Is(err, directory.ErrUnknownNode) || errors.Is(err, context.Canceled)
		},
		OnStateChange: func(node string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				c.p.Logger.Warn("calls to a node keep failing; it is skipped for a moment", zap.String("to", node), zap.Duration("for", skipFor))
			}
		},
	})
	c.breakers[node] = b
	return b
}

// post makes the call.
func (c *Caller) post(ctx context.Context, node, address string, carriage *push.Carriage, trace Trace) (*push.Receipt, error) {
	body := carriage.AppendBinary(make([]byte, 0, sizeOf(carriage)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.scheme+"://"+address+"/push", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", address, err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if c.p.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.p.Token)
	}
	if trace != nil {
		trace.Propagate(req.Header)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names method and address
	}
	defer func() { _ = res.Body.Close() }()
	const maxAnswer = 8 << 20 // far beyond an answer about as many messages as go into a call
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, c.refused(address, res, text)
	}
	answer, err := push.DecodeReceipt(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("understanding the answer of %s: %w", address, err)
	case answer.Node != node:
		return nil, fmt.Errorf("node %s answers at %s, which node %s advertises: check node.advertise of both", answer.Node, address, node)
	}
	return &answer, nil
}

func (c *Caller) refused(address string, res *http.Response, text []byte) error {
	const enough = 200
	err := fmt.Errorf("%s answers %s: %s", address, res.Status, strings.TrimSpace(string(text[:min(len(text), enough)])))
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		c.p.Logger.Error("a node refuses this one: internal.token, or the certificates of internal.tls, must be the same deployment's on all nodes", zap.Error(err))
	}
	return err
}

// sizeOf is about how many bytes a carriage takes.
func sizeOf(c *push.Carriage) int {
	const framing = 32
	n := framing
	for i := range c.Records {
		n += c.Records[i].Size() + framing
	}
	return n
}
