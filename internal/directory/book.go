package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// maxBook bounds an address book; past it, it begins again.
const maxBook = 4096

// Book remembers the addresses of nodes by their lives. A life does not move, so
// what is remembered is never wrong: a node that has gone does not answer, and one
// that came back has another life. It is safe for concurrent use.
type Book struct {
	resolver Resolver

	mu    sync.Mutex
	known map[entryLife]string
}

type entryLife struct {
	node   string
	number uint64
}

// ErrOtherLife says that a node has a newer life than the one that was asked for: all
// that was entered in that one is over.
var ErrOtherLife = errors.New("the node has another life by now")

// NewBook makes an address book of what a resolver finds.
func NewBook(r Resolver) *Book { return &Book{resolver: r, known: make(map[entryLife]string)} }

// Address returns where the life of a node that the directory named is reached. It
// blocks only for a life that was not asked for before. ErrOtherLife: look the user up
// again. ErrUnknownNode: it is not registered at the moment, which says nothing of its
// sessions while its lease holds.
func (b *Book) Address(ctx context.Context, node string, number uint64) (string, error) {
	key := entryLife{node: node, number: number}
	b.mu.Lock()
	address, ok := b.known[key]
	b.mu.Unlock()
	if ok {
		return address, nil
	}
	n, err := b.resolver.Resolve(ctx, node)
	if err != nil {
		return "", fmt.Errorf("finding the address of node %s: %w", node, err)
	}
	switch n.Life {
	case 0: // The resolver knows no lives; whom it reaches may change.
		return n.Addr, nil
	case number:
	default:
		err := ErrUnknownNode // it has begun the life, and is not registered with it yet
		if n.Life > number {
			err = ErrOtherLife
		}
		return "", fmt.Errorf("finding the address of node %s: it has life %d, not %d: %w", node, n.Life, number, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.known) >= maxBook {
		clear(b.known)
	}
	b.known[key] = n.Addr
	return n.Addr, nil
}
