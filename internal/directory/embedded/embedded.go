// Package embedded runs a server that speaks Redis's protocol inside this process:
// for `pushgate dev`, where the directory works without any server, and for tests.
// It is miniredis, and it is not Redis: it keeps nothing across restarts, and its
// memory has no bound. What the directory promises is therefore also tested on
// Redis.
package embedded

import (
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"

	"pushgate/internal/directory"
)

// Server is a running embedded server.
type Server struct{ mini *miniredis.Miniredis }

// Start starts a server on an address (host:port); port 0 takes a free one.
func Start(listen string) (*Server, error) {
	s := &Server{mini: miniredis.NewMiniRedis()}
	// Keys expire by the clock, as on Redis; miniredis leaves that to tests.
	s.mini.ClockTTL(true)
	if err := s.mini.StartAddr(listen); err != nil {
		return nil, fmt.Errorf("embedded directory: listening on %s: %w", listen, err)
	}
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.mini.Addr() }

// Config changes a configuration so that the directory is this server.
func (s *Server) Config(c directory.Config) directory.Config {
	d := directory.DefaultConfig().Redis
	d.Addr, d.KeyPrefix = []string{s.Addr()}, c.Redis.KeyPrefix
	d.Timeout = 10 * time.Second // It runs scripts a hundred times slower than Redis.
	c.Redis = d
	return c
}

// Close ends the server, and what it kept.
func (s *Server) Close() { s.mini.Close() }
