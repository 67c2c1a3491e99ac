package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/app"
	"pushgate/internal/cli"
	"pushgate/internal/config"
)

// platform is a whole deployment in this process, until the end of the test.
func platform(t *testing.T) *app.Dev {
	t.Helper()
	c := config.Default()
	c.Node.ID = "dev"
	c.Dev.DataDir, c.Dev.KafkaListen = t.TempDir(), "127.0.0.1:0"
	c.Gateway.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Drain.Timeout = 0
	node, err := app.NewDev(t.Context(), app.Params{Config: c, Logger: zap.NewNop(), Version: "test"})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	select {
	case <-node.Up():
	case <-t.Context().Done():
		require.Fail(t, "the platform does not come up")
	}
	return node
}

// bench runs a small load; the arguments come on top.
func bench(t *testing.T, node *app.Dev, args ...string) (code int, out, failure string) {
	t.Helper()
	var stdout, stderr transcript
	code = cli.Run(t.Context(), append([]string{
		"bench", "--set", "kafka.brokers=" + node.BrokerAddr(),
		"--url", "ws://" + node.GatewayAddr(), "--admin", "http://" + node.AdminAddr(),
		"--users", "20", "--rate", "200", "--warm-up", "200ms", "--duration", "1s",
	}, args...), cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, "test")
	return code, stdout.String(), stderr.String()
}

func TestBenchAccountsForEveryMessage(t *testing.T) {
	node := platform(t)
	plot := filepath.Join(t.TempDir(), "latency.hgrm")
	code, out, failure := bench(t, node, "--output", "json", "--offline-share", "0.25", "--histogram", plot)
	require.Zero(t, code, failure)
	assert.Empty(t, failure, "a pipe is kept quiet")
	var report struct {
		Produced, Delivered, Lost, Misdirected int64
		Latency                                struct {
			Count int64
			P50   float64 `json:"p50_ms"`
		}
		Connect struct{ Count int64 }
		Waiting struct{ Users, Messages int64 }
		Nodes   []struct {
			CPU         float64 `json:"cpu_s"`
			Read        float64 `json:"requests_read"`
			RSS         float64 `json:"rss_bytes"`
			Connections float64
		}
		Problems []string
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report), out)
	assert.EqualValues(t, 240, report.Produced)
	assert.EqualValues(t, 240, report.Delivered)
	assert.Zero(t, report.Lost)
	assert.Zero(t, report.Misdirected)
	assert.EqualValues(t, 150, report.Latency.Count, "a quarter was away")
	assert.Positive(t, report.Latency.P50)
	assert.EqualValues(t, 20, report.Connect.Count)
	assert.EqualValues(t, 5, report.Waiting.Users)
	assert.EqualValues(t, 60, report.Waiting.Messages)
	require.Len(t, report.Nodes, 1)
	assert.Positive(t, report.Nodes[0].CPU)
	assert.Positive(t, report.Nodes[0].Read)
	assert.Positive(t, report.Nodes[0].RSS)
	assert.InDelta(t, 15, report.Nodes[0].Connections, 1, "the last one may just be counted")
	assert.Empty(t, report.Problems)
	written, err := os.ReadFile(plot)
	require.NoError(t, err)
	assert.Contains(t, string(written), "Percentile")
}

func TestBenchWithoutAcknowledgementsWritesTables(t *testing.T) {
	node := platform(t)
	code, out, failure := bench(t, node, "--no-ack-protocol", "--rate", "0", "--in-flight", "50")
	require.Zero(t, code, failure)
	for _, line := range []string{
		`users +20, no subprotocol`,
		`load +as fast as it goes, 50 in flight, 256 bytes each`,
		`delivered +[1-9]\d+ \([1-9]\d*/s\)`,
		`lost +0`,
		`TIME +COUNT +P50 +P90 +P99 +P99\.9 +MAX`,
		`latency +[1-9]\d+ .*s`,
		`NODE +CPU +DELIVERIES/CPU-S .*`,
		`http://` + node.AdminAddr() + ` .*`,
	} {
		assert.Regexp(t, `(?m)^`+line+`$`, out)
	}
}

func TestBenchFailsWhenMessagesAreLost(t *testing.T) {
	node := platform(t)
	// No deployment is that fast.
	code, out, failure := bench(t, node, "--offline-share", "1", "--settle", "1ns")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "lost")
	assert.Regexp(t, `^pushgate: .*they have not arrived within --settle 1ns`, failure)
}

func TestBenchRefusesWhatCannotWork(t *testing.T) {
	for name, row := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a load":            {[]string{"--users", "0", "--payload", "1"}, 2, "--users must be at least 1; --payload"},
		"an output":         {[]string{"--output", "xml"}, 2, "--output xml: use table or json"},
		"an argument":       {[]string{"fast"}, 2, "fast"},
		"no cluster there":  {[]string{"--set", "kafka.brokers=127.0.0.1:1"}, 1, "no Kafka at 127.0.0.1:1"},
		"no such parameter": {[]string{"--speed", "9"}, 2, "--speed"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, failure transcript
			code := cli.Run(t.Context(), append([]string{"bench"}, row.args...), cli.Streams{Out: &out, Err: &failure}, "test")
			assert.Equal(t, row.code, code)
			assert.Contains(t, failure.String(), row.says)
			assert.Empty(t, out.String())
		})
	}
}

func TestBenchNeedsAnAddressOfAGatewayAndOfANode(t *testing.T) {
	node := platform(t)
	code, _, failure := bench(t, node, "--url", "ftp://nowhere")
	assert.Equal(t, 2, code)
	assert.Contains(t, failure, "--url")
	code, _, failure = bench(t, node, "--admin", "http://"+node.GatewayAddr())
	assert.Equal(t, 1, code)
	assert.Contains(t, failure, "asking http://"+node.GatewayAddr()+" for its metrics")
}
