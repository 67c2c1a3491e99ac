package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/freeport"
	"pushgate/internal/push"
)

// The story itself is played by a test of internal/cli, on a whole platform.

func noToken(string) (string, error) { return "", nil }

func TestAStoryThatCannotGoOnSaysWhereItStopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	err := Run(ctx, Params{Gateway: "ws://" + freeport.Address(t), Token: noToken, Partitions: 8, Out: &out})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Regexp(t, `^part 1 \(delivered\): connecting alice-\w{4} \(.*refused.*\): `, err.Error())
	assert.Contains(t, out.String(), "1. Delivered")
}

func TestATokenThatCannotBeHadEndsTheStory(t *testing.T) {
	broken := errors.New("no key to sign with")
	err := Run(t.Context(), Params{
		Gateway: "ws://" + freeport.Address(t), Partitions: 8, Out: io.Discard,
		Token: func(string) (string, error) { return "", broken },
	})
	require.ErrorIs(t, err, broken)
}

// deaf is a reader who has gone.
type deaf struct{}

func (deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestNothingIsPlayedToNobody(t *testing.T) {
	err := Run(t.Context(), Params{Gateway: "ws://" + freeport.Address(t), Token: noToken, Partitions: 8, Out: deaf{}})
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestWhatDoesNotHappenIsGivenUpWithWordOfHowFarItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := play(t.Context(), func(ctx context.Context) error {
			return eventually(ctx, "waiting for rain", func(context.Context) (bool, string, error) {
				return false, "3 of 4 clouds", nil
			})
		})
		require.ErrorIs(t, err, errTooLong)
		assert.ErrorContains(t, err, "waiting for rain (3 of 4 clouds): not within 20s")
		assert.Equal(t, patience, time.Since(began))
	})
}

func TestWhatGoesWrongEndsTheWaitingAtOnce(t *testing.T) {
	wrong := errors.New("wrong")
	looks := 0
	err := eventually(t.Context(), "waiting", func(context.Context) (bool, string, error) {
		looks++
		return false, "", wrong
	})
	require.ErrorIs(t, err, wrong)
	assert.Equal(t, 1, looks)
}

func TestANeighbourLivesInTheSamePartition(t *testing.T) {
	for _, partitions := range []int32{1, 8, 100} {
		s := &stage{Params: Params{Partitions: partitions}, run: "x7k2"}
		carol := s.user("carol")
		dave := s.neighbour("dave", carol)
		assert.Equal(t, push.Home(carol, partitions), push.Home(dave, partitions))
		assert.Equal(t, []string{carol, dave}, s.users)
	}
}
