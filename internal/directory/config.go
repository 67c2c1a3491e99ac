package directory

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"pushgate/internal/tlsconfig"
)

// Config of the directory and of what a node does to stay in it.
type Config struct {
	Redis        RedisConfig   `mapstructure:"redis"`
	Lease        time.Duration `mapstructure:"lease" doc:"A node that could not renew its lease for this long counts as gone, and its users as offline. Renewed three times as often. Must be the same on all nodes."`
	SweepAfter   time.Duration `mapstructure:"sweep_after" doc:"How long after the end of its lease a node's entries are removed. A node that is back before (Redis was away, the node was paused) has them still."`
	Refresh      time.Duration `mapstructure:"refresh" doc:"Every entry is written again at least this often, so that what Redis has lost unnoticed (a failover) comes back. Entries that nobody writes again expire after three times this."`
	RegisterRate int           `mapstructure:"register_rate" doc:"Sessions a second that a node writes again after Redis was away or emptied."`
}

// RedisConfig says how to reach Redis.
type RedisConfig struct {
	Mode             string           `mapstructure:"mode" doc:"single, sentinel or cluster."`
	Addr             []string         `mapstructure:"addr" doc:"Addresses (host:port): of the server, of some sentinels, or of some nodes of the cluster."`
	MasterName       string           `mapstructure:"master_name" doc:"What the sentinels call the master."`
	DB               int              `mapstructure:"db" doc:"Number of the database. A cluster has only 0."`
	Username         string           `mapstructure:"username" doc:"ACL user to log in as; empty: the default user."`
	Password         string           `mapstructure:"password" secret:"true" doc:"Password to log in with; empty: no login."`
	SentinelUsername string           `mapstructure:"sentinel_username" doc:"ACL user to log in as at the sentinels."`
	SentinelPassword string           `mapstructure:"sentinel_password" secret:"true" doc:"Password to log in with at the sentinels; empty: no login."`
	TLS              tlsconfig.Client `mapstructure:"tls"`
	KeyPrefix        string           `mapstructure:"key_prefix" doc:"What all keys begin with, so that several deployments can share a Redis."`
	DialTimeout      time.Duration    `mapstructure:"dial_timeout" doc:"How long connecting may take."`
	Timeout          time.Duration    `mapstructure:"timeout" doc:"How long reading an answer, or writing a request, may take."`
	PoolSize         int              `mapstructure:"pool_size" doc:"Connections to each server at most."`
}

// tlsKey is the section of the configuration that TLS stands in.
const tlsKey = "directory.redis.tls"

// The ways in which Redis is run.
const (
	ModeSingle   = "single"
	ModeSentinel = "sentinel"
	ModeCluster  = "cluster"
)

// A lease in these bounds is noticed to have ended in time, and is not lost to a
// pause of the garbage collector.
const (
	minLease = time.Second
	maxLease = 10 * time.Second
)

// DefaultConfig returns the defaults of Config.
func DefaultConfig() Config {
	return Config{
		Redis: RedisConfig{
			Mode: ModeSingle, Addr: []string{"127.0.0.1:6379"}, KeyPrefix: "pushgate:",
			DialTimeout: 2 * time.Second, Timeout: 2 * time.Second, PoolSize: 16,
		},
		Lease:        6 * time.Second,
		SweepAfter:   time.Minute,
		Refresh:      5 * time.Minute,
		RegisterRate: 10_000,
	}
}

// Validate reports every value that cannot work.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Lease < minLease || c.Lease > maxLease {
		add("directory.lease is %s: must be from %s to %s", c.Lease, minLease, maxLease)
	}
	if c.SweepAfter < 2*c.Lease {
		add("directory.sweep_after is %s: must be at least twice directory.lease (%s), so that a write that is late cannot come after the sweeping", c.SweepAfter, c.Lease)
	}
	if c.Refresh < 2*c.SweepAfter {
		add("directory.refresh is %s: must be at least twice directory.sweep_after (%s), so that entries do not expire before they are swept", c.Refresh, c.SweepAfter)
	}
	if c.RegisterRate < 1 {
		add("directory.register_rate is %d: must be at least 1", c.RegisterRate)
	}
	return errors.Join(append(errs, c.Redis.validate())...)
}

// problems gathers what is wrong with the keys of directory.redis.
type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Errorf("directory.redis."+format, args...))
}

func (c RedisConfig) validate() error {
	var p problems
	c.validateServers(&p)
	if c.Username != "" && c.Password == "" {
		p.add("username is %q: directory.redis.password is needed, too", c.Username)
	}
	if c.SentinelUsername != "" && c.SentinelPassword == "" {
		p.add("sentinel_username is %q: directory.redis.sentinel_password is needed, too", c.SentinelUsername)
	}
	if c.KeyPrefix != "" && (!isWord(c.KeyPrefix) || strings.ContainsAny(c.KeyPrefix, "{}")) {
		p.add("key_prefix is %q: use printable characters without spaces and braces (braces would put every key on one node of a cluster)", c.KeyPrefix)
	}
	if err := c.TLS.Validate(tlsKey); err != nil {
		p = append(p, err)
	}
	const shortest = 10 * time.Millisecond
	if c.DialTimeout < shortest {
		p.add("dial_timeout is %s: must be at least %s", c.DialTimeout, shortest)
	}
	if c.Timeout < shortest {
		p.add("timeout is %s: must be at least %s", c.Timeout, shortest)
	}
	if c.PoolSize < 1 {
		p.add("pool_size is %d: must be at least 1", c.PoolSize)
	}
	return errors.Join(p...)
}

// validateServers looks at which servers there are, and how they are run.
func (c RedisConfig) validateServers(p *problems) {
	switch c.Mode {
	case ModeSingle:
		if len(c.Addr) > 1 {
			p.add("addr has %d addresses: mode single takes one; set directory.redis.mode to sentinel or cluster", len(c.Addr))
		}
	case ModeSentinel:
		if c.MasterName == "" {
			p.add("master_name is empty: mode sentinel needs the name that the sentinels know the master by")
		}
	case ModeCluster:
		if c.DB != 0 {
			p.add("db is %d: a cluster has only database 0", c.DB)
		}
	default:
		p.add("mode is %q: must be %s, %s or %s", c.Mode, ModeSingle, ModeSentinel, ModeCluster)
	}
	if c.Mode != ModeSentinel && c.MasterName+c.SentinelUsername+c.SentinelPassword != "" {
		p.add("master_name, sentinel_username and sentinel_password are for mode sentinel: mode is %q", c.Mode)
	}
	if len(c.Addr) == 0 {
		p.add("addr is empty: name at least one address as host:port")
	}
	for _, a := range c.Addr {
		if _, port, err := net.SplitHostPort(a); err != nil || port == "" {
			p.add("addr has %q: write it as host:port", a)
		}
	}
	if c.DB < 0 {
		p.add("db is %d: must not be negative", c.DB)
	}
}

// isWord says whether a text is printable ASCII without spaces, and not empty.
func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
