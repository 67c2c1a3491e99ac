package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

type unheard struct{}

func (unheard) Report(*push.Message, push.Status, push.Reason) {}

func TestAClientThatOffersToGetsWhatIsLongCompressed(t *testing.T) {
	for _, row := range []struct {
		from   int
		offers bool
		saves  bool
	}{{1024, true, true}, {1024, false, false}, {0, true, false}} {
		r := newRig(t, func(r *rig) { r.compressFrom = row.from })
		c, err := r.dial("/websocket/all/42", ws.DialParams{
			Header: bearer(r.token("42")), Subprotocols: []string{session.PushgateName}, Deflate: row.offers,
		})
		require.NoError(t, err)
		<-r.bound
		long := `"` + strings.Repeat("shipped ", 200) + `"`
		m := &push.Message{ID: "a", User: "42", Type: "order", Time: time.Now(), JSON: true, Data: []byte(long)}
		require.True(t, r.deliver(m, unheard{}))
		_, got, err := c.ReadMessage()
		require.NoError(t, err)
		assert.Contains(t, string(got), long)
		assert.Equal(t, row.saves, r.saved() > 0, "%+v", row)
	}
}

// saved is how many bytes compression has saved.
func (r *rig) saved() float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	require.NoError(r.t, err)
	for _, f := range families {
		if f.GetName() == "pushgate_compression_saved_bytes_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	require.Fail(r.t, "not counted")
	return 0
}
