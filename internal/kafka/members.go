package kafka

import (
	"context"
	"errors"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
)

// Member is a member of a group, as the group's coordinator knows it.
type Member struct {
	ID, ClientID, Host string
	// About is what the member says of itself: GroupParams.About. Nil: nothing.
	About []byte
}

// ErrUnsettled says that a group is sorting out who its members are.
var ErrUnsettled = errors.New("the group is between two assignments")

// The states of a group in which its members are known.
const (
	groupStable = "Stable"
	groupEmpty  = "Empty"
	groupDead   = "Dead" // there is none, or there was
)

// Members asks once who the members of a group are. There are none in a group that
// does not exist. Errors include ErrUnsettled: ask again.
func (c *Cluster) Members(ctx context.Context, group string) ([]Member, error) {
	var found kafkago.DescribeGroupsResponseGroup
	err := c.attempt(ctx, "describe_groups", func(ctx context.Context) (err error) {
		found, err = c.describeGroup(ctx, group)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group, err)
	}
	switch found.GroupState {
	case groupStable, groupEmpty, groupDead:
	default:
		return nil, fmt.Errorf("group %s is in the state %s: %w", group, found.GroupState, ErrUnsettled)
	}
	members := make([]Member, len(found.Members))
	for i, m := range found.Members {
		members[i] = Member{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost, About: m.MemberMetadata.UserData}
	}
	return members, nil
}

// aboutBalancer shares partitions out as the range balancer does, and tells others
// what a member says of itself: the balancer is where the client library asks.
type aboutBalancer struct {
	kafkago.RangeGroupBalancer
	about []byte
}

// UserData implements kafkago.GroupBalancer.
func (b aboutBalancer) UserData() ([]byte, error) { return b.about, nil }
