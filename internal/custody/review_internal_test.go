package custody

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

func TestAUserWhoComesAndGoesAllDayCostsNoMoreThanOnce(t *testing.T) {
	m := NewMachine(Start{Now: time.Now()})
	for at := range int64(1000) {
		// A gateway is always a little ahead of its custodian.
		m.Receipt(at, &push.Receipt{
			Node: "A", Epoch: 1, ReadThrough: at + 10, Connected: []push.Binding{{User: "42", Type: push.AllTypes}},
		})
		m.RequestsRead(at)
	}
	assert.Len(t, m.earlyBound["42"], 1)
}
