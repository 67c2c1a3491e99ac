package embedded_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"pushgate/internal/directory"
	"pushgate/internal/directory/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheDirectoryWorksWithoutAServer(t *testing.T) {
	s, err := embedded.Start("127.0.0.1:0")
	require.NoError(t, err)
	defer s.Close()
	_, err = embedded.Start(s.Addr())
	require.ErrorContains(t, err, "listening on "+s.Addr())
	c := directory.DefaultConfig()
	c.Redis.Mode, c.Redis.Password, c.Redis.KeyPrefix = directory.ModeCluster, "a secret", "dev:"
	c.Lease = 300 * time.Millisecond
	c = s.Config(c)
	require.Equal(t, "dev:", c.Redis.KeyPrefix)
	client, err := directory.Open(c.Redis)
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	d, registry := directory.NewRedis(client, c), directory.NewRedisRegistry(client, c)
	life, err := d.Begin(t.Context(), "dev", directory.Life{})
	require.NoError(t, err)
	require.NoError(t, registry.Register(t.Context(), directory.Node{ID: "dev", Life: life.Number, Addr: "127.0.0.1:8080"}))
	_, err = d.Bind(t.Context(), life, []directory.Session{{User: "alice", Epoch: 1, Type: "all"}})
	require.NoError(t, err)
	found := d.Lookup(t.Context(), []string{"alice"})
	require.NoError(t, found[0].Err)
	assert.Len(t, found[0].Entries, 1)
	// Leases end by the clock, without anybody's help.
	assert.Eventually(t, func() bool {
		found := d.Lookup(t.Context(), []string{"alice"})
		_, err := registry.Resolve(t.Context(), "dev")
		return found[0].Err == nil && len(found[0].Entries) == 0 && err != nil
	}, 10*time.Second, 20*time.Millisecond)
}
