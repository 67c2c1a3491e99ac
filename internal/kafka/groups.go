package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
)

// Group is a consumer group, as its coordinator knows it.
type Group struct {
	Name string
	// State is Kafka's word for it: Stable, Empty, PreparingRebalance,
	// CompletingRebalance, or Dead where there is no such group.
	State   string
	Members int
}

// ErrGroupInUse says that a group has members, and cannot be deleted.
var ErrGroupInUse = errors.New("the group has members")

// Groups returns the names of all consumer groups of the cluster, by asking every
// broker; sorted. The answer of a broker that is still reading its groups is short of
// those.
func (c *Cluster) Groups(ctx context.Context) ([]string, error) {
	var names []string
	err := c.retry(ctx, "list_groups", func(ctx context.Context) error {
		res, err := c.client.ListGroups(ctx, &kafkago.ListGroupsRequest{})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return err
		}
		names = names[:0]
		for _, g := range res.Groups {
			names = append(names, g.GroupID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// DescribeGroup asks the coordinator of a group how it is.
func (c *Cluster) DescribeGroup(ctx context.Context, group string) (Group, error) {
	var found kafkago.DescribeGroupsResponseGroup
	err := c.retry(ctx, "describe_groups", func(ctx context.Context) (err error) {
		found, err = c.describeGroup(ctx, group)
		return err
	})
	described := Group{Name: group, State: found.GroupState, Members: len(found.Members)}
	if err != nil {
		return described, fmt.Errorf("group %s: %w", group, err)
	}
	return described, nil
}

// describeGroup asks once. A group that does not exist is dead.
func (c *Cluster) describeGroup(ctx context.Context, group string) (found kafkago.DescribeGroupsResponseGroup, err error) {
	res, err := c.client.DescribeGroups(ctx, &kafkago.DescribeGroupsRequest{GroupIDs: []string{group}})
	switch {
	case err != nil:
		return found, err //nolint:wrapcheck // wrapped by attempt
	case len(res.Groups) != 1:
		return found, errors.New("no answer about the group")
	}
	found = res.Groups[0]
	if errors.Is(found.Error, kafkago.GroupIdNotFound) {
		found.Error, found.GroupState = nil, groupDead
	}
	return found, found.Error
}

// DeleteGroup deletes a group with the offsets it has committed. One that is not
// there is no error; one with members is ErrGroupInUse.
func (c *Cluster) DeleteGroup(ctx context.Context, group string) error {
	inUse := false
	err := c.retry(ctx, "delete_groups", func(ctx context.Context) error {
		res, err := c.client.DeleteGroups(ctx, &kafkago.DeleteGroupsRequest{GroupIDs: []string{group}})
		if err != nil {
			return err //nolint:wrapcheck // wrapped by attempt
		}
		err, answered := res.Errors[group]
		switch {
		case !answered:
			return errors.New("no answer about the group")
		case errors.Is(err, kafkago.GroupIdNotFound):
			return nil
		case errors.Is(err, kafkago.NonEmptyGroup):
			inUse = true
			return nil
		}
		return err
	})
	if err == nil && inUse {
		err = ErrGroupInUse
	}
	if err != nil {
		return fmt.Errorf("deleting the group %s: %w", group, err)
	}
	return nil
}
