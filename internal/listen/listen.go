// Package listen binds HTTP listeners and serves them until it is time to go: what
// the gateway listener and the admin listener have in common.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Listener is a bound address that is not served yet. What connects meanwhile
// waits.
type Listener struct {
	net.Listener
	name string
}

// InUseError says that somebody else listens on the address of a listener.
type InUseError struct {
	// Name of the listener, and the configuration key its address comes from.
	Name, Key, Address string
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("%s: %s is in use already: stop what listens there, or set %s", e.Name, e.Address, e.Key)
}

// Bind listens on address. Where somebody else does, the error is an *InUseError.
func Bind(ctx context.Context, name, key, address string) (*Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &InUseError{Name: name, Key: key, Address: address}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Listener{Listener: l, name: name}, nil
}

// Close stops listening; for a listener that was never served.
func (l *Listener) Close() error {
	if err := l.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}

// Serve serves until ctx ends and the requests under way are answered, or two
// seconds after. Connections that were taken over are not requests: they live on.
func (l *Listener) Serve(ctx context.Context, s *http.Server) error {
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l.Listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("%s: %w", l.name, err)
	case <-ctx.Done():
	}
	const patience = 2 * time.Second
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := s.Shutdown(last); err != nil {
		_ = s.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}
