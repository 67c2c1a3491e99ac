package deadletter_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/deadletter"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/kafkatest"
	"pushgate/internal/push"
)

func TestPagesShowEveryLetterOnceNewestFirst(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 3)
	var want []string
	for i := range 40 {
		want = append(want, buryMany(t, c, 3, fmt.Sprint("lot-", i), 100, letter{reason: push.Overflow})...)
		pause(t)
	}
	s, _ := open(&log{Cluster: c})
	got := pages(t, s, deadletter.Query{Limit: 130})
	for i := range got {
		// Lots were written one after the other.
		require.Contains(t, got[i], fmt.Sprintf("lot-%d-", 39-i/100), i)
	}
	assert.Equal(t, slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got)))
	got = pages(t, s, deadletter.Query{Limit: 130, Order: deadletter.OldestFirst})
	assert.Equal(t, slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got)))
	rare := deadletter.Filter{ID: "lot-3-17"}
	assert.Equal(t, []string{"lot-3-17"}, pages(t, s, deadletter.Query{Filter: rare}))
}

func TestLettersThatComeInMeanwhileDoNotMoveThePages(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	want := buryMany(t, c, 2, "old", 60, letter{reason: push.Overflow})
	s, _ := open(&log{Cluster: c})
	var got []string
	query := deadletter.Query{Limit: 7}
	for i := 0; ; i++ {
		page, err := s.Page(t.Context(), query)
		require.NoError(t, err)
		for _, l := range page.Letters {
			got = append(got, l.ID)
		}
		if page.Next == "" {
			break
		}
		query.Cursor = page.Next
		buryMany(t, c, 2, fmt.Sprint("new-", i), 5, letter{reason: push.Overflow})
	}
	assert.ElementsMatch(t, want, got)
}

func TestPartitionsThatAreAddedMeanwhileDoNotMoveThePages(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	want := buryMany(t, c, 2, "old", 20, letter{reason: push.Overflow})
	s, _ := open(&log{Cluster: c})
	first, err := s.Page(t.Context(), deadletter.Query{Limit: 5})
	require.NoError(t, err)
	require.NoError(t, c.ApplyTopics(t.Context(), kafka.DefaultConfig().TopicSpecs(3, 1, 1<<16)))
	require.Eventually(t, func() bool {
		n, err := c.Partitions(t.Context(), topic)
		return err == nil && n == 3
	}, 10*time.Second, 50*time.Millisecond)
	buryMany(t, c, 3, "new", 9, letter{reason: push.Overflow})
	got := pages(t, s, deadletter.Query{Limit: 5, Cursor: first.Next})
	for _, l := range first.Letters {
		got = append(got, l.ID)
	}
	assert.ElementsMatch(t, want, got)
	assert.Len(t, pages(t, s, deadletter.Query{}), 29)
}

func TestACursorOfAnotherSearchIsRefused(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	buryMany(t, c, 1, "m", 10, letter{reason: push.Overflow})
	s, _ := open(&log{Cluster: c})
	page, err := s.Page(t.Context(), deadletter.Query{Limit: 2})
	require.NoError(t, err)
	var refused *deadletter.CursorError
	for _, query := range []deadletter.Query{
		{Cursor: page.Next, Filter: deadletter.Filter{Type: "order"}},
		{Cursor: page.Next, Order: deadletter.OldestFirst},
		{Cursor: page.Next[:len(page.Next)-2]},
		{Cursor: "nonsense"},
		{Cursor: strings.Repeat("A", 40)},
	} {
		_, err := s.Page(t.Context(), query)
		require.ErrorAs(t, err, &refused, query.Cursor)
	}
	// An hour ago is another time with each page.
	_, err = s.Page(t.Context(), deadletter.Query{Cursor: page.Next, Filter: deadletter.Filter{Since: time.Now().Add(-time.Hour)}})
	require.NoError(t, err)
}

