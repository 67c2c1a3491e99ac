package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pushgate/internal/push"
)

// open returns the waits that have not ended, oldest first.
func open(entries []push.RetryEntry) []push.RetryEntry {
	byOrigin := make(map[int64]push.RetryEntry)
	for _, e := range entries {
		if e.Ends {
			delete(byOrigin, e.Origin)
		} else {
			byOrigin[e.Origin] = e
		}
	}
	return slices.SortedFunc(maps.Values(byOrigin), func(a, b push.RetryEntry) int { return int(a.Origin - b.Origin) })
}

// firstReasons says for how many messages which reason was the first to wait.
func firstReasons(entries []push.RetryEntry) string {
	counts := make(map[push.Reason]int)
	seen := make(map[string]bool)
	for _, e := range entries {
		if !e.Ends && !seen[e.ID] {
			seen[e.ID] = true
			counts[e.Reason]++
		}
	}
	var parts []string
	for _, reason := range push.Failures() {
		if n := counts[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d as %s", n, reason))
		}
	}
	return strings.Join(parts, ", ")
}

// allWait waits until n messages wait for a user, and returns everything the
// retry log says about that user.
func (s *stage) allWait(ctx context.Context, user string, n int) ([]push.RetryEntry, error) {
	var entries []push.RetryEntry
	err := eventually(ctx, "looking in push.retry for what waits for "+user, func(ctx context.Context) (bool, string, error) {
		var err error
		entries, err = s.Topics.Retries(ctx, user)
		waiting := len(open(entries))
		return waiting >= n, count(waiting, n, "wait"), err
	})
	return entries, err
}
