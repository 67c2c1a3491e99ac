// Package groups is about the consumer groups of a deployment: which there are, whose
// node is gone, and how to delete those safely. What a group is, and who has been
// heard of, others know; this package decides what is gone.
//
// A gateway has a group of its own, without members: it only keeps its position. So
// Kafka cannot tell whether it is in use, and deletes it whenever it is asked to. What
// tells is whether the node reports (package fleet), and whether the group has
// committed what was written lately.
package groups

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"pushgate/internal/fleet"
)

// DefaultGoneFor is how long a node must not have reported to be gone.
const DefaultGoneFor = time.Hour

// Prefix of the names of the gateways' groups; the node's id follows.
const Prefix = "pushgate.gateway."

// Group is a consumer group of the deployment.
type Group struct {
	Name string `json:"name"`
	// Node whose group it is; empty for the one that the custodians share.
	Node    string `json:"node,omitempty"`
	State   string `json:"state"` // Kafka's word
	Members int    `json:"members"`
	// Lag is how many requests are beyond what it has committed.
	Lag int64 `json:"lag"`
	// LastSeen is when its node last reported; zero: not in what is kept of reports. Of
	// a node that is gone it may be up to ten minutes too early.
	LastSeen time.Time `json:"last_seen,omitzero"`
	Gone     bool      `json:"gone"`
	Why      string    `json:"why"` // it is gone, or is not
}

// Listing is what List returns.
type Listing struct {
	Groups []Group `json:"groups"` // by name
	// Since when reports are kept: of a node that was not heard of since, nothing more
	// can be known. Zero: there is no report at all.
	Since time.Time `json:"since,omitzero"`
	// Newest report there is, of any node. What is gone is reckoned from then, on the
	// brokers' clock.
	Newest time.Time `json:"newest,omitzero"`
}

// Pruning says what is to be pruned.
type Pruning struct {
	// GoneFor is how long a node must not have reported; 0: DefaultGoneFor.
	GoneFor time.Duration
	// Node: only the group of that node; empty: of all that are gone.
	Node   string
	DryRun bool
	By     string // who asks
}

// Pruned is what Prune did, or would have done.
type Pruned struct {
	DryRun  bool    `json:"dry_run"`
	Deleted []Group `json:"deleted"` // or those that would be
	Kept    []Group `json:"kept"`    // each says why
	Failed  []Group `json:"failed"`  // gone, and not deleted: Why is the error
	// Operation is the id of the record of it; empty for a dry run, and where there was
	// nothing to do.
	Operation string `json:"operation,omitempty"`
}

// Committed is what a group has committed for a partition of the request topic.
type Committed struct {
	Offset int64
	Note   string // of a gateway: its epoch, in Unix milliseconds, and how it works
}

// Kafka is what the brokers know. Every method blocks until it is done or ctx ends;
// safe for concurrent use.
type Kafka interface {
	// Names of all groups of the cluster.
	Names(ctx context.Context) ([]string, error)
	Describe(ctx context.Context, group string) (state string, members int, err error)
	// Committed leaves out partitions for which nothing is committed.
	Committed(ctx context.Context, group string) (map[int32]Committed, error)
	// WrittenBefore returns the first offset of each partition of the request topic that
	// was written at a time or later.
	WrittenBefore(ctx context.Context, t time.Time) (map[int32]int64, error)
	// Ends of the partitions of the request topic.
	Ends(ctx context.Context) (map[int32]int64, error)
	// Delete fails where the group has members.
	Delete(ctx context.Context, group string) error
}

// Params of Groups.
type Params struct {
	Kafka Kafka
	// Sight reads who has reported when, exactly for a time back; see fleet.Sight.
	Sight func(ctx context.Context, back time.Duration) (fleet.Sightings, error)
	// Custodians is the group that the custodians share.
	Custodians string
	// Least is the shortest time a node may be said to be gone after; 0 means 10s.
	Least time.Duration
	// Record makes it known for good what was deleted at whose word, and returns the id
	// of that record.
	Record func(ctx context.Context, asked Pruning, did Pruned) (id string, err error)
}

// Groups of a deployment. Safe for concurrent use.
type Groups struct{ p Params }

// New returns the groups of a deployment.
func New(p Params) *Groups {
	const silence = 10 * time.Second // before, a node is not even silent
	p.Least = max(p.Least, silence)
	return &Groups{p: p}
}

// GoneForError says that a time cannot be asked for.
type GoneForError struct{ text string }

func (e *GoneForError) Error() string { return e.text }

// List returns the groups of the deployment. A node is gone that has not reported for
// a time; 0: DefaultGoneFor. It blocks while it asks the brokers, some requests for
// each group, and reads the reports of that time.
func (g *Groups) List(ctx context.Context, goneFor time.Duration) (Listing, error) {
	if goneFor == 0 {
		goneFor = DefaultGoneFor
	}
	if goneFor < g.p.Least {
		return Listing{}, &GoneForError{fmt.Sprintf("%s is too short a time for a node to be gone: give at least %s", goneFor, g.p.Least)}
	}
	e, err := g.gather(ctx, goneFor)
	if err != nil {
		return Listing{}, err
	}
	names, err := g.p.Kafka.Names(ctx)
	if err != nil {
		return Listing{}, fmt.Errorf("listing the groups: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return name != g.p.Custodians && !strings.HasPrefix(name, Prefix)
	})
	l := Listing{Groups: make([]Group, len(names)), Since: e.seen.Oldest, Newest: e.seen.Newest}
	const atOnce = 8
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for i, name := range names {
		all.Go(func() (err error) {
			l.Groups[i], err = g.look(ctx, name, e)
			return err
		})
	}
	return l, all.Wait()
}

