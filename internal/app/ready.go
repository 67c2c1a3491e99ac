package app

import (
	"context"
	"errors"
	"time"

	"pushgate/internal/admin"
)

var (
	errDraining      = errors.New("draining: connect to another node")
	errTopicsUnknown = errors.New("topics not checked yet")
)

// checks are the conditions of readiness, as operators see them.
func (n *Node) checks() []admin.Check {
	checks := []admin.Check{
		{Name: "draining", Ready: n.notDraining},
		{Name: "kafka", Ready: n.cluster.Ready},
		{Name: "topics", Ready: func() error {
			if !n.topicsChecked.Load() {
				return errTopicsUnknown
			}
			return nil
		}},
	}
	if n.delivery != nil {
		checks = append(checks,
			admin.Check{Name: "delivery", Ready: n.delivery.Ready},
			admin.Check{Name: "receipts", Ready: n.delivery.Stalled})
	}
	if n.directory != nil && n.directory.presence != nil {
		checks = append(checks, admin.Check{Name: "directory", Ready: n.directory.presence.keeper.Ready})
	}
	if n.custodian != nil {
		checks = append(checks, admin.Check{Name: "custody", Ready: n.custodian.Ready})
	}
	return checks
}

func (n *Node) notDraining() error {
	if n.draining.Load() {
		return errDraining
	}
	return nil
}

// takesSessions says why the gateway refuses sessions, nil if it takes them. An
// outage of Kafka or of the directory is no reason: what is written meanwhile comes when it is over,
// and a client that was sent away could only go to a node that has the same
// outage.
func (n *Node) takesSessions() error {
	if err := n.notDraining(); err != nil {
		return err
	}
	return n.delivery.Ready()
}

// awaitReady returns true when all checks pass, false when ctx ends before.
func (n *Node) awaitReady(ctx context.Context) bool {
	const pause = 5 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	checks := n.checks()
	for {
		ready := true
		for _, c := range checks {
			ready = ready && c.Ready() == nil
		}
		if ready {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
