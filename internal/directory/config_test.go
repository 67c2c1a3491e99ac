package directory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/directory/redistest"
	"pushgate/internal/tlsconfig"
)

func TestTheDefaultsAreValid(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"short lease":           {func(c *Config) { c.Lease = time.Millisecond }, "directory.lease is 1ms"},
		"long lease":            {func(c *Config) { c.Lease = 11 * time.Second }, "directory.lease is 11s"},
		"early sweep":           {func(c *Config) { c.SweepAfter = 7 * time.Second }, "directory.sweep_after is 7s"},
		"frequent refresh":      {func(c *Config) { c.Refresh = time.Minute }, "directory.refresh is 1m0s"},
		"no rate":               {func(c *Config) { c.RegisterRate = 0 }, "directory.register_rate is 0"},
		"mode":                  {func(c *Config) { c.Redis.Mode = "many" }, `directory.redis.mode is "many"`},
		"no address":            {func(c *Config) { c.Redis.Addr = nil }, "directory.redis.addr is empty"},
		"no port":               {func(c *Config) { c.Redis.Addr = []string{"redis"} }, `directory.redis.addr has "redis"`},
		"several of one":        {func(c *Config) { c.Redis.Addr = []string{"a:1", "b:1"} }, "directory.redis.addr has 2 addresses"},
		"nameless sentinel":     {func(c *Config) { c.Redis.Mode = ModeSentinel }, "directory.redis.master_name is empty"},
		"master's name":         {func(c *Config) { c.Redis.MasterName = "main" }, "are for mode sentinel"},
		"database":              {func(c *Config) { c.Redis.DB = -1 }, "directory.redis.db is -1"},
		"database of a cluster": {func(c *Config) { c.Redis.Mode, c.Redis.DB = ModeCluster, 1 }, "directory.redis.db is 1"},
		"no password":           {func(c *Config) { c.Redis.Username = "pushgate" }, "directory.redis.password is needed"},
		"no sentinel password":  {func(c *Config) { c.Redis.SentinelUsername = "pushgate" }, "directory.redis.sentinel_password is needed"},
		"braces":                {func(c *Config) { c.Redis.KeyPrefix = "{push}:" }, `directory.redis.key_prefix is "{push}:"`},
		"spaces":                {func(c *Config) { c.Redis.KeyPrefix = "push gate" }, `directory.redis.key_prefix is "push gate"`},
		"half a certificate":    {func(c *Config) { c.Redis.TLS.CertFile = "x" }, "directory.redis.tls.cert_file and"},
		"dial timeout":          {func(c *Config) { c.Redis.DialTimeout = 0 }, "directory.redis.dial_timeout is 0s"},
		"timeout":               {func(c *Config) { c.Redis.Timeout = 0 }, "directory.redis.timeout is 0s"},
		"pool":                  {func(c *Config) { c.Redis.PoolSize = 0 }, "directory.redis.pool_size is 0"},
	} {
		c := DefaultConfig()
		row.change(&c)
		assert.ErrorContains(t, c.Validate(), row.says, name)
	}
	c := DefaultConfig()
	c.Redis.Mode, c.Redis.MasterName, c.Redis.Addr, c.Redis.KeyPrefix = ModeSentinel, "main", []string{"a:1", "b:1"}, ""
	require.NoError(t, c.Validate())
}

func TestCertificatesThatCannotBeReadAreAnErrorThatNamesTheKey(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for says, tls := range map[string]tlsconfig.Client{
		"directory.redis.tls.ca_file: open":    {Enabled: true, CAFile: none},
		"directory.redis.tls.ca_file: no cert": {Enabled: true, CAFile: empty},
		"directory.redis.tls.cert_file":        {Enabled: true, CertFile: none, KeyFile: none},
	} {
		c := DefaultConfig().Redis
		c.TLS = tls
		_, err := Open(c)
		require.ErrorContains(t, err, says)
	}
}

func TestConnectionsToRedisAreEncryptedOnDemand(t *testing.T) {
	cert, key := certificate(t)
	server, ok := redistest.StartTLS(t, cert, key)
	if !ok {
		return
	}
	c := testConfig()
	c.Redis.Addr = []string{server.Addr}
	c.Redis.TLS = tlsconfig.Client{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key}
	r := open(t, c)
	redistest.Until(t, "the server answers", r.Ping)
	r.bind(t, r.begin(t, "gw-1"), session("alice", 1))
	assert.Len(t, r.find(t, "alice"), 1)
	c.Redis.TLS.CAFile = ""
	require.ErrorContains(t, open(t, c).Ping(t.Context()), "certificate")
	c.Redis.TLS.InsecureSkipVerify = true
	require.NoError(t, open(t, c).Ping(t.Context()))
}

// certificate makes one for the loopback, that is its own authority.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}
