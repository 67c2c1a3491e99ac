package kafka_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
)

// joinAs joins the group until the test ends, or stop is called, which returns when
// the member has left.
func joinAs(t *testing.T, c *kafka.Cluster, about []byte) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		assert.NoError(t, c.RunGroup(ctx, kafka.GroupParams{
			Group: "custodians", Topic: requests, About: about,
			OnGeneration: func(ctx context.Context, _ *kafka.Generation) error {
				<-ctx.Done()
				return nil
			},
		}))
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// awaitMembers waits until the members of the group say these things of themselves.
func awaitMembers(t *testing.T, c *kafka.Cluster, want ...string) {
	t.Helper()
	var got []string
	require.EventuallyWithT(t, func(collect *assert.CollectT) {
		members, err := c.Members(t.Context(), "custodians")
		if errors.Is(err, kafka.ErrUnsettled) {
			collect.Errorf("%v", err)
			return
		}
		require.NoError(collect, err)
		got = got[:0]
		for _, m := range members {
			got = append(got, string(m.About))
			assert.NotEmpty(collect, m.ID)
			assert.Equal(collect, "pushgate", m.ClientID)
		}
		assert.ElementsMatch(collect, want, got)
	}, 20*time.Second, 10*time.Millisecond)
}

func TestMembersOfAGroupReadWhatOthersSayOfThemselves(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 4)
	members, err := c.Members(t.Context(), "custodians")
	require.NoError(t, err, "a group that does not exist has no members")
	assert.Empty(t, members)

	leave := joinAs(t, c, []byte("targeted a"))
	awaitMembers(t, c, "targeted a")
	joinAs(t, c, []byte("broadcast b"))
	joinAs(t, c, nil) // As earlier releases do.
	awaitMembers(t, c, "targeted a", "broadcast b", "")
	leave()
	awaitMembers(t, c, "broadcast b", "")
}

func TestAMemberThatComesAgainIsReadAnew(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	joinAs(t, c, []byte("broadcast a"))()
	awaitMembers(t, c)
	joinAs(t, c, []byte("targeted a"))
	awaitMembers(t, c, "targeted a")
}
