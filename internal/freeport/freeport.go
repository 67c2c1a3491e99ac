// Package freeport finds addresses for the servers that tests start, stop and start
// again.
//
// Its ports are below the range that systems use for outgoing connections (32768 and
// up). A port that the system chooses for a listener (":0") is from within it: once
// the listener is closed, the port may be given to somebody's outgoing connection -
// even to one that dials it, and so reaches itself - and the server cannot be started
// on it, or started again.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Loopback is the address whose ports these are.
const Loopback = "127.0.0.1"

const (
	first = 15000
	last  = 32000 // not included
)

// What this process was given, so that nobody is given a port that another has not
// listened on yet.
var (
	mu    sync.Mutex
	given = map[int]bool{}
)

// Find returns n different ports of the loopback that nobody listens on, and that
// this process was not given before. It fails when there are not enough, or the
// context ends. Other processes look for theirs from another random place.
func Find(ctx context.Context, n int) ([]int, error) {
	mu.Lock()
	defer mu.Unlock()
	ports := make([]int, 0, n)
	var lc net.ListenConfig
	start := rand.IntN(last - first) //nolint:gosec // G404: so that processes do not meet; no secret.
	for i := 0; i < last-first && len(ports) < n; i++ {
		port := first + (start+i)%(last-first)
		if given[port] {
			continue
		}
		l, err := lc.Listen(ctx, "tcp", At(port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("freeing port %d again: %w", port, err)
		}
		given[port] = true
		ports = append(ports, port)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("looking for free ports: %w", err)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("only %d of %d ports from %d to %d are free", len(ports), n, first, last-1)
	}
	return ports, nil
}

// At returns the address of a port of the loopback.
func At(port int) string { return net.JoinHostPort(Loopback, strconv.Itoa(port)) }

// Ports is Find for tests: it ends the test where Find fails.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	ports, err := Find(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

// Address returns the address of one such port. Where the test starts nothing on it,
// nobody answers there.
func Address(t testing.TB) string {
	t.Helper()
	return At(Ports(t, 1)[0])
}
