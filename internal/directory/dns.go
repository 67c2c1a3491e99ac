package directory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// DNS resolves nodes where the platform gives them names: the pods of a
// StatefulSet behind a headless service, say, whose names are their node ids. It
// knows neither lives nor leases: whether a user is there, the directory says.
type DNS struct {
	// Suffix is what follows a node's id in its name, ".pushgate.default.svc.cluster.local".
	Suffix string
	// Port is where all nodes listen.
	Port string
	// Net looks up; nil: the system's resolver.
	Net *net.Resolver
}

var _ Resolver = DNS{}

// Resolve implements Resolver: a name by its address record, an address by its
// name record (PTR).
func (d DNS) Resolve(ctx context.Context, nameOrAddress string) (Node, error) {
	if host, _, err := net.SplitHostPort(nameOrAddress); err == nil {
		names, err := d.Net.LookupAddr(ctx, host)
		if err != nil {
			return Node{}, d.failed(nameOrAddress, err)
		}
		for _, name := range names {
			if id, ok := strings.CutSuffix(strings.TrimSuffix(name, "."), d.Suffix); ok && validNode(id) {
				return Node{ID: id, Addr: nameOrAddress}, nil
			}
		}
		return Node{}, fmt.Errorf("resolving %s: %w", nameOrAddress, ErrUnknownNode)
	}
	if !validNode(nameOrAddress) {
		return Node{}, fmt.Errorf("resolving %q: %w", nameOrAddress, ErrUnknownNode)
	}
	addresses, err := d.Net.LookupHost(ctx, nameOrAddress+d.Suffix)
	if err != nil {
		return Node{}, d.failed(nameOrAddress, err)
	}
	return Node{ID: nameOrAddress, Addr: net.JoinHostPort(addresses[0], d.Port)}, nil
}

func (d DNS) failed(asked string, err error) error {
	if e := (*net.DNSError)(nil); errors.As(err, &e) && e.IsNotFound {
		return fmt.Errorf("resolving %s: %w: %w", asked, ErrUnknownNode, err)
	}
	return fmt.Errorf("resolving %s: %w", asked, err)
}
