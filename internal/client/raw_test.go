package client_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/client"
	"pushgate/internal/session"
)

// runRaw runs a client that hands frames over as they come, until the test ends.
func runRaw(t *testing.T, p client.Params, take func(frame string) error) (ended <-chan error) {
	t.Helper()
	p.User, p.OnState = "42", nil
	c, err := client.New(p)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- c.RunRaw(ctx, func(frame []byte) error { return take(string(frame)) })
		close(done)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return done
}

func TestRawFramesAreHandedOverAsTheyCameAndAcknowledged(t *testing.T) {
	s := newServer(t)
	frames := make(chan string, 10)
	runRaw(t, client.Params{URL: s.URL}, func(frame string) error {
		frames <- frame
		return nil
	})
	p := s.accept(t)
	assert.Equal(t, session.PushgateName, p.protocol)
	// Ids are sent back with the escapes they came with; repeats are handed over.
	for _, id := range []string{"a", `with "quotes" and \`, "a"} {
		p.push(id)
		assert.Equal(t, message(id), wait(t, frames, "a frame"))
		p.expectAck(id)
	}
}

func TestAPlainClientGetsPayloadsAndAcknowledgesNothing(t *testing.T) {
	s := newServer(t)
	frames := make(chan string, 10)
	runRaw(t, client.Params{URL: s.URL, Plain: true}, func(frame string) error {
		frames <- frame
		return nil
	})
	p := s.accept(t)
	assert.Empty(t, p.protocol)
	p.send("one", "two")
	assert.Equal(t, "one", wait(t, frames, "a frame"))
	assert.Equal(t, "two", wait(t, frames, "a frame"))
	p.close(session.CloseNormal)
	p.expectClosed()
	assert.Empty(t, p.received)
}

func TestARawFrameThatWasNotTakenIsNotAcknowledged(t *testing.T) {
	s := newServer(t)
	mine := errors.New("mine")
	ended := runRaw(t, client.Params{URL: s.URL}, func(string) error { return mine })
	p := s.accept(t)
	p.push("a")
	require.ErrorIs(t, wait(t, ended, "the end"), mine)
	p.expectClosed()
	assert.Empty(t, p.received)
}

func TestErrStopEndsARawRunAfterAcknowledging(t *testing.T) {
	s := newServer(t)
	ended := runRaw(t, client.Params{URL: s.URL}, func(string) error { return client.ErrStop })
	p := s.accept(t)
	p.push("a")
	p.expectAck("a")
	require.NoError(t, wait(t, ended, "the end"))
	assert.Equal(t, session.CloseNormal, p.expectClosed().Code)
}
