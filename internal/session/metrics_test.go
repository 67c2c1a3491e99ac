package session_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/session"
	"pushgate/internal/ws"
)

// values gathers what is not zero, by name and label.
func values(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if v := m.GetGauge().GetValue() + m.GetCounter().GetValue(); v != 0 {
				got[fmt.Sprintf("%s %s", f.GetName(), m.GetLabel()[0].GetValue())] = v
			}
		}
	}
	return got
}

func TestSessionsAreCountedBySubprotocolAndByTheCodeTheyEndWith(t *testing.T) {
	registry := prometheus.NewRegistry()
	p := session.FactoryParams{Config: session.DefaultConfig(), Logger: zap.NewNop(), Registerer: registry}
	f, err := session.NewFactory(p)
	require.NoError(t, err)
	_, err = session.NewFactory(p)
	require.Error(t, err, "two factories cannot share a registry")

	plain := open(f, session.Params{Subprotocol: session.Plain})
	acks := []*bench{open(f, session.Params{Subprotocol: session.Pushgate}), open(f, session.Params{Subprotocol: session.Pushgate})}
	assert.Equal(t, map[string]float64{"pushgate_sessions none": 1, "pushgate_sessions pushgate.v1": 2}, values(t, registry))

	plain.OnClose(ws.Closed{Code: 1000})
	acks[0].OnClose(ws.Closed{Code: 3777, Remote: true})
	acks[1].OnClose(ws.Closed{Code: ws.CodeAbnormal, Err: fmt.Errorf("writing: %w", ws.ErrSlow)})
	assert.Equal(t, map[string]float64{
		"pushgate_session_closes_total 1000":  1,
		"pushgate_session_closes_total other": 1,
		"pushgate_session_closes_total 1013":  1, // it was too slow even for a close frame
	}, values(t, registry))
}
