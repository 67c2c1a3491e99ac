package groups_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/fleet"
	"pushgate/internal/groups"
)

// now is the time of the newest report, on the brokers' clock.
var now = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// brokers are what Kafka knows.
type brokers struct {
	mu      sync.Mutex
	groups  map[string]group
	written int64 // an hour before now
	end     int64
	deleted []string
	broken  map[string]error // by group: of deleting it
}

type group struct {
	members   int
	committed map[int32]groups.Committed
}

func (b *brokers) Names(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(b.groups)), nil
}

func (b *brokers) Describe(_ context.Context, name string) (string, int, error) {
	return "Empty", b.groups[name].members, nil
}

func (b *brokers) Committed(_ context.Context, name string) (map[int32]groups.Committed, error) {
	return b.groups[name].committed, nil
}

func (b *brokers) WrittenBefore(context.Context, time.Time) (map[int32]int64, error) {
	return map[int32]int64{0: b.written, 1: b.written}, nil
}

func (b *brokers) Ends(context.Context) (map[int32]int64, error) {
	return map[int32]int64{0: b.end, 1: b.end}, nil
}

func (b *brokers) Delete(_ context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.broken[name]; err != nil {
		return err
	}
	b.deleted = append(b.deleted, name)
	return nil
}

// rig is a deployment in which alice reports, bob was last heard of two hours ago, and
// carol nobody has heard of.
type rig struct {
	brokers *brokers
	seen    fleet.Sightings
	records []string
	refuse  error // of records
	groups  *groups.Groups
}

const started = "1767330000000" // 05:00

func newRig(change ...func(*rig)) *rig {
	at := func(offset int64) group {
		return group{committed: map[int32]groups.Committed{0: {Offset: offset, Note: started}, 1: {Offset: 100, Note: started}}}
	}
	r := &rig{
		brokers: &brokers{written: 500, end: 1000, groups: map[string]group{
			"pushgate.gateway.alice": at(1000), "pushgate.gateway.bob": at(400), "pushgate.gateway.carol": at(100),
			"custodians": {members: 1, committed: map[int32]groups.Committed{0: {Offset: 990}, 1: {Offset: 990}}},
			"other":      at(1), "console-consumer-7": at(2),
		}},
		seen: fleet.Sightings{
			Last:   map[string]time.Time{"alice": now.Add(-time.Second), "bob": now.Add(-2 * time.Hour)},
			Oldest: now.Add(-6 * time.Hour), Newest: now,
		},
	}
	for _, c := range change {
		c(r)
	}
	r.groups = groups.New(groups.Params{
		Kafka: r.brokers, Custodians: "custodians",
		Sight: func(_ context.Context, back time.Duration) (fleet.Sightings, error) {
			r.seen.Exact = r.seen.Newest.Add(-back)
			return r.seen, nil
		},
		Record: func(_ context.Context, asked groups.Pruning, did groups.Pruned) (string, error) {
			r.records = append(r.records, fmt.Sprint(asked.By, " ", len(did.Deleted), " ", len(did.Failed)))
			return "op", r.refuse
		},
	})
	return r
}

// gone are the nodes whose groups are listed as gone.
func (r *rig) gone(t *testing.T) (nodes []string) {
	t.Helper()
	l, err := r.groups.List(t.Context(), 0)
	require.NoError(t, err)
	for _, g := range l.Groups {
		assert.NotEmpty(t, g.Why, g.Name)
		if g.Gone {
			nodes = append(nodes, g.Node)
		}
	}
	return nodes
}

func names(list []groups.Group) (names []string) {
	for _, g := range list {
		names = append(names, g.Name)
	}
	return names
}

func TestTheListingKnowsTheGroupsOfTheDeploymentAndWhoseNodeIsGone(t *testing.T) {
	r := newRig()
	l, err := r.groups.List(t.Context(), 0)
	require.NoError(t, err)
	assert.Equal(t, []string{"custodians", "pushgate.gateway.alice", "pushgate.gateway.bob", "pushgate.gateway.carol"}, names(l.Groups))
	custodians, alice, bob, carol := l.Groups[0], l.Groups[1], l.Groups[2], l.Groups[3]
	assert.False(t, custodians.Gone)
	assert.Empty(t, custodians.Node)
	assert.EqualValues(t, 20, custodians.Lag)
	assert.Equal(t, groups.Group{
		Name: "pushgate.gateway.alice", Node: "alice", State: "Empty", Lag: 900, LastSeen: now.Add(-time.Second), Why: "its node reported 1s ago",
	}, alice)
	assert.True(t, bob.Gone)
	assert.Equal(t, "its node last reported 2h0m0s ago", bob.Why)
	assert.True(t, carol.Gone)
	assert.Contains(t, carol.Why, "has not reported for 1h0m0s; when it did last is not known")
}

