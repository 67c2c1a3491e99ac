package client

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheLatestIdsAreRememberedAndMemoryIsBounded(t *testing.T) {
	var r recent
	assert.False(t, r.has("0"))
	for i := range 3 * remembered {
		r.add(fmt.Sprint(i))
	}
	assert.False(t, r.has(fmt.Sprint(2*remembered-1)))
	assert.True(t, r.has(fmt.Sprint(2*remembered)))
	assert.True(t, r.has(fmt.Sprint(3*remembered-1)))
	assert.Len(t, r.ids, remembered)
	assert.Len(t, r.order, remembered)
}
