package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// stack runs the parts of a node, each in a goroutine, and ends them one after
// the other, the last one started first. A part that ends by itself has failed,
// and fails the whole.
type stack struct {
	log    *zap.Logger
	failed context.CancelCauseFunc

	mu    sync.Mutex
	steps []step
}

type step struct {
	name string
	stop func(ctx context.Context) error
}

// push registers what is to be done at the end; it may block until its context
// ends.
func (s *stack) push(name string, stop func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step{name: name, stop: stop})
}

// run starts a part. It gets a context of its own, which ends when its turn to
// stop has come; then it is waited for.
func (s *stack) run(ctx context.Context, name string, part func(context.Context) error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := part(own)
		if own.Err() != nil {
			return // it was told to
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		s.failed(fmt.Errorf("%s: %w", name, err))
	}()
	s.push(name, func(ctx context.Context) error {
		cancel()
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("has not ended: %w", context.Cause(ctx))
		}
	})
}

// stepPatience bounds each step of the end beyond what the step itself bounds.
const stepPatience = 10 * time.Second

// unwind takes the steps in the opposite order. A step that fails or takes too
// long is logged, and does not keep the others from their turn.
func (s *stack) unwind(ctx context.Context) {
	s.mu.Lock()
	steps := s.steps
	s.steps = nil
	s.mu.Unlock()
	for _, step := range slices.Backward(steps) {
		began := time.Now()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepPatience)
		err := step.stop(bounded)
		cancel()
		if err != nil {
			s.log.Warn("not stopped in order", zap.String("step", step.name), zap.Error(err))
			continue
		}
		s.log.Debug("stopped", zap.String("step", step.name), zap.Duration("took", time.Since(began)))
	}
}
