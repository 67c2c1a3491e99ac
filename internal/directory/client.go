package directory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// batch is how many commands go into one pipeline at most: enough to make the
// round trip cheap, and few enough not to hold up a server's other clients.
const batch = 500

// Client is a connection to Redis, of whichever mode, for a Redis directory and a
// Redis registry. It is safe for concurrent use.
type Client struct {
	rdb     redis.UniversalClient
	keys    keys
	scripts scripts
	cluster bool
}

// Open makes a client. It does not connect: Redis may be away at the start, and
// every call connects by itself. The error is one of the configuration.
func Open(c RedisConfig) (*Client, error) {
	// The library's logger, which is the process's, writes a line for each connection
	// that cannot be made. Callers get the errors, and say once that Redis is away.
	logging.Disable()
	tls, err := c.TLS.Config(tlsKey)
	if err != nil {
		return nil, err
	}
	options := redis.UniversalOptions{
		Addrs: c.Addr, MasterName: c.MasterName, DB: c.DB, IsClusterMode: c.Mode == ModeCluster,
		Username: c.Username, Password: c.Password,
		SentinelUsername: c.SentinelUsername, SentinelPassword: c.SentinelPassword,
		TLSConfig: tls, DialTimeout: c.DialTimeout, ReadTimeout: c.Timeout, WriteTimeout: c.Timeout,
		PoolSize: c.PoolSize, ContextTimeoutEnabled: true, ClientName: "pushgate",
		// Callers try again themselves, and later. What is tried at once is what a
		// server's restart or failover breaks: a connection that is no more.
		MaxRetries: 1, DialerRetries: 1,
		// Neither is known to every server, and neither is of use here.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		// A connection from the pool may be one the server closed long ago.
		ConnMaxIdleTime: time.Minute,
	}
	client := &Client{keys: keys{prefix: c.KeyPrefix}, scripts: newScripts(), cluster: c.Mode == ModeCluster}
	switch c.Mode {
	case ModeCluster:
		client.rdb = redis.NewClusterClient(options.Cluster())
	case ModeSentinel:
		client.rdb = redis.NewFailoverClient(options.Failover())
	default:
		client.rdb = redis.NewClient(options.Simple())
	}
	return client, nil
}

// Ping asks whether Redis is there; of a cluster, whether one of its nodes is.
func (c *Client) Ping(ctx context.Context) error {
	if err := c.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("asking Redis: %w", err)
	}
	return nil
}

// Close ends all connections. Calls that are under way fail.
func (c *Client) Close() error {
	if err := c.rdb.Close(); err != nil {
		return fmt.Errorf("closing the connections to Redis: %w", err)
	}
	return nil
}

// call is a script to be run on a key.
type call struct {
	script *redis.Script
	key    string
	args   []any
	// answer, after run; its error is the call's.
	answer *redis.Cmd
}

// run runs scripts in one pipeline: in one round trip, or one to each node of a
// cluster at the same time. A server that does not know a script (it was
// restarted, it is new) is told in a second one: every script may be run twice.
func (c *Client) run(ctx context.Context, calls []call) {
	pipe := c.rdb.Pipeline()
	for i := range calls {
		calls[i].answer = pipe.EvalSha(ctx, calls[i].script.Hash(), []string{calls[i].key}, calls[i].args...)
	}
	send(ctx, pipe)
	c.teach(ctx, calls)
}

// send sends a pipeline, after which each answer has its own error. Where a connection
// could not be made ready - a password is wrong, say - the library tells it of the whole
// and leaves the answers as if they were none.
func send(ctx context.Context, pipe redis.Pipeliner) {
	answers, err := pipe.Exec(ctx)
	if err == nil || slices.ContainsFunc(answers, func(a redis.Cmder) bool { return a.Err() != nil }) {
		return
	}
	for _, a := range answers {
		a.SetErr(err)
	}
}

// teach runs again, with their source, the scripts that a server did not know.
func (c *Client) teach(ctx context.Context, calls []call) {
	pipe := c.rdb.Pipeline()
	for i := range calls {
		if redis.HasErrorPrefix(calls[i].answer.Err(), "NOSCRIPT") {
			calls[i].answer = calls[i].script.Eval(ctx, pipe, []string{calls[i].key}, calls[i].args...)
		}
	}
	if pipe.Len() > 0 {
		send(ctx, pipe)
	}
}

// one runs one script.
func (c *Client) one(ctx context.Context, script *redis.Script, key string, args ...any) *redis.Cmd {
	calls := []call{{script: script, key: key, args: args}}
	c.run(ctx, calls)
	return calls[0].answer
}
