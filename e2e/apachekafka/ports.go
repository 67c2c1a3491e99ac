package apachekafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range that systems use for outgoing
// connections (32768 and up). From within it, a killed node's port may be given
// to somebody's outgoing connection - even to a client that dials the node, and
// so reaches itself - and the node could not be restarted.
const (
	firstPort = 15000
	lastPort  = 32000
)

// FreeAddresses finds addresses of the loopback that nobody listens on, and that
// the system gives to no outgoing connection: a process that is killed finds its
// own free again.
func FreeAddresses(ctx context.Context, n int) ([]string, error) {
	ports, err := freePorts(ctx, n)
	if err != nil {
		return nil, err
	}
	all := make([]string, n)
	for i, port := range ports {
		all[i] = address(port)
	}
	return all, nil
}

// freePorts finds ports of the loopback that nobody listens on.
func freePorts(ctx context.Context, n int) ([]int, error) {
	ports := make([]int, 0, n)
	var lc net.ListenConfig
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	start := rand.IntN(lastPort - firstPort) //nolint:gosec // G404: so that runs at the same time do not meet; no secret.
	for i := range lastPort - firstPort {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + (start+i)%(lastPort-firstPort)
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		held = append(held, l)
		ports = append(ports, port)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("looking for free ports: %w", err)
	}
	return nil, errors.New("there are not enough free ports between " + strconv.Itoa(firstPort) + " and " + strconv.Itoa(lastPort))
}

func dial(ctx context.Context, port int) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address(port))
	if err != nil {
		return nil, fmt.Errorf("dialling: %w", err)
	}
	return conn, nil
}
