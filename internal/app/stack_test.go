package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap/zaptest"
)

// blocked is a part that lives until it is told to end.
func blocked(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func TestWhatWasStartedLastEndsFirst(t *testing.T) {
	running, failed := context.WithCancelCause(t.Context())
	s := &stack{log: zaptest.NewLogger(t), failed: failed}
	var ended []string
	for _, name := range []string{"first", "second", "third"} {
		s.run(t.Context(), name, func(ctx context.Context) error {
			<-ctx.Done()
			ended = append(ended, name) // one at a time: each is waited for
			return nil
		})
	}
	s.push("a step", func(context.Context) error {
		ended = append(ended, "a step")
		return errors.New("a step that fails keeps nobody from ending")
	})
	s.unwind(t.Context())
	assert.Equal(t, []string{"a step", "third", "second", "first"}, ended)
	assert.NoError(t, running.Err(), "parts that end when they are told to have not failed")
}

func TestAPartThatEndsByItselfFailsTheWhole(t *testing.T) {
	for _, err := range []error{nil, errors.New("the disk is full")} {
		running, failed := context.WithCancelCause(t.Context())
		s := &stack{log: zaptest.NewLogger(t), failed: failed}
		s.run(t.Context(), "good", blocked)
		s.run(t.Context(), "bad", func(context.Context) error { return err })
		<-running.Done()
		assert.ErrorContains(t, context.Cause(running), "bad: ")
		s.unwind(t.Context())
	}
}

func TestAPartThatDoesNotEndIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, failed := context.WithCancelCause(t.Context())
		s := &stack{log: zaptest.NewLogger(t), failed: failed}
		release := make(chan struct{})
		s.run(t.Context(), "stuck", func(context.Context) error {
			<-release
			return nil
		})
		began := time.Now()
		s.unwind(t.Context())
		assert.Equal(t, stepPatience, time.Since(began))
		close(release)
	})
}
