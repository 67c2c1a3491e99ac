package kafka_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/freeport"
	"pushgate/internal/kafka"
)

func TestAToolGivesUpWhereANodeWouldGoOnTrying(t *testing.T) {
	config := kafka.DefaultConfig()
	config.Brokers = []string{freeport.Address(t)}
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
