package cli_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/cli"
)

func TestNumbersAndTimesThatMakeNoSenseAreRefusedBeforeAnythingIsDone(t *testing.T) {
	for command, want := range map[string]string{
		"explain --user 42 --limit 0":                           "--limit 0: must be from 1 to 1000",
		"audit --since 1h --until 2h":                           "is not before --until",
		"retry release --all --patience -1s":                    "--patience -1s: must be longer than 0",
		"retry discard --all --why x --patience 0s":             "--patience 0s: must be longer than 0",
		"deadletter replay --since 1h --ttl 0s":                 "--ttl 0s: must be longer than 0",
		"deadletter list --reason expired --not-reason expired": "both asked for and left out",
		"deadletter list --not-reason boredom":                  "--not-reason boredom: use one of",
		"topics apply --partitions -1":                          "must not be negative",
	} {
		t.Run(command, func(t *testing.T) {
			var out, failure transcript
			args := append(strings.Fields(command), "--set", "kafka.brokers=127.0.0.1:1")
			code := cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &failure}, "test")
			assert.Equal(t, 2, code)
			assert.Contains(t, failure.String(), want)
			assert.Empty(t, out.String())
		})
	}
}