// evidence is what a group is judged by.
type evidence struct {
	goneFor         time.Duration
	seen            fleet.Sightings
	written, ending map[int32]int64
}

func (g *Groups) gather(ctx context.Context, goneFor time.Duration) (evidence, error) {
	e := evidence{goneFor: goneFor}
	var err error
	if e.seen, err = g.p.Sight(ctx, goneFor); err != nil {
		return e, fmt.Errorf("reading who has reported: %w", err)
	}
	if e.written, err = g.p.Kafka.WrittenBefore(ctx, e.seen.Exact); err != nil {
		return e, fmt.Errorf("finding what was written since: %w", err)
	}
	if e.ending, err = g.p.Kafka.Ends(ctx); err != nil {
		return e, fmt.Errorf("finding the end of the requests: %w", err)
	}
	return e, nil
}

// look asks about one group and judges it.
func (g *Groups) look(ctx context.Context, name string, e evidence) (Group, error) {
	group := Group{Name: name}
	var err error
	if group.State, group.Members, err = g.p.Kafka.Describe(ctx, name); err != nil {
		return group, fmt.Errorf("asking about group %s: %w", name, err)
	}
	committed, err := g.p.Kafka.Committed(ctx, name)
	if err != nil {
		return group, fmt.Errorf("asking what group %s has committed: %w", name, err)
	}
	for number, c := range committed {
		group.Lag += max(e.ending[number]-c.Offset, 0)
	}
	if name == g.p.Custodians {
		group.Why = "the custodians share it: it is never deleted"
		return group, nil
	}
	group.Node = strings.TrimPrefix(name, Prefix)
	group.LastSeen = e.seen.Last[group.Node]
	group.Gone, group.Why = e.judge(group, committed)
	return group, nil
}

// judge decides whether a gateway's group is of a node that is gone. Whatever speaks
// for the node keeps its group.
func (e *evidence) judge(g Group, committed map[int32]Committed) (gone bool, why string) {
	ago := func(t time.Time) string { return e.seen.Newest.Sub(t).Round(time.Second).String() + " ago" }
	switch {
	case len(committed) == 0:
		return false, "it has committed nothing for this deployment's requests: of another deployment, or as good as deleted"
	case g.Members > 0:
		return false, "it has members"
	case e.seen.Newest.IsZero():
		return false, "no node has reported yet: nothing is known"
	case !g.LastSeen.Before(e.seen.Exact):
		return false, "its node reported " + ago(g.LastSeen)
	case e.seen.Oldest.After(e.seen.Exact):
		return false, fmt.Sprintf("reports are kept since %s only: it is not known who was there %s ago",
			e.seen.Oldest.UTC().Format(time.RFC3339), e.goneFor)
	}
	for number, c := range committed {
		if c.Offset > e.written[number] {
			return false, fmt.Sprintf("it has committed what was written less than %s ago: its node is there and does not report", e.goneFor)
		}
		if began := startedAt(c.Note); began.After(e.seen.Exact) {
			return false, "its node was started " + ago(began) + " and does not report"
		}
	}
	if g.LastSeen.IsZero() {
		return true, fmt.Sprintf("its node has not reported for %s; when it did last is not known", e.goneFor)
	}
	return true, "its node last reported " + ago(g.LastSeen)
}

// startedAt is when the gateway that committed began; zero where the note does not say.
func startedAt(note string) time.Time {
	first, _, _ := strings.Cut(note, " ")
	epoch, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(epoch)
}

// Prune deletes the groups of nodes that are gone, and nothing else: never the one the
// custodians share, nor one with members. It blocks as List does. A group that cannot
// be deleted does not keep it from the others; the error says that it could not be
// found out which are gone, or not be recorded which were deleted.
//
// Should a node come back whose group was deleted, it begins at the end of the log, as
// a new one does. Nothing is lost: what it would have read on from its old position has
// been judged by the custodians, and what nobody delivered waits, and is offered again.
func (g *Groups) Prune(ctx context.Context, p Pruning) (Pruned, error) {
	did := Pruned{DryRun: p.DryRun, Deleted: []Group{}, Kept: []Group{}, Failed: []Group{}}
	listing, err := g.List(ctx, p.GoneFor)
	if err != nil {
		return did, err
	}
	found := false
	for _, group := range listing.Groups {
		if p.Node != "" && group.Node != p.Node {
			continue
		}
		found = true
		g.prune(ctx, group, &did)
	}
	if !found && p.Node != "" {
		return did, &NoGroupError{Node: p.Node}
	}
	if p.DryRun || len(did.Deleted)+len(did.Failed) == 0 {
		return did, nil
	}
	// What was done is recorded, also when the one who asked has gone meanwhile.
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if did.Operation, err = g.p.Record(ctx, p, did); err != nil {
		return did, fmt.Errorf("%d groups were deleted, but that could not be recorded: %w", len(did.Deleted), err)
	}
	return did, nil
}

// NoGroupError says that a node has no group.
type NoGroupError struct{ Node string }

func (e *NoGroupError) Error() string {
	return fmt.Sprintf("there is no group %s%s: pushgate groups list shows which there are", Prefix, e.Node)
}

func (g *Groups) prune(ctx context.Context, group Group, did *Pruned) {
	if !group.Gone {
		did.Kept = append(did.Kept, group)
		return
	}
	if !did.DryRun {
		err := g.p.Kafka.Delete(ctx, group.Name)
		if err != nil {
			group.Why = err.Error()
			did.Failed = append(did.Failed, group)
			return
		}
	}
	did.Deleted = append(did.Deleted, group)
}
