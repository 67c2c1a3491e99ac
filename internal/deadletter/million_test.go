package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/deadletter"
	"pushgate/internal/kafka"
	"pushgate/internal/kafka/embedded"
	"pushgate/internal/push"
)

// Searching a million letters, on the embedded broker with its data on disk:
//
//	PUSHGATE_LETTERS=1000000 go test -run '^TestTheFirstPageOfAMillionLettersComesWithinASecond$' -v -timeout 20m ./internal/deadletter
//
// or on brokers that are there (topics named push.* are made and used there):
//
//	PUSHGATE_LETTERS=1000000 PUSHGATE_BROKERS=127.0.0.1:9092 go test …
//
// Without PUSHGATE_LETTERS it is run with 20,000, and only what it finds is judged.
func TestTheFirstPageOfAMillionLettersComesWithinASecond(t *testing.T) {
	count := 20_000
	if text := os.Getenv("PUSHGATE_LETTERS"); text != "" {
		var err error
		count, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	const partitions = 24
	addresses := strings.FieldsFunc(os.Getenv("PUSHGATE_BROKERS"), func(r rune) bool { return r == ',' })
	if len(addresses) == 0 {
		b, err := embedded.Start(t.Context(), embedded.Config{Listen: "127.0.0.1:0", DataDir: t.TempDir()})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, b.Close()) })
		addresses = b.Addresses()
	}
	config := kafka.DefaultConfig()
	config.Brokers = addresses
	c, err := kafka.Open(kafka.Params{Config: config, Logger: zap.NewNop(), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, c.ApplyTopics(t.Context(), config.TopicSpecs(partitions, 1, 1<<16)))
	began := time.Now()
	middle := fill(t, c, partitions, count)
	t.Logf("%d letters written in %s", count, time.Since(began).Round(time.Second))

	for _, row := range []struct {
		name   string
		filter deadletter.Filter
		order  deadletter.Order
		want   int // letters of the first page; negative: as many as there is time for
		// enough: the rest is not looked for once there is a letter.
		enough bool
	}{
		{"no filter", deadletter.Filter{}, deadletter.NewestFirst, 50, false},
		{"no filter, oldest first", deadletter.Filter{}, deadletter.OldestFirst, 50, false},
		{"reason", deadletter.Filter{Reason: push.Overflow}, deadletter.NewestFirst, 50, false},
		{"user", deadletter.Filter{User: "user-77"}, deadletter.NewestFirst, min(50, count/1000), false},
		{"user, everywhere", deadletter.Filter{User: "user-77", Everywhere: true}, deadletter.NewestFirst, -1, false},
		{"since the middle, oldest first", deadletter.Filter{Since: middle}, deadletter.OldestFirst, 50, false},
		{"until the middle", deadletter.Filter{Until: middle}, deadletter.NewestFirst, -1, true},
		{"text in one letter of all", deadletter.Filter{Text: "needle-in-a-haystack"}, deadletter.NewestFirst, -1, false},
		{"id of one letter", deadletter.Filter{ID: fmt.Sprint("letter-", count/2)}, deadletter.NewestFirst, -1, false},
	} {
		s, _ := open(&log{Cluster: c}) // as a process that has just begun
		runtime.GC()
		peak := peakHeap(t)
		began := time.Now()
		page, err := s.Page(t.Context(), deadletter.Query{Filter: row.filter, Order: row.order})
		first := time.Since(began)
		require.NoError(t, err)
		if row.want >= 0 && count >= 1_000_000 {
			require.Len(t, page.Letters, row.want, row.name)
		}
		// On a slow machine what is wanted may take more than the time of one page.
		found, scanned, pages := len(page.Letters), page.Scanned, 1
		more := func() bool { return row.want < 0 && (found == 0 || !row.enough) || found < row.want }
		for more() && page.Next != "" {
			page, err = s.Page(t.Context(), deadletter.Query{Filter: row.filter, Order: row.order, Cursor: page.Next})
			require.NoError(t, err)
			found, scanned, pages = found+len(page.Letters), scanned+page.Scanned, pages+1
		}
		require.GreaterOrEqual(t, found, max(row.want, 1), row.name)
		all := time.Since(began)
		t.Logf("%-32s first page %5d ms; %3d letters after %2d pages, %7d looked at, %5d ms; heap at most %d MiB",
			row.name, first.Milliseconds(), found, pages, scanned, all.Milliseconds(), peak()>>20)
		if count >= 1_000_000 {
			require.Less(t, first, 1200*time.Millisecond, row.name)
		}
	}

	s, _ := open(&log{Cluster: c})
	peak := peakHeap(t)
	began = time.Now()
	plan, err := s.PlanReplay(t.Context(), deadletter.ReplayParams{})
	require.NoError(t, err)
	require.Equal(t, count, plan.Matched)
	t.Logf("dry run over all: %d ms; heap at most %d MiB", time.Since(began).Milliseconds(), peak()>>20)
}

// fill writes letters and returns the time when half of them were there.
func fill(t *testing.T, c *kafka.Cluster, partitions int32, count int) (middle time.Time) {
	t.Helper()
	const lot = 1000
	lots := make([][]push.Record, partitions)
	flush := func(p int32) {
		_, err := c.Produce(t.Context(), topic, p, lots[p])
		require.NoError(t, err)
		lots[p] = lots[p][:0]
	}
	for i := range count {
		user := fmt.Sprint("user-", i%1000)
		l := letter{
			user: user, id: fmt.Sprint("letter-", i), kind: "order", reason: push.Exhausted,
			payload: fmt.Sprintf(`{"order":%d,"text":"%s"}`, i, strings.Repeat("x", 200)),
		}
		if i%10 == 0 {
			l.reason = push.Overflow
		}
		if i == count/3 {
			l.payload = `{"text":"needle-in-a-haystack"}`
		}
		if i == count/2 {
			// Times are looked up with a margin, for clocks that differ.
			if count >= 1_000_000 {
				select {
				case <-time.After(15 * time.Second):
				case <-t.Context().Done():
				}
			}
			middle = time.Now()
		}
		p := push.Home(user, partitions)
		if lots[p] = append(lots[p], l.record(p)); len(lots[p]) == lot {
			flush(p)
		}
	}
	for p := range partitions {
		if len(lots[p]) > 0 {
			flush(p)
		}
	}
	return middle
}

// peakHeap watches how much memory is in use until the returned function is called,
// which returns the most above what it was at first.
func peakHeap(t *testing.T) func() uint64 {
	t.Helper()
	ctx, stop := context.WithCancelCause(t.Context())
	most := make(chan uint64)
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var peak uint64
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapAlloc > before.HeapAlloc {
				peak = max(peak, now.HeapAlloc-before.HeapAlloc)
			}
			select {
			case <-ctx.Done():
				most <- peak
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		stop(errors.New("enough"))
		return <-most
	}
}
