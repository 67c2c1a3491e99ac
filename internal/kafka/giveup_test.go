package kafka_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/kafka"
)

func TestAToolGivesUpWhereANodeWouldGoOnTrying(t *testing.T) {
	var lc net.ListenConfig
	nobody, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := nobody.Addr().String()
	require.NoError(t, nobody.Close())

	config := kafka.DefaultConfig()
	config.Brokers = []string{address}
	c, err := kafka.Open(kafka.Params{Config: config, Logger: zaptest.NewLogger(t), GiveUp: 200 * time.Millisecond})
	require.NoError(t, err)
	defer func() { _ = c.Close() }()

	began := time.Now()
	_, _, err = c.Bounds(t.Context(), requests, 0)
	assert.Error(t, err)
	_, err = c.NewReader(requests, 0, 0).Read(t.Context())
	assert.Error(t, err)
	assert.Less(t, time.Since(began), 10*time.Second)
}
