package kafka_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
)

func TestGroupsAreListedFromAllBrokersAndDeletedWhereNobodyIsIn(t *testing.T) {
	b := kafkatest.Broker(t, kfake.NumBrokers(3))
	c := kafkatest.Open(t, b.Addresses())
	require.NoError(t, c.ApplyTopics(t.Context(), kafka.DefaultConfig().TopicSpecs(4, 1, 1<<16)))
	names, err := c.Groups(t.Context())
	require.NoError(t, err)
	assert.Empty(t, names)

	want := []string{"custodians"}
	for _, node := range []string{"a", "b", "c", "d", "e"} {
		name := kafka.GatewayGroup(node)
		require.NoError(t, c.Commit(t.Context(), name, requests, map[int32]kafka.Committed{1: {Offset: 0, Metadata: "1"}}))
		want = append(want, name)
	}
	leave := joinAs(t, c, nil)
	awaitMembers(t, c, "")
	names, err = c.Groups(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want, names)

	of, err := c.DescribeGroup(t.Context(), kafka.GatewayGroup("a"))
	require.NoError(t, err)
	assert.Equal(t, kafka.Group{Name: "pushgate.gateway.a", State: "Empty"}, of)
	of, err = c.DescribeGroup(t.Context(), "custodians")
	require.NoError(t, err)
	assert.Equal(t, kafka.Group{Name: "custodians", State: "Stable", Members: 1}, of)
	of, err = c.DescribeGroup(t.Context(), "nobody's")
	require.NoError(t, err)
	assert.Equal(t, kafka.Group{Name: "nobody's", State: "Dead"}, of)

	require.ErrorIs(t, c.DeleteGroup(t.Context(), "custodians"), kafka.ErrGroupInUse)
	require.NoError(t, c.DeleteGroup(t.Context(), kafka.GatewayGroup("a")))
	require.NoError(t, c.DeleteGroup(t.Context(), kafka.GatewayGroup("a")), "what is gone is gone")
	leave()
	require.Eventually(t, func() bool { return c.DeleteGroup(t.Context(), "custodians") == nil }, 10*time.Second, 50*time.Millisecond)
	names, err = c.Groups(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want[2:], names)
	committed, err := c.Committed(t.Context(), kafka.GatewayGroup("a"), requests, []int32{1})
	require.NoError(t, err)
	assert.Equal(t, kafka.NoOffset, committed[1].Offset, "its offsets went with it")

	// A gateway that comes back commits again.
	require.NoError(t, c.Commit(t.Context(), kafka.GatewayGroup("a"), requests, map[int32]kafka.Committed{1: {Offset: 0}}))
	names, err = c.Groups(t.Context())
	require.NoError(t, err)
	assert.Contains(t, names, kafka.GatewayGroup("a"))
}