func TestABadQueryIsAFilterError(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	s, _ := open(&log{Cluster: c})
	var bad *deadletter.FilterError
	for _, query := range []deadletter.Query{
		{Limit: -1},
		{Limit: deadletter.MaxPage + 1},
		{Filter: deadletter.Filter{User: "a\x00b"}},
		{Filter: deadletter.Filter{Since: time.Now(), Until: time.Now().Add(-time.Hour)}},
	} {
		_, err := s.Page(t.Context(), query)
		require.ErrorAs(t, err, &bad)
	}
	_, err := deadletter.ParseState("lost")
	require.ErrorAs(t, err, &bad)
}

func TestAPageReturnsWhatItHasWhenItsTimeIsOverAndTheNextGoesOn(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 2)
	for i := range 30 {
		buryMany(t, c, 2, fmt.Sprint("m-", i), 200, letter{reason: push.Overflow})
	}
	bury(t, c, 0, letter{user: "42", id: "rare", payload: "needle"})
	buryMany(t, c, 2, "last", 2000, letter{reason: push.Overflow})
	var reads atomic.Int64
	slow := &log{Cluster: c, reads: func() {
		reads.Add(1)
		select {
		case <-time.After(250 * time.Millisecond):
		case <-t.Context().Done():
		}
	}}
	s, _ := open(slow)
	query := deadletter.Query{Filter: deadletter.Filter{Text: "needle"}}
	incomplete, scanned := 0, int64(0)
	var got []string
	for {
		began := time.Now()
		page, err := s.Page(t.Context(), query)
		require.NoError(t, err)
		assert.Less(t, time.Since(began), 3*time.Second)
		scanned += page.Scanned
		for _, l := range page.Letters {
			got = append(got, l.ID)
		}
		if page.Next == "" {
			assert.True(t, page.Complete)
			break
		}
		assert.False(t, page.Complete)
		assert.Positive(t, page.Scanned)
		incomplete++
		query.Cursor = page.Next
	}
	assert.Equal(t, []string{"rare"}, got)
	assert.Positive(t, incomplete)
	assert.GreaterOrEqual(t, scanned, int64(8001))
}

func TestATrimmedLogShowsWhatIsLeft(t *testing.T) {
	c, b := kafkatest.Cluster(t, 2)
	buryMany(t, c, 2, "m", 40, letter{reason: push.Overflow})
	s, _ := open(&log{Cluster: c})
	first, err := s.Page(t.Context(), deadletter.Query{Limit: 10})
	require.NoError(t, err)
	require.Len(t, first.Letters, 10)
	require.NoError(t, b.DeleteRecords(topic, 0, 10))
	require.NoError(t, b.DeleteRecords(topic, 1, 20))
	assert.Len(t, ids(t, s, deadletter.Filter{}), 10)
	assert.Len(t, pages(t, s, deadletter.Query{}), 10)
	assert.Len(t, pages(t, s, deadletter.Query{Order: deadletter.OldestFirst}), 10)
	rest := pages(t, s, deadletter.Query{Cursor: first.Next, Limit: 10})
	assert.LessOrEqual(t, len(rest), 10)
	_, err = s.Get(t.Context(), deadletter.Place{Partition: 0, Offset: 9})
	require.ErrorIs(t, err, deadletter.ErrNotFound)
	_, err = s.Get(t.Context(), deadletter.Place{Partition: 0, Offset: 10})
	require.NoError(t, err)
}

func TestAPagePreviewsLargePayloadsAndGetHasThemWhole(t *testing.T) {
	c, _ := kafkatest.Cluster(t, 1)
	large := strings.Repeat("ä", 10_000)
	bury(t, c, 0, letter{user: "42", id: "m", payload: large})
	s, _ := open(&log{Cluster: c})
	page, err := s.Page(t.Context(), deadletter.Query{})
	require.NoError(t, err)
	require.Len(t, page.Letters, 1)
	assert.Len(t, page.Letters[0].Data, deadletter.PreviewBytes)
	assert.Equal(t, len(large), page.Letters[0].Size)
	assert.Nil(t, page.Letters[0].Headers)
	whole, err := s.Get(t.Context(), page.Letters[0].Place)
	require.NoError(t, err)
	assert.Equal(t, large, string(whole.Data))
}
