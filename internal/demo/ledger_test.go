package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func TestEveryMessageHasExactlyOneOutcome(t *testing.T) {
	came := time.Now()
	for name, row := range map[string]struct {
		parcels []parcel
		died    map[string]push.Reason
		want    outcomes
		wrong   string
	}{
		"each in its own way": {
			parcels: []parcel{{id: "a", arrived: came}, {id: "b", arrived: came}, {id: "c"}, {id: "d"}},
			died:    map[string]push.Reason{"c": push.TimeToLive, "d": push.Invalid, "of somebody else": push.Exhausted},
			want:    outcomes{delivered: 2, expired: 1, dead: 1},
		},
		"lost": {
			parcels: []parcel{{id: "a", user: "bob"}},
			wrong:   "message a of bob neither came nor died",
		},
		"twice": {
			parcels: []parcel{{id: "a", user: "bob", arrived: came}},
			died:    map[string]push.Reason{"a": push.TimeToLive},
			wrong:   "message a of bob came, and died as expired all the same",
		},
		"a death the story does not tell of": {
			parcels: []parcel{{id: "a", user: "bob"}},
			died:    map[string]push.Reason{"a": push.Exhausted},
			wrong:   "message a of bob died as exhausted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			sums, err := addUp(row.parcels, row.died)
			if row.wrong != "" {
				require.EqualError(t, err, row.wrong)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.want, sums)
			assert.Equal(t, len(row.parcels), sums.sent())
		})
	}
}

// wait makes an entry of the retry log.
func wait(origin int64, id string, reason push.Reason) push.RetryEntry {
	return push.RetryEntry{Wait: push.Wait{Lineage: push.Lineage{ID: id}, Origin: origin, Reason: reason}}
}

func end(origin int64) push.RetryEntry {
	return push.RetryEntry{Ends: true, Wait: push.Wait{Origin: origin}}
}

func TestWhatHasNotEndedWaits(t *testing.T) {
	log := []push.RetryEntry{
		wait(7, "b", push.SlowConsumer), wait(5, "a", push.Offline), wait(5, "a", push.Offline), // written twice
		end(7), wait(9, "b", push.Offline),
	}
	waiting := open(log)
	require.Len(t, waiting, 2)
	assert.Equal(t, "a", waiting[0].ID)
	assert.Equal(t, int64(9), waiting[1].Origin)
	assert.Equal(t, "1 as slow_consumer, 1 as offline", firstReasons(log), "what a message waits for later does not count")
}

func TestOnlyTheFirstArrivalCounts(t *testing.T) {
	b := newBook()
	b.sent("1", "alice")
	b.sent("2", "alice")
	b.sent("3", "bob")
	b.came("2")
	first := b.find("2").arrived
	b.came("1")
	b.came("2")
	b.came("of somebody else")
	arrived := b.arrivedFor("alice")
	require.Len(t, arrived, 2)
	assert.Equal(t, first, arrived[0].arrived)
	assert.False(t, inOrder(arrived), "2 came before 1")
	assert.Len(t, b.all(), 3)
}
