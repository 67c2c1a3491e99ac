package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/app"
	"pushgate/internal/config"
)

func devConfig(dir string) config.Config {
	c := config.Default()
	c.Node.ID = "dev"
	c.Dev.KafkaListen, c.Dev.DataDir = "127.0.0.1:0", dir
	c.Gateway.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Kafka.SessionTimeout, c.Drain.Timeout = time.Second, 0
	return c
}

func TestAPlatformRunsTwiceInOneProcessOnTheSameData(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		d, err := app.NewDev(t.Context(), app.Params{Config: devConfig(dir), Logger: zaptest.NewLogger(t), Version: "test"})
		require.NoError(t, err)
		assert.NotEmpty(t, d.GatewayAddr())
		assert.NotEmpty(t, d.AdminAddr())
		assert.NotEmpty(t, d.BrokerAddr())
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		select {
		case <-d.Up():
		case err := <-ended:
			require.NoError(t, err, "it ended before it was ready")
		}
		stop()
		require.NoError(t, <-ended)
	}
}

func TestAPlatformThatIsNotRunGivesEverythingBack(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		d, err := app.NewDev(t.Context(), app.Params{Config: devConfig(dir), Logger: zaptest.NewLogger(t)})
		require.NoError(t, err)
		require.NoError(t, d.Close())
	}
}

func TestAnAddressInUseGivesBackWhatWasAcquiredBefore(t *testing.T) {
	first, err := app.NewDev(t.Context(), app.Params{Config: devConfig(t.TempDir()), Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, first.Close()) }()
	c := devConfig(t.TempDir())
	c.Admin.Listen = first.AdminAddr()
	_, err = app.NewDev(t.Context(), app.Params{Config: c, Logger: zaptest.NewLogger(t)})
	assert.ErrorContains(t, err, "set admin.listen")
}

func TestANodeWithoutTheGatewayRoleHasNoGatewayListener(t *testing.T) {
	c := devConfig(t.TempDir())
	c.Node.Roles = []string{config.RoleCustodian}
	n, err := app.New(t.Context(), app.Params{Config: c, Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	defer n.Close()
	assert.Empty(t, n.GatewayAddr())
}