func TestWhateverSpeaksForANodeKeepsItsGroup(t *testing.T) {
	bob := "pushgate.gateway.bob"
	cases := map[string]func(*rig){
		"it has reported within the time": func(r *rig) { r.seen.Last["bob"] = now.Add(-59 * time.Minute) },
		"its group has members": func(r *rig) {
			g := r.brokers.groups[bob]
			g.members = 1
			r.brokers.groups[bob] = g
		},
		"its group has committed what was written within the time, as a node that does not report yet does": func(r *rig) {
			r.brokers.groups[bob].committed[1] = groups.Committed{Offset: 501, Note: started}
		},
		"it was started within the time": func(r *rig) {
			r.brokers.groups[bob].committed[1] = groups.Committed{Offset: 100, Note: fmt.Sprint(now.Add(-time.Minute).UnixMilli(), " called")}
		},
		"its group is of another deployment": func(r *rig) { clear(r.brokers.groups[bob].committed) },
	}
	assert.Equal(t, []string{"bob", "carol"}, newRig().gone(t))
	for name, change := range cases {
		t.Run(name, func(t *testing.T) { assert.Equal(t, []string{"carol"}, newRig(change).gone(t)) })
	}
}

func TestWhereTooLittleIsKnownNobodyIsGone(t *testing.T) {
	cases := map[string]func(*rig){
		"reports are kept for less than the time": func(r *rig) { r.seen.Oldest = now.Add(-30 * time.Minute) },
		"nobody has ever reported":                func(r *rig) { r.seen = fleet.Sightings{} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) { assert.Empty(t, newRig(change).gone(t)) })
	}
	_, err := newRig().groups.List(t.Context(), 9*time.Second)
	var short *groups.GoneForError
	require.ErrorAs(t, err, &short, "a node is not even silent then")
}

func TestPruneIsADryRunFirstThenDeletesWhatIsGoneAndRecordsIt(t *testing.T) {
	r := newRig()
	did, err := r.groups.Prune(t.Context(), groups.Pruning{DryRun: true, By: "eve"})
	require.NoError(t, err)
	assert.Equal(t, []string{"pushgate.gateway.bob", "pushgate.gateway.carol"}, names(did.Deleted))
	assert.Empty(t, r.brokers.deleted)
	assert.Empty(t, r.records)

	did, err = r.groups.Prune(t.Context(), groups.Pruning{By: "eve"})
	require.NoError(t, err)
	assert.Equal(t, []string{"pushgate.gateway.bob", "pushgate.gateway.carol"}, r.brokers.deleted)
	assert.Equal(t, []string{"custodians", "pushgate.gateway.alice"}, names(did.Kept))
	assert.Equal(t, "op", did.Operation)
	assert.Equal(t, []string{"eve 2 0"}, r.records)
}

func TestPruneOfOneNodeTouchesNoOther(t *testing.T) {
	r := newRig()
	_, err := r.groups.Prune(t.Context(), groups.Pruning{Node: "bob"})
	require.NoError(t, err)
	assert.Equal(t, []string{"pushgate.gateway.bob"}, r.brokers.deleted)

	did, err := r.groups.Prune(t.Context(), groups.Pruning{Node: "alice"})
	require.NoError(t, err)
	assert.Equal(t, []string{"pushgate.gateway.alice"}, names(did.Kept))
	assert.Len(t, r.records, 1, "nothing was done, nothing is recorded")
	_, err = r.groups.Prune(t.Context(), groups.Pruning{Node: "nobody"})
	var none *groups.NoGroupError
	require.ErrorAs(t, err, &none)
	assert.Len(t, r.brokers.deleted, 1)
}

func TestAGroupThatCannotBeDeletedKeepsNoOtherFromIt(t *testing.T) {
	r := newRig(func(r *rig) {
		r.brokers.broken = map[string]error{"pushgate.gateway.bob": errors.New("the group has members")}
	})
	did, err := r.groups.Prune(t.Context(), groups.Pruning{By: "eve"})
	require.NoError(t, err)
	assert.Equal(t, []string{"pushgate.gateway.carol"}, r.brokers.deleted)
	require.Len(t, did.Failed, 1)
	assert.Equal(t, "the group has members", did.Failed[0].Why)
	assert.Equal(t, []string{"eve 1 1"}, r.records)
}

func TestADeletionThatCannotBeRecordedIsAnError(t *testing.T) {
	r := newRig(func(r *rig) { r.refuse = errors.New("no broker") })
	did, err := r.groups.Prune(t.Context(), groups.Pruning{})
	require.ErrorContains(t, err, "2 groups were deleted, but that could not be recorded")
	assert.Len(t, did.Deleted, 2)
}
