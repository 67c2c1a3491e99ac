// Package jobs runs what takes longer than a request: it goes on when the request has
// ended, can be cancelled, and ends in order when the node leaves. What a job does, and
// that it can be taken up again, is the job's own matter.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.uber.org/zap"
)

// Why the context of a job has ended: its cause, where it is not that of Cancel.
var (
	// ErrInterrupted: the node leaves. The job can be started again elsewhere.
	ErrInterrupted = errors.New("interrupted: the node leaves")
	// ErrAbandoned: who started it did not wait until it had begun.
	ErrAbandoned = errors.New("nobody waits for it any more")
)

// Refusals of Start.
var (
	// ErrTooMany: as many jobs run as may.
	ErrTooMany = errors.New("too many operations run on this node")
	// ErrLeaving: the node leaves, or has not begun.
	ErrLeaving = errors.New("the node leaves")
)

// Job is run until it is done or ctx ends; it then returns soon. It calls began once it
// is known by an id, from its own goroutine. An error without that is a refusal.
type Job func(ctx context.Context, began func(id string)) error

// Params of a Runner.
type Params struct {
	// Most is how many jobs run at once.
	Most   int
	Logger *zap.Logger
}

// Runner runs jobs. Safe for concurrent use.
type Runner struct {
	most int
	log  *zap.Logger

	mu      sync.Mutex
	leaving bool
	jobs    map[*job]struct{}
	running sync.WaitGroup
}

type job struct {
	id     string // empty until it has begun
	cancel context.CancelCauseFunc
}

// New returns a Runner. Jobs can be started at once; Run ends them.
func New(p Params) *Runner {
	return &Runner{most: p.Most, log: p.Logger.Named("operations"), jobs: make(map[*job]struct{})}
}

// Start runs a job and blocks until it has begun or ended. It returns the job's id, or
// the job's error when it ended before it had one. When ctx ends before, the job is
// cancelled: nobody would learn of it.
func (r *Runner) Start(ctx context.Context, do Job) (string, error) {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	j := &job{cancel: cancel}
	if err := r.add(j); err != nil {
		cancel(err)
		return "", err
	}
	began, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		defer r.running.Done()
		defer cancel(nil)
		err := r.do(own, do, func(id string) {
			if r.begin(j, id) {
				began <- id
			}
		})
		r.remove(j)
		if err != nil && j.id != "" { // else who started it is told
			r.log.Warn("operation ended early", zap.String("operation", j.id), zap.Error(err))
		}
		ended <- err
	}()
	select {
	case id := <-began:
		return id, nil
	case err := <-ended:
		select {
		case id := <-began: // both, within a moment
			return id, nil
		default:
			return "", err
		}
	case <-ctx.Done():
		cancel(ErrAbandoned)
		return "", context.Cause(ctx)
	}
}

// do runs a job. One that fails altogether must not take the node with it, and with that
// its users' connections.
func (r *Runner) do(ctx context.Context, job Job, began func(id string)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("an operation failed", zap.Any("panic", p), zap.Stack("stack"))
			err = fmt.Errorf("the operation failed: %v", p)
		}
	}()
	return job(ctx, began)
}

// Cancel tells a job to end, with the cause its context then has, and says whether it
// runs here.
func (r *Runner) Cancel(id string, cause error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for j := range r.jobs {
		if j.id == id && id != "" {
			j.cancel(cause)
			return true
		}
	}
	return false
}

// Run waits until ctx ends, interrupts the jobs and returns when all have ended. None
// is started after that.
func (r *Runner) Run(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	r.leaving = true
	for j := range r.jobs {
		r.log.Info("operation interrupted: start it again with the same filter, on any node", zap.String("operation", j.id))
		j.cancel(ErrInterrupted)
	}
	r.mu.Unlock()
	r.running.Wait()
	return nil
}

func (r *Runner) add(j *job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaving {
		return ErrLeaving
	}
	if len(r.jobs) >= r.most {
		return ErrTooMany
	}
	r.jobs[j] = struct{}{}
	r.running.Add(1)
	return nil
}

// begin is true the first time.
func (r *Runner) begin(j *job, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j.id != "" {
		return false
	}
	j.id = id
	return true
}

func (r *Runner) remove(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.jobs, j)
}
