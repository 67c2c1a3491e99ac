package waiting_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
	"pushgate/internal/waiting"
)

func TestAPageOfLargeMessagesIsFilledWithinBounds(t *testing.T) {
	r := newRig(t)
	payload := strings.Repeat("x", 256<<10)
	for i := range 64 {
		rec := source("42", fmt.Sprint("m", i), "order", payload)
		rec = push.WaitRecord(&rec, push.Wait{Lineage: push.Lineage{ID: fmt.Sprint("m", i), Attempt: 1, FirstSeen: rec.Time, Expires: rec.Time.Add(3600e9)}, Origin: int64(i), Reason: push.Offline, Due: rec.Time.Add(60e9)})
		r.write("push.retry", home("42"), rec)
	}
	page, err := r.store.Page(t.Context(), waiting.Filter{}, 500, "")
	require.NoError(t, err)
	filled, err := r.store.Fill(t.Context(), page.Waits)
	require.NoError(t, err)
	assert.Positive(t, filled)
	for i := range page.Waits {
		assert.Equal(t, i < filled, page.Waits[i].Data != nil, i)
	}
	total := 0
	for i := range page.Waits {
		total += len(page.Waits[i].Data)
	}
	assert.LessOrEqual(t, total, 8<<20, "it has to fit beside what a node delivers")
}
