package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/cli"
)

// The whole of it on a real platform: whoever comes and goes, with several devices
// each, gets everything.
func TestBenchWithUsersWhoComeAndGoLosesNothing(t *testing.T) {
	node := platform(t)
	code, out, failure := bench(t, node, "--output", "json", "--devices", "2", "--churn", "0.5", "--away", "100ms",
		"--ramp-up", "500ms", "--type", "news=3", "--type", "alarm=1", "--duration", "2s")
	require.Zero(t, code, failure)
	assert.Empty(t, failure)
	var report struct {
		Devices                          int
		Produced, Delivered, Lost        int64
		Copies                           int64
		SentAway, Reconnects, AtAllCount int64
		Sent                             int64 `json:"sent_away"`
		Latency, Returning               struct{ Count int64 }
		Types                            []struct {
			Type    string
			Latency struct{ Count int64 }
		}
		Problems []string
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report), out)
	assert.Equal(t, 2, report.Devices)
	assert.EqualValues(t, 50+40+400, report.Produced, "a ramp at half the rate, the warm-up, and the load")
	assert.Equal(t, report.Produced, report.Delivered)
	assert.Zero(t, report.Lost)
	assert.Greater(t, report.Copies, report.Delivered, "there are two devices")
	assert.Positive(t, report.Sent)
	assert.Positive(t, report.Reconnects)
	assert.EqualValues(t, 400, report.Latency.Count+report.Returning.Count)
	require.Len(t, report.Types, 2)
	assert.Equal(t, report.Latency.Count, report.Types[0].Latency.Count+report.Types[1].Latency.Count)
	assert.Greater(t, report.Types[0].Latency.Count, report.Types[1].Latency.Count)
	assert.Empty(t, report.Problems)
}

func TestBenchWritesTheRowsOfWhatWasAskedFor(t *testing.T) {
	node := platform(t)
	code, out, failure := bench(t, node, "--devices", "2", "--churn", "0.5", "--away", "100ms", "--type", "news=1")
	require.Zero(t, code, failure)
	for _, line := range []string{
		`users +20, 2 devices each, pushgate\.v1`,
		`copies +\d+; \d+ messages at all devices of their users`,
		`churn +[1-9]\d* times a user was sent away for 100ms; \d+ connections opened again`,
		`  of type news +\d+ .*`,
		`latency of users sent away +\d+ .*`,
	} {
		assert.Regexp(t, `(?m)^`+line+`$`, out)
	}
}

func TestBenchAsksTheNodeOfTheConfigurationUnlessTold(t *testing.T) {
	node := platform(t)
	load := []string{
		"bench", "--set", "kafka.brokers=" + node.BrokerAddr(), "--url", "ws://" + node.GatewayAddr(),
		"--users", "5", "--rate", "50", "--warm-up", "0s", "--duration", "200ms",
	}
	for name, row := range map[string]struct{ admin, says string }{
		"it answers":    {node.AdminAddr(), `(?m)^http://` + node.AdminAddr() + ` +\d`},
		"it does not":   {"127.0.0.1:1", `(?m)^nodes +not asked, --admin names one: asking http://127\.0\.0\.1:1 for its metrics: `},
		"it is no such": {node.GatewayAddr(), `(?m)^nodes +not asked, --admin names one: asking http://` + node.GatewayAddr()},
	} {
		t.Run(name, func(t *testing.T) {
			var out, failure transcript
			code := cli.Run(t.Context(), append([]string{}, append(load, "--set", "admin.listen="+row.admin)...),
				cli.Streams{In: strings.NewReader(""), Out: &out, Err: &failure}, "test")
			require.Zero(t, code, failure.String())
			assert.Regexp(t, row.says, out.String())
		})
	}
}

func TestBenchRefusesOptionsThatCannotWork(t *testing.T) {
	for name, row := range map[string]struct {
		args []string
		says string
	}{
		"no share":        {[]string{"--type", "news"}, "--type news: write it as TYPE=SHARE, such as news=3"},
		"a share of none": {[]string{"--type", "news=0"}, "--type news: its share must be above 0"},
		"no device":       {[]string{"--devices", "0"}, "--devices must be at least 1"},
		"all and more":    {[]string{"--churn", "2"}, "--churn must be from 0 to 1"},
		"a ramp to none":  {[]string{"--ramp-up", "1s", "--rate", "0"}, "--ramp-up needs a --rate"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, failure transcript
			code := cli.Run(t.Context(), append([]string{"bench"}, row.args...), cli.Streams{Out: &out, Err: &failure}, "test")
			assert.Equal(t, 2, code)
			assert.Contains(t, failure.String(), row.says)
		})
	}
}
