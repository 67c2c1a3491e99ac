package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/explain"
)

// rounds are n times being offered in vain.
func rounds(n int) (all []explain.Event) {
	at := time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)
	for range n {
		at = at.Add(15 * time.Minute)
		for _, kind := range []explain.Kind{explain.Offered, explain.WaitEnded, explain.NotHeld, explain.WaitBegan} {
			at = at.Add(time.Millisecond)
			all = append(all, explain.Event{Time: at, Kind: kind, Where: "here"})
		}
	}
	return all
}

func TestAMessageThatIsOfferedInVainForADayIsAShortStory(t *testing.T) {
	all := append([]explain.Event{{Kind: explain.Produced}, {Kind: explain.NotHeld}, {Kind: explain.WaitBegan}}, rounds(96)...)
	all = append(all, explain.Event{Kind: explain.Connected}, explain.Event{Kind: explain.Offered}, explain.Event{Kind: explain.WaitEnded}, explain.Event{Kind: explain.Delivered})
	kept, folded := fold(all)
	assert.Len(t, kept, 3+3*4+4, "the first two rounds, the last, and what is no round")
	assert.Equal(t, map[int]int{3 + 2*4: 93}, folded)
	assert.Equal(t, all[:3], kept[:3])
	assert.Equal(t, all[len(all)-8:], kept[len(kept)-8:])

	var b strings.Builder
	tellMessage(&b, &explain.MessageStory{ID: "m", User: "42", Type: "order", Outcome: "delivered", Events: all})
	assert.Contains(t, b.String(), "93 times")
	assert.Less(t, strings.Count(b.String(), "\n"), 25)
}

func TestAFewRoundsAreToldInFull(t *testing.T) {
	for n := range 6 {
		all := append([]explain.Event{{Kind: explain.Produced}}, rounds(n)...)
		kept, folded := fold(all)
		assert.Equal(t, all, kept)
		assert.Empty(t, folded)
	}
	kept, _ := fold(nil)
	assert.Empty(t, kept)
	half := []explain.Event{{Kind: explain.Offered}, {Kind: explain.NotHeld}}
	kept, _ = fold(half)
	assert.Equal(t, half, kept, "a round that is not over")
}

func TestAStoryCannotSteerTheTerminal(t *testing.T) {
	var b strings.Builder
	tellMessage(&b, &explain.MessageStory{ID: "\x1b[2J", User: "\x1b[2J", Type: "\x1b[2J", Events: []explain.Event{{Kind: explain.Produced, Where: "\x1b[2J", Text: "\x1b[2J"}}})
	assert.NotContains(t, b.String(), "\x1b")
}

func TestSpansOfTimeAreShort(t *testing.T) {
	for text, d := range map[string]time.Duration{
		"0s": 0, "12ms": 12 * time.Millisecond, "1.5s": 1540 * time.Millisecond, "1m20s": 80 * time.Second, "10m0s": 10 * time.Minute,
		"2h5m": 125*time.Minute + 3*time.Second, "3d4h": 76 * time.Hour, "-2s": -2 * time.Second,
	} {
		assert.Equal(t, text, span(d))
	}
}
