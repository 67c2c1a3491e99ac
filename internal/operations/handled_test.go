package operations

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHandlingALetterOfATopicThatWasMadeAnewSaysNothingOfItsNeighbours(t *testing.T) {
	h := &handled{blocks: make(map[int64]*block)}
	before := time.Unix(1_700_000_000, 0)
	anew, after := before.Add(time.Hour), before.Add(2*time.Hour)
	h.set(0, 10, Replayed, before)
	h.set(4, 1, Discarded, after)
	assert.Equal(t, Discarded, h.of(4, anew))
	assert.Equal(t, Open, h.of(3, anew), "it was the old letter that was replayed")
	assert.Equal(t, Replayed, h.of(3, before.Add(-time.Hour)))
	assert.Equal(t, Replayed, h.of(3, before.Add(time.Second)), "clocks differ a little")
	h.set(4, 1, Replayed, after)
	assert.Equal(t, Replayed, h.of(4, anew), "the last word counts")
}
