package app

import (
	"context"
	"errors"
	"testing"

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
		set:     func(c bool) { called = append(called, c) }, log: zap.New(core),
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
		{"one does not call", saying("targeted a", "broadcast b"), nil, []bool{false}, []any{"b"}},
		{"still", saying("broadcast b", "targeted a"), nil, []bool{false}, nil},
		{"another one does not", saying("broadcast c", "broadcast b"), nil, []bool{false, false}, []any{"b", "c"}},
		{"one is of an earlier release", saying("targeted a", ""), nil, []bool{false, false, false}, []any{"pushgate at 10.0.0.7"}},
		{"all call", saying("targeted a", "targeted b"), nil, []bool{false, false, false, true}, nil},
		{"it is not known any more", nil, errors.New("kafka is away"), []bool{false, false, false, true}, nil},
		{"all are away", nil, nil, []bool{false, false, false, true}, nil},
		{"they are back", saying("targeted a"), nil, []bool{false, false, false, true}, nil},
		{"one is of a mode to come", saying("targeted a", "telepathy z"), nil, []bool{false, false, false, true, false}, []any{"z"}},
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
