package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/session"
	"pushgate/internal/ws"
)

func TestTheDefaultsAreValidAndAreTheTransportsLimits(t *testing.T) {
	c := session.DefaultConfig()
	require.NoError(t, c.Validate())
	assert.Equal(t, ws.DefaultLimits(), c.Limits())
	assert.Equal(t, 262144, c.MaxBufferedBytes)
	assert.Equal(t, 10*time.Second, c.WriteTimeout)
	assert.Equal(t, 10*time.Second, c.AckTimeout)
	assert.Equal(t, 25*time.Second, c.PingInterval)
}

func TestTheTransportGetsTheConfiguredLimits(t *testing.T) {
	c := session.Config{
		MaxBufferedBytes: 1 << 20, MaxFrameBytes: 1 << 10, WriteTimeout: 1, PingInterval: 2, CloseTimeout: 3,
		AckTimeout: 4, MaxUnacked: 5,
	}
	l := c.Limits()
	assert.Equal(t, 1<<20, l.MaxBufferedBytes)
	assert.Equal(t, 1<<10, l.MaxFrameBytes)
	assert.Equal(t, 1<<10, l.MaxMessageBytes)
	assert.Equal(t, []time.Duration{1, 2, 3}, []time.Duration{l.WriteTimeout, l.PingInterval, l.CloseTimeout})
	assert.Equal(t, ws.DefaultLimits().SocketSendBytes, l.SocketSendBytes)
	assert.False(t, l.Deflate)
	c.CompressFrom = 1
	assert.True(t, c.Limits().Deflate)
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*session.Config)
		want   string
	}{
		{"no buffer", func(c *session.Config) { c.MaxBufferedBytes = 4<<10 - 1 }, "session.max_buffered_bytes is 4095"},
		{"frames too small for an acknowledgement", func(c *session.Config) { c.MaxFrameBytes = 511 }, "session.max_frame_bytes is 511"},
		{"nothing may be pending", func(c *session.Config) { c.MaxUnacked = 0 }, "session.max_unacked is 0"},
		{"a negative number of connections", func(c *session.Config) { c.MaxPerUser = -1 }, "session.max_per_user is -1"},
		{"a negative size to compress from", func(c *session.Config) { c.CompressFrom = -1 }, "session.compress_from_bytes is -1"},
		{"no time to write", func(c *session.Config) { c.WriteTimeout = 0 }, "session.write_timeout is 0s"},
		{"no time to acknowledge", func(c *session.Config) { c.AckTimeout = -time.Second }, "session.ack_timeout is -1s"},
		{"no pings", func(c *session.Config) { c.PingInterval = 0 }, "session.ping_interval is 0s"},
		{"no time to say goodbye", func(c *session.Config) { c.CloseTimeout = 0 }, "session.close_timeout is 0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := session.DefaultConfig()
			c.change(&config)
			require.ErrorContains(t, config.Validate(), c.want)
			_, err := session.NewFactory(session.FactoryParams{Config: config, Logger: zap.NewNop()})
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestTheSmallestValuesThatWorkAreTaken(t *testing.T) {
	c := session.Config{
		MaxBufferedBytes: 4 << 10, MaxFrameBytes: 512, MaxUnacked: 1, MaxPerUser: 0,
		WriteTimeout: 1, AckTimeout: 1, PingInterval: 1, CloseTimeout: 1,
	}
	require.NoError(t, c.Validate())
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	err := session.Config{MaxPerUser: -1, CompressFrom: -1}.Validate()
	for _, key := range []string{
		"max_buffered_bytes", "max_frame_bytes", "max_unacked", "max_per_user", "compress_from_bytes",
		"write_timeout", "ack_timeout", "ping_interval", "close_timeout",
	} {
		assert.ErrorContains(t, err, "session."+key+" is ")
	}
}
