package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Node is a node as others see it.
type Node struct {
	// ID is its name, unique among nodes: 1 to 128 letters, digits, dots, dashes and
	// underscores. See NewNodeID.
	ID string
	// Life is the number of its life in the directory; 0: not known (DNS).
	Life uint64
	// Addr is where others reach it, ip:port (or host:port).
	Addr string
	// Capabilities are words that say what it can do.
	Capabilities []string
	// Since is when this life began to be registered, by the node's clock.
	Since time.Time
}

var errNodeID = errors.New("a node id has 1 to 128 letters, digits, dots, dashes and underscores")

// Validate says why a node cannot be registered.
func (n Node) Validate() error {
	if !validNode(n.ID) {
		return fmt.Errorf("node id %q: %w", n.ID, errNodeID)
	}
	if host, port, err := net.SplitHostPort(n.Addr); err != nil || host == "" || port == "" || !isWord(n.Addr) {
		return fmt.Errorf("node %s advertises %q: must be ip:port", n.ID, n.Addr)
	}
	for _, c := range n.Capabilities {
		if !isWord(c) {
			return fmt.Errorf("node %s has the capability %q: must be one word", n.ID, c)
		}
	}
	return nil
}

func validNode(id string) bool {
	const longest = 128
	return id != "" && len(id) <= longest && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// NewNodeID makes a name for a node that was given none. No two are the same.
func NewNodeID() string {
	const enough = 12 // characters of 5 bits
	return "node-" + strings.ToLower(rand.Text()[:enough])
}

// ErrUnknownNode says that nobody is registered under a name or at an address.
var ErrUnknownNode = errors.New("no node is registered under this name or address")

// Resolver finds a node. Resolve blocks for a round trip or two, is safe for
// concurrent use, and returns an error that is ErrUnknownNode where there is none.
type Resolver interface {
	Resolve(ctx context.Context, nameOrAddress string) (Node, error)
}

// Registry is node → address, under leases. The methods block for a round trip or
// two and are safe for concurrent use. The package comment says how other services
// could serve it.
type Registry interface {
	Resolver
	// Register announces a node for the length of a lease, in the place of whatever
	// stood under its name. ErrSuperseded: a newer life stands there.
	Register(ctx context.Context, n Node) error
	// Renew renews the lease. ErrLost: it had ended; register again. ErrSuperseded:
	// a newer life stands there.
	Renew(ctx context.Context, n Node) error
	// Deregister takes the node's life back, and does nothing to another's.
	Deregister(ctx context.Context, n Node) error
	// List returns the nodes whose lease holds, by name.
	List(ctx context.Context) ([]Node, error)
}
