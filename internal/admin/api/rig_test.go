package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/admin/access"
	"pushgate/internal/admin/api"
	"pushgate/internal/admin/api/apitest"
	"pushgate/internal/admin/jobs"
	"pushgate/internal/deadletter"
	"pushgate/internal/explain"
	"pushgate/internal/fleet"
	"pushgate/internal/groups"
	"pushgate/internal/operations"
	"pushgate/internal/push"
	"pushgate/internal/waiting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errAway is what all parts say while Kafka is away.
var errAway = errors.New("kafka is away")

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// rig is an API on a listener, with fakes behind it.
type rig struct {
	t        *testing.T
	url      string
	contract *apitest.Contract
	parts    *parts
	params   api.Params
	log      *zap.Logger
}

// parts are all that the API asks. What they were asked is kept.
type parts struct {
	mu    sync.Mutex
	err   error // what everything fails with
	asked []any
	// work is what an operation does, after it has begun; nil: it is done at once.
	work func(ctx context.Context) error
	// gate holds up searches while it is not nil; each sends on entered before.
	gate, entered chan struct{}
	record        map[string]operations.Operation
}

func newRig(t *testing.T, change ...func(*api.Params)) *rig {
	t.Helper()
	r := &rig{t: t, contract: apitest.New(t), parts: &parts{record: make(map[string]operations.Operation)}, log: zaptest.NewLogger(t)}
	runner := jobs.New(jobs.Params{Most: 2, Logger: r.log})
	p := api.Params{
		Guard: access.Guard{Token: "operator-secret", ReadToken: "reader-secret"},
		Self:  api.Self{Node: "a", Version: "1.0", Gateway: true, Routing: "broadcast", Order: "parallel"},
		Users: r.parts.user, Fleet: r.parts, Groups: groupsOf{r.parts}, Letters: lettersOf{r.parts},
		Replayer: lettersOf{r.parts}, Discarder: lettersOf{r.parts}, Waiting: waitsOf{r.parts}, WaitOperator: waitsOf{r.parts},
		Stories: r.parts, Operations: r.parts, Jobs: runner, Logger: r.log,
		Messages: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			r.parts.note(req.PathValue("user") + ": " + string(body))
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"id":"m-1"}`)
		}),
		Sockets: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			r.parts.note(req.PathValue("type") + "/" + req.PathValue("user"))
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUpgradeRequired)
			_, _ = io.WriteString(w, `{"error":"no upgrade"}`)
		}),
	}
	for _, c := range change {
		c(&p)
	}
	r.params = p
	r.listen()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	return r
}

func (r *rig) listen() {
	server := httptest.NewServer(api.New(r.params))
	r.url = server.URL
	r.t.Cleanup(server.Close)
}

// on is another node of the same deployment, with a Runner that the caller runs.
func (r *rig) on(runner *jobs.Runner) *rig {
	other := newRig(r.t)
	other.params.Jobs = runner
	other.listen()
	return other
}

// answer is what the API said, decoded.
type answer struct {
	code   int
	header http.Header
	text   string
	body   map[string]any
}

func (r *rig) get(path string) answer { return r.ask(http.MethodGet, path, "", nil) }

func (r *rig) post(path, body string) answer { return r.ask(http.MethodPost, path, body, nil) }

// ask asks as operator, unless headers say otherwise, and holds each answer against the
// document.
func (r *rig) ask(method, path, body string, headers map[string]string) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Authorization", "Bearer operator-secret")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(r.t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	a := answer{code: res.StatusCode, header: res.Header, text: string(raw)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		require.NoError(r.t, json.Unmarshal(raw, &a.body), a.text)
	}
	if r.contract.Speaks(method, path) {
		r.contract.Answer(r.t, req, res, raw)
	}
	return a
}

func (p *parts) note(asked any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, asked)
	return p.err
}

func (p *parts) last() any {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) == 0 {
		return nil
	}
	return p.asked[len(p.asked)-1]
}

func (p *parts) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *parts) user(_ context.Context, user string) (api.User, error) {
	return api.User{User: user, Node: "a", Scope: api.ScopeDeployment, Sessions: []api.Session{{Node: "b", Since: noon, Type: "all"}}}, p.note(user)
}

func (p *parts) Fleet() fleet.Fleet {
	return fleet.Fleet{At: noon, Nodes: []fleet.Node{{
		Report: fleet.Report{
			Node: "a", Life: 1, At: noon, Version: "1.0", Started: noon, Roles: []string{"gateway", "custodian"}, Routing: "broadcast", Order: "parallel",
			Ready: true, Checks: map[string]string{"kafka": "ok"}, Latency: fleet.Latency{P50: 0.001, Count: 1},
			Counters: fleet.Counters{Outcomes: map[string]int64{"delivered": 1}},
			Reading:  []fleet.Reading{{Partition: 0, Position: 1, End: 2, LagMessages: 1}},
			Custody:  []fleet.Held{{Partition: 0, Waiting: 1, OldestWait: noon, Stalled: "no leader"}},
		},
		State: fleet.Alive, Since: noon,
	}}, Uncustodied: []int32{3}, Warnings: []string{"nobody answers for partition 3"}}
}

func (p *parts) Overview(minutes int) fleet.Overview {
	_ = p.note(minutes)
	return fleet.Overview{At: noon, IntervalSeconds: 2, Nodes: fleet.Count{Alive: 1}, Now: fleet.Point{T: noon, Sessions: 2}, Series: []fleet.Point{{T: noon, OldestWait: noon}}}
}

func (p *parts) Story(_ context.Context, ask explain.Ask) (explain.Story, error) {
	return explain.Story{User: ask.User, Messages: []explain.MessageStory{{
		ID: "m-1", User: "alice", Type: "order", FirstSeen: noon, Outcome: "delivered",
		Events: []explain.Event{{Time: noon, Kind: explain.Produced, Where: "push.requests/0/1", Text: "produced"}},
	}}, Gaps: []string{"push.outcomes is trimmed"}}, p.note(ask)
}

func (p *parts) List(_ context.Context, _ time.Time, limit int) ([]operations.Operation, error) {
	return []operations.Operation{operation("op-1", operations.Done)}, p.note(limit)
}

func (p *parts) Get(_ context.Context, id string) (operations.Operation, error) {
	if err := p.note(id); err != nil {
		return operations.Operation{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o, found := p.record[id]
	if !found {
		return o, &operations.NotFoundError{ID: id}
	}
	return o, nil
}

func (p *parts) Cancel(_ context.Context, id, by string) error { return p.note([2]string{id, by}) }

func (p *parts) write(o operations.Operation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record[o.ID] = o
}

func operation(id string, state operations.State) operations.Operation {
	return operations.Operation{ID: id, Kind: operations.Replay, By: "alice (operator)", State: state, Began: noon, Updated: noon}
}

// perform is an operation of the parts: it begins, works, and is recorded.
func (p *parts) perform(ctx context.Context, o operations.Operation, progress func(operations.Operation)) (operations.Operation, error) {
	o.State, o.Began, o.Updated = operations.Running, noon, noon
	p.write(o)
	progress(o)
	p.mu.Lock()
	work := p.work
	p.mu.Unlock()
	var err error
	if work != nil {
		err = work(ctx)
	}
	o.State = operations.Done
	switch {
	case errors.Is(context.Cause(ctx), operations.ErrCancelled):
		o.State, err = operations.Cancelled, nil
	case ctx.Err() != nil:
		o.State, err = operations.Interrupted, nil
	}
	p.write(o)
	return o, err
}

type lettersOf struct{ *parts }

func letter() deadletter.Letter {
	l := deadletter.Letter{Place: deadletter.Place{Partition: 1, Offset: 7}, Written: noon, Size: 9, Data: []byte(`{"n":991}`), Headers: []push.Header{{Key: "ce_id", Value: []byte("m-1")}}}
	l.User, l.Type, l.ID, l.Reason, l.Error, l.At, l.FirstSeen, l.Expires = "alice", "order", "m-1", push.Exhausted, "no attempts left", noon, noon, noon
	return l
}

func (p lettersOf) Page(ctx context.Context, q deadletter.Query) (deadletter.Page, error) {
	p.mu.Lock()
	gate, entered := p.gate, p.entered
	p.mu.Unlock()
	if gate != nil {
		entered <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
			return deadletter.Page{}, ctx.Err()
		}
	}
	return deadletter.Page{Letters: []deadletter.Letter{letter()}, Next: "more", Scanned: 3, Complete: true}, p.note(q)
}

func (p lettersOf) Get(_ context.Context, at deadletter.Place) (deadletter.Letter, error) {
	if err := p.note(at); err != nil {
		return deadletter.Letter{}, err
	}
	if at.Offset != 7 {
		return deadletter.Letter{}, deadletter.ErrNotFound
	}
	return letter(), nil
}

func (p lettersOf) PlanReplay(_ context.Context, o deadletter.ReplayParams) (deadletter.Plan, error) {
	return deadletter.Plan{Matched: 3, Would: 1, Skipped: map[deadletter.Skip]int{deadletter.SkipExpired: 2}, Sample: []deadletter.Letter{letter()}}, p.note(o)
}

func (p lettersOf) Replay(ctx context.Context, o deadletter.ReplayParams) (operations.Operation, error) {
	progress := o.OnProgress
	o.OnProgress = nil
	if err := p.note(o); err != nil {
		return operations.Operation{}, err
	}
	return p.perform(ctx, operations.Operation{ID: push.NewID(time.Now()), Kind: operations.Replay, By: o.By}, progress)
}

func (p lettersOf) PlanDiscard(_ context.Context, o deadletter.DiscardParams) (deadletter.Plan, error) {
	return deadletter.Plan{Matched: 1, Would: 1}, p.note(o)
}

func (p lettersOf) Discard(ctx context.Context, o deadletter.DiscardParams) (operations.Operation, error) {
	progress := o.OnProgress
	o.OnProgress = nil
	if err := p.note(o); err != nil {
		return operations.Operation{}, err
	}
	return p.perform(ctx, operations.Operation{ID: push.NewID(time.Now()), Kind: operations.Discard, By: o.By, Why: o.Why}, progress)
}

type waitsOf struct{ *parts }

func (p waitsOf) Page(_ context.Context, f waiting.Filter, _ int, _ string) (waiting.Page, error) {
	return waiting.Page{Waits: []waiting.Wait{{Partition: 1, Origin: 4, User: "bob", ID: "m-2", Type: "order", Reason: push.Offline, FirstSeen: noon, Since: noon, Due: noon, Expires: noon}}, Complete: true}, p.note(f)
}

func (p waitsOf) Summary(_ context.Context, f waiting.Filter) (waiting.Summary, error) {
	return waiting.Summary{Total: 1, ByReason: map[string]int{"offline": 1}, Oldest: noon, ByPartition: map[int32]int{1: 1}}, p.note(f)
}

func (p waitsOf) Fill(_ context.Context, waits []waiting.Wait) (int, error) {
	for i := range waits {
		waits[i].Data = []byte("text")
	}
	return len(waits), nil
}

func (p waitsOf) Release(ctx context.Context, f waiting.Filter, o waiting.Order) (operations.Operation, error) {
	return p.do(ctx, operations.Release, f, o)
}

func (p waitsOf) Discard(ctx context.Context, f waiting.Filter, o waiting.Order) (operations.Operation, error) {
	return p.do(ctx, operations.DiscardWaiting, f, o)
}

// waitOrder is what was asked of waits.
type waitOrder struct {
	kind   operations.Kind
	filter waiting.Filter
	order  waiting.Order
}

func (p waitsOf) do(ctx context.Context, kind operations.Kind, f waiting.Filter, o waiting.Order) (operations.Operation, error) {
	progress := o.OnProgress
	o.OnProgress = nil
	if err := p.note(waitOrder{kind, f, o}); err != nil {
		return operations.Operation{}, err
	}
	op := operations.Operation{ID: push.NewID(time.Now()), Kind: kind, By: o.By, Why: o.Why, Matched: 1}
	if o.DryRun {
		return op, nil
	}
	return p.perform(ctx, op, progress)
}

type groupsOf struct{ *parts }

func (p groupsOf) List(_ context.Context, goneFor time.Duration) (groups.Listing, error) {
	return groups.Listing{Groups: []groups.Group{{Name: "pushgate.gateway.b", Node: "b", State: "Empty", Gone: true, Why: "silent", LastSeen: noon}}}, p.note(goneFor)
}

func (p groupsOf) Prune(_ context.Context, o groups.Pruning) (groups.Pruned, error) {
	return groups.Pruned{DryRun: o.DryRun}, p.note(o)
}
