package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"pushgate/internal/admin/access"
	"pushgate/internal/admin/jobs"
	"pushgate/internal/deadletter"
	"pushgate/internal/explain"
	"pushgate/internal/fleet"
	"pushgate/internal/groups"
	"pushgate/internal/operations"
	"pushgate/internal/waiting"
)

// Params of an API. A part that is nil is answered by 501: this node does not have it.
// All are used by many at once. What they return as error is answered by 503, unless
// it is an *answer.Problem.
type Params struct {
	Guard access.Guard
	Self  Self

	Users        func(ctx context.Context, user string) (User, error)
	Fleet        Fleet
	Groups       Groups
	Letters      Letters
	Replayer     Replayer
	Discarder    Discarder
	Waiting      Waiting
	WaitOperator WaitOperator
	Stories      Stories
	Operations   Operations
	// Messages produces the message in the body for the user in the path; Sockets opens
	// a session of that user. Both get requests that were let through.
	Messages http.Handler
	Sockets  http.Handler

	Jobs   *jobs.Runner
	Logger *zap.Logger
}

// Self is what a node says of itself.
type Self struct {
	Node    string
	Version string
	// Gateway: it takes sessions.
	Gateway        bool
	Routing, Order string
}

// Fleet knows the nodes. It does not block.
type Fleet interface {
	Fleet() fleet.Fleet
	// Overview looks back that many minutes.
	Overview(minutes int) fleet.Overview
}

// Groups are the consumer groups. Both methods block for some requests to the brokers.
type Groups interface {
	List(ctx context.Context, goneFor time.Duration) (groups.Listing, error)
	Prune(ctx context.Context, p groups.Pruning) (groups.Pruned, error)
}

// Letters are those that died.
type Letters interface {
	// Page blocks for a second or so, and then returns what it has found.
	Page(ctx context.Context, q deadletter.Query) (deadletter.Page, error)
	Get(ctx context.Context, at deadletter.Place) (deadletter.Letter, error)
}

// Replayer gives letters another life. Both methods block until they have looked at all
// that is chosen, or ctx ends; the cause is then that of a job.
type Replayer interface {
	PlanReplay(ctx context.Context, p deadletter.ReplayParams) (deadletter.Plan, error)
	Replay(ctx context.Context, p deadletter.ReplayParams) (operations.Operation, error)
}

// Discarder marks letters as handled. Its methods are as those of a Replayer.
type Discarder interface {
	PlanDiscard(ctx context.Context, p deadletter.DiscardParams) (deadletter.Plan, error)
	Discard(ctx context.Context, p deadletter.DiscardParams) (operations.Operation, error)
}

// Waiting is what waits. Every method blocks while it reads.
type Waiting interface {
	Page(ctx context.Context, f waiting.Filter, limit int, cursor string) (waiting.Page, error)
	Summary(ctx context.Context, f waiting.Filter) (waiting.Summary, error)
	// Fill reads the payloads, of large ones not all, and returns of how many.
	Fill(ctx context.Context, waits []waiting.Wait) (int, error)
}

// WaitOperator asks custodians to release or discard what waits. Its methods block until
// all of it is confirmed, or ctx ends.
type WaitOperator interface {
	Release(ctx context.Context, f waiting.Filter, o waiting.Order) (operations.Operation, error)
	Discard(ctx context.Context, f waiting.Filter, o waiting.Order) (operations.Operation, error)
}

// Stories says what became of messages. It blocks for as long as it reads.
type Stories interface {
	Story(ctx context.Context, ask explain.Ask) (explain.Story, error)
}

// Operations is the record of what operators did. Every method blocks while it reads
// or writes it.
type Operations interface {
	// List returns those since then, the newest first.
	List(ctx context.Context, since time.Time, limit int) ([]operations.Operation, error)
	Get(ctx context.Context, id string) (operations.Operation, error)
	// Cancel asks the one with that id to end, wherever it runs.
	Cancel(ctx context.Context, id, by string) error
}

// API is the handler of /v1.
type API struct {
	p        Params
	log      *zap.Logger
	mux      *http.ServeMux
	searches chan struct{} // a place for each that may run

	mu      sync.Mutex
	running map[string]operations.Operation // those that run here, as they are now
}

// maxSearches bounds what reads topics at once: each holds batches of all partitions.
const maxSearches = 4

// New returns the API.
func New(p Params) *API {
	a := &API{
		p: p, log: p.Logger.Named("api"), mux: http.NewServeMux(),
		searches: make(chan struct{}, maxSearches), running: make(map[string]operations.Operation),
	}
	a.register()
	return a
}

// ServeHTTP answers requests to /v1.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }
