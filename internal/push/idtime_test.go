package push_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

func TestAnIDTellsWhenItWasMade(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	at, ok := push.IDTime(push.NewID(now))
	assert.True(t, ok)
	assert.True(t, now.Equal(at))
}

func TestAnIDOfAProducersOwnTellsNoTime(t *testing.T) {
	for _, id := range []string{"", "order-1", "push.requests/3/17", "0190b1c2-0000-4000-8000-000000000000", "0190b1c2-zzzz-7000-8000-000000000000"} {
		_, ok := push.IDTime(id)
		assert.False(t, ok, id)
	}
}
