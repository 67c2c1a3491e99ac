package app

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/config"
	"pushgate/internal/kafka"
)

// A custodian says in its group how it routes, and which node it is: "targeted
// gateway-1". One that says nothing is of a release that only knew broadcast.

func aboutCustodian(c config.Config) []byte { return []byte(c.Routing.Mode + " " + c.Node.ID) }

// routesTo understands what a member of the custodians' group says of itself.
func routesTo(m kafka.Member) (mode, node string) {
	mode, node, ok := strings.Cut(string(bytes.TrimSpace(m.About)), " ")
	if !ok {
		return config.RoutingBroadcast, fmt.Sprintf("%s at %s", m.ClientID, strings.TrimPrefix(m.Host, "/"))
	}
	return mode, node
}

// modes watches how the custodians route, for a gateway whose own mode is targeted:
// it can be called as soon as every custodian calls and finds it, and has to read as
// long as one does not.
type modes struct {
	// members blocks for a request; the error says that it is not known who they are.
	members func(ctx context.Context) ([]kafka.Member, error)
	// entered says why sessions here cannot be found, nil if they can. It does not block.
	entered func() error
	// lease is for how long they are still found after that.
	lease time.Duration
	// set is told whether this gateway can be called. It must not block.
	set func(called bool)
	log *zap.Logger

	known  bool
	others []string  // nodes that do not call
	found  time.Time // when sessions here could be found the last time
	called bool      // what set was told
}

// Run looks about every second until ctx ends.
func (m *modes) Run(ctx context.Context) error {
	const interval = time.Second
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		m.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look changes something only where it is known who the custodians are: between two
// assignments, or when they are all away, what was is as good as anything.
func (m *modes) look(ctx context.Context) {
	members, err := m.members(ctx)
	if err != nil || len(members) == 0 {
		if err != nil && ctx.Err() == nil {
			m.log.Debug("it is not known how the custodians route", zap.Error(err))
		}
		if m.known {
			m.decide()
		}
		return
	}
	var others []string
	for _, member := range members {
		if mode, node := routesTo(member); mode != config.RoutingTargeted {
			others = append(others, node)
		}
	}
	slices.Sort(others)
	changed := !m.known || !slices.Equal(others, m.others)
	m.known, m.others = true, others
	if changed && len(others) > 0 {
		m.log.Warn("routing.mode is targeted here and not on all custodians: this gateway reads every request until it is; set it to targeted on these nodes",
			zap.Strings("nodes", others))
	}
	m.decide()
}

// decide has the gateway be called where all custodians call and its sessions are
// found, or were within the lease; and read where not. A gateway that is cut off from
// the directory and not from Kafka delivers that way.
func (m *modes) decide() {
	err := m.entered()
	if err == nil {
		m.found = time.Now()
	}
	called := len(m.others) == 0 && !m.found.IsZero() && time.Since(m.found) <= m.lease
	if called == m.called {
		return
	}
	m.called = called
	m.set(called)
	switch {
	case called:
		m.log.Info("all custodians route by targeted: they call this gateway")
	case len(m.others) == 0:
		m.log.Warn("sessions here are not found in the directory any more: this gateway reads every request until they are", zap.Error(err))
	}
}
