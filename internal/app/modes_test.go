package app

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"pushgate/internal/config"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
)

func saying(about ...string) []kafka.Member {
	members := make([]kafka.Member, len(about))
	for i, a := range about {
		members[i] = kafka.Member{ClientID: "pushgate", Host: "/10.0.0.7"}
		if a != "" {
			members[i].About = []byte(a)
		}
	}
	return members
}

func TestAGatewayIsCalledWhenEveryCustodianCallsAndReadsWhenOneDoesNot(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	var members []kafka.Member
	var failure error
	var called []bool
	m := &modes{
		members: func(context.Context) ([]kafka.Member, error) { return members, failure },
		entered: func() error { return nil }, lease: time.Minute,
		set: func(c bool) { called = append(called, c) }, log: zap.New(core),
	}
	for _, step := range []struct {
		name    string
		members []kafka.Member
		err     error
		called  []bool // since the beginning
		warns   []any  // the nodes that a warning of this step names
	}{
		{"nobody is there yet", nil, nil, nil, nil},
		{"it is not known who is", nil, kafka.ErrUnsettled, nil, nil},
		{"one does not call", saying("targeted a", "broadcast b"), nil, nil, []any{"b"}},
		{"still", saying("broadcast b", "targeted a"), nil, nil, nil},
		{"another one does not", saying("broadcast c", "broadcast b"), nil, nil, []any{"b", "c"}},
		{"one is of an earlier release", saying("targeted a", ""), nil, nil, []any{"pushgate at 10.0.0.7"}},
		{"all call", saying("targeted a", "targeted b"), nil, []bool{true}, nil},
		{"it is not known any more", nil, errors.New("kafka is away"), []bool{true}, nil},
		{"all are away", nil, nil, []bool{true}, nil},
		{"they are back", saying("targeted a"), nil, []bool{true}, nil},
		{"one is of a mode to come", saying("targeted a", "telepathy z"), nil, []bool{true, false}, []any{"z"}},
	} {
		members, failure = step.members, step.err
		logs.TakeAll()
		m.look(t.Context())
		assert.Equal(t, step.called, called, step.name)
		warnings := logs.FilterLevelExact(zapcore.WarnLevel).All()
		if step.warns == nil {
			assert.Empty(t, warnings, step.name)
			continue
		}
		require.Len(t, warnings, 1, step.name)
		assert.Equal(t, step.warns, warnings[0].ContextMap()["nodes"], step.name)
	}
}

func TestAGatewayThatIsNotFoundForALeaseReadsUntilItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var found atomic.Bool
		var mu sync.Mutex
		var called []bool
		m := &modes{
			members: func(context.Context) ([]kafka.Member, error) { return saying("targeted a"), nil },
			entered: func() error {
				if !found.Load() {
					return errors.New("redis is away")
				}
				return nil
			},
			lease: 6 * time.Second,
			set: func(c bool) {
				mu.Lock()
				defer mu.Unlock()
				called = append(called, c)
			},
			log: zap.NewNop(),
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.Run(ctx) }()
		after := func(d time.Duration, want ...bool) {
			t.Helper()
			<-time.After(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, want, called)
		}
		after(10 * time.Second)
		found.Store(true)
		after(2*time.Second, true)
		found.Store(false)
		after(5*time.Second, true)
		after(3*time.Second, true, false)
		found.Store(true)
		after(2*time.Second, true, false, true)
		cancel()
		require.NoError(t, <-ended)
	})
}

func TestACustodianSaysHowItRoutes(t *testing.T) {
	c := config.Default()
	c.Node.ID = "gateway-1"
	for _, c.Routing.Mode = range []string{config.RoutingBroadcast, config.RoutingTargeted} {
		mode, node := routesTo(kafka.Member{About: aboutCustodian(c)})
		assert.Equal(t, []string{c.Routing.Mode, "gateway-1"}, []string{mode, node})
	}
}

func TestAGatewayLearnsWhereTheCustodiansAre(t *testing.T) {
	cluster, _ := kafkatest.Cluster(t, 3)
	topic := cluster.Topics().Requests
	positions := gatewayPositions{cluster: cluster, group: "g", topic: topic, custodians: "custodians"}
	at, err := positions.Custodians(t.Context(), []int32{0, 1})
	require.NoError(t, err)
	assert.Equal(t, map[int32]int64{0: -1, 1: -1}, at)
	require.NoError(t, cluster.Commit(t.Context(), "custodians", topic, map[int32]kafka.Committed{1: {Offset: 7}}))
	at, err = positions.Custodians(t.Context(), []int32{0, 1})
	require.NoError(t, err)
	assert.Equal(t, map[int32]int64{0: -1, 1: 7}, at)
}
