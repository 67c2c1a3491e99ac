package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// keepListed is how long after its lease a name stays in the list of nodes. A name
// that is listed and gone costs one read of a key that is not there.
const keepListed = time.Hour

// RedisRegistry is a Registry in Redis.
type RedisRegistry struct {
	*Client
	lease time.Duration
}

var _ Registry = (*RedisRegistry)(nil)

// NewRedisRegistry makes a registry. The client is the caller's to close.
func NewRedisRegistry(client *Client, c Config) *RedisRegistry {
	return &RedisRegistry{Client: client, lease: c.Lease}
}

// The fields of a node's hash.
const (
	lifeField         = "life"
	addrField         = "addr"
	capabilitiesField = "capabilities"
	sinceField        = "since"
)

// Register implements Registry.
func (r *RedisRegistry) Register(ctx context.Context, n Node) error {
	if err := n.Validate(); err != nil {
		return err
	}
	answer, err := r.write(ctx, n, r.scripts.name, lifeField, n.Life, addrField, n.Addr,
		capabilitiesField, strings.Join(n.Capabilities, " "), sinceField, n.Since.UTC().Format(timeLayout))
	if err != nil {
		return fmt.Errorf("registering node %s: %w", n.ID, err)
	}
	if answer == 0 {
		return fmt.Errorf("registering node %s: %w", n.ID, ErrSuperseded)
	}
	return nil
}

// Renew implements Registry.
func (r *RedisRegistry) Renew(ctx context.Context, n Node) error {
	answer, err := r.write(ctx, n, r.scripts.renew)
	if err != nil {
		return fmt.Errorf("renewing the registration of node %s: %w", n.ID, err)
	}
	switch answer {
	case 0:
		return fmt.Errorf("renewing the registration of node %s: %w", n.ID, ErrSuperseded)
	case 1:
		return nil
	default:
		return fmt.Errorf("renewing the registration of node %s: %w", n.ID, ErrLost)
	}
}

// write runs a script on the node's own key, and keeps it in the list and its
// address resolvable, all in one round trip.
func (r *RedisRegistry) write(ctx context.Context, n Node, script *redis.Script, fields ...any) (int, error) {
	lease := r.lease.Milliseconds()
	calls := []call{
		{script: r.scripts.list, key: r.keys.nodes(), args: []any{lease, n.ID, keepListed.Milliseconds()}},
		{script: script, key: r.keys.node(n.ID), args: append([]any{lease, n.Life}, fields...)},
	}
	r.run(ctx, calls)
	answer, err := calls[1].answer.Int()
	if err == nil && answer == 1 {
		err = r.rdb.Set(ctx, r.keys.address(n.Addr), n.ID, r.lease).Err()
	}
	return answer, errors.Join(err, calls[0].answer.Err())
}

// Deregister implements Registry.
func (r *RedisRegistry) Deregister(ctx context.Context, n Node) error {
	// The address resolves through the node's key, and expires by itself.
	if err := r.one(ctx, r.scripts.drop, r.keys.node(n.ID), strconv.FormatUint(n.Life, 10)).Err(); err != nil {
		return fmt.Errorf("taking back the registration of node %s: %w", n.ID, err)
	}
	return nil
}

// Resolve implements Resolver. A node's name has no colon, an address has.
func (r *RedisRegistry) Resolve(ctx context.Context, nameOrAddress string) (Node, error) {
	id, address := nameOrAddress, strings.Contains(nameOrAddress, ":")
	if address {
		var err error
		if id, err = r.rdb.Get(ctx, r.keys.address(nameOrAddress)).Result(); errors.Is(err, redis.Nil) {
			return Node{}, fmt.Errorf("resolving %s: %w", nameOrAddress, ErrUnknownNode)
		} else if err != nil {
			return Node{}, fmt.Errorf("resolving %s: %w", nameOrAddress, err)
		}
	}
	fields, err := r.rdb.HGetAll(ctx, r.keys.node(id)).Result()
	if err != nil {
		return Node{}, fmt.Errorf("resolving %s: %w", nameOrAddress, err)
	}
	n, ok := parseNode(id, fields)
	if !ok || address && n.Addr != nameOrAddress {
		return Node{}, fmt.Errorf("resolving %s: %w", nameOrAddress, ErrUnknownNode)
	}
	return n, nil
}

// List implements Registry.
func (r *RedisRegistry) List(ctx context.Context) ([]Node, error) {
	ids, err := r.rdb.ZRange(ctx, r.keys.nodes(), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	slices.Sort(ids)
	pipe := r.rdb.Pipeline()
	answers := make([]*redis.MapStringStringCmd, len(ids))
	for i, id := range ids {
		answers[i] = pipe.HGetAll(ctx, r.keys.node(id))
	}
	if len(ids) > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("listing nodes: %w", err)
		}
	}
	var nodes []Node
	for i, a := range answers {
		if n, ok := parseNode(ids[i], a.Val()); ok {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// parseNode returns false for a node that is not there.
func parseNode(id string, fields map[string]string) (Node, bool) {
	number, err := strconv.ParseUint(fields[lifeField], 10, 64)
	since, err2 := time.Parse(timeLayout, fields[sinceField])
	if err != nil || err2 != nil {
		return Node{}, false
	}
	return Node{
		ID: id, Life: number, Addr: fields[addrField],
		Capabilities: strings.Fields(fields[capabilitiesField]), Since: since,
	}, true
}
