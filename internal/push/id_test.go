package push_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

func TestNewIDsAreUniqueAndSortByTime(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	a, b, later := push.NewID(now), push.NewID(now), push.NewID(now.Add(time.Second))
	assert.NotEqual(t, a, b)
	assert.Less(t, a, later)
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, a)
}
