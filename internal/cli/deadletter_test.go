package cli

import (
	"os/exec"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/deadletter"
)

func TestARateIsLettersASecond(t *testing.T) {
	for text, want := range map[string]float64{"100": 100, "100/s": 100, "0.5": 0.5} {
		rate, err := parseRate(text)
		require.NoError(t, err, text)
		assert.InDelta(t, want, rate, 0, text)
	}
	for _, text := range []string{"", "0", "-1", "NaN", "Inf", "100/m", "fast"} {
		_, err := parseRate(text)
		assert.Error(t, err, text)
	}
}

func TestAPlaceIsToldFromAnID(t *testing.T) {
	at, ok := parsePlace("3/1841")
	assert.True(t, ok)
	assert.Equal(t, deadletter.Place{Partition: 3, Offset: 1841}, at)
	for _, id := range []string{"m", "push.requests/3/17", "3/", "/3", "-1/3", "3/-1", "3/4/5"} {
		_, ok := parsePlace(id)
		assert.False(t, ok, id)
	}
}

func TestACommandToGoOnNamesTheTimesThatWereMeant(t *testing.T) {
	var f operationFlags
	cmd := &cobra.Command{Use: "replay"}
	f.add(cmd)
	cmd.Flags().StringArray("set", nil, "")
	require.NoError(t, cmd.ParseFlags([]string{"--since", "2h", "--text", `it's "so"`, "--yes", "--set", "a=b c", "--set", "d=e"}))
	now := time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC)
	choice, err := f.choice(now)
	require.NoError(t, err)
	o := operation{again: cmd, filter: choice.Filter}
	assert.Equal(t, `replay --set='a=b c' --set=d=e --since=2030-01-02T13:04:05Z --text='it'\''s "so"' --yes=true`, o.resume())
	// A shell reads what was meant.
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quoted(f.text)).Output()
	require.NoError(t, err)
	assert.Equal(t, f.text, string(out))
}

func TestLettersNamedByPlaceAndAFilterExcludeEachOther(t *testing.T) {
	for _, row := range []struct {
		args []string
		good bool
	}{
		{[]string{"--at", "1/2,3/4", "--at", "5/6"}, true},
		{[]string{"--at", "1/2", "--state", "all"}, true},
		{[]string{"--at", "1/2", "--user", "42"}, false},
		{[]string{"--at", "nonsense"}, false},
		{[]string{"--state", "lost"}, false},
		{[]string{"--since", "1h", "--until", "2h"}, false},
	} {
		var f operationFlags
		cmd := &cobra.Command{Use: "replay"}
		f.add(cmd)
		require.NoError(t, cmd.ParseFlags(row.args))
		_, err := f.choice(time.Now())
		assert.Equal(t, row.good, err == nil, row.args)
	}
}
