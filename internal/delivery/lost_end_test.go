package delivery_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

func TestALogThatLostItsEndIsNotDeliveredAllOverAgain(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		const written, lost = 500, 10
		var delivered atomic.Int32
		user := at(0, 1, 0)
		r.start()
		r.connect(user, func(m *push.Message, reporter push.Reporter) bool {
			delivered.Add(1)
			return delivers(m, reporter)
		})
		for range written {
			r.log.add(0, push.Record{Key: []byte(user), Value: []byte("x")})
		}
		pass(5 * time.Second)
		assert.Equal(t, int32(written), delivered.Load())
		// A replica without the last records has become the leader.
		r.log.set(func(l *fakeLog) { l.requests[0] = l.requests[0][:written-lost] })
		assert.ErrorContains(t, <-r.ended, "to be started again")
		r.cancel = nil
		assert.Equal(t, int32(written), delivered.Load())
	})
}
