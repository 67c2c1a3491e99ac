package cli_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"pushgate/internal/app"
	"pushgate/internal/cli"
	"pushgate/internal/client"
	"pushgate/internal/config"
)

const (
	long = 30 * time.Second
	look = 10 * time.Millisecond
)

// ask runs the command user.
func ask(t *testing.T, args ...string) (code int, out, failure string) {
	t.Helper()
	var stdout, stderr transcript
	code = cli.Run(t.Context(), append([]string{"user"}, args...), cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, "test")
	return code, stdout.String(), stderr.String()
}

// connected runs a platform of this mode whose admin listener asks for a token, and
// connects alice.
func connected(t *testing.T, mode string) *app.Dev {
	t.Helper()
	c := config.Default()
	c.Node.ID, c.Routing.Mode, c.Admin.Token = "dev", mode, "secret"
	c.Dev.KafkaListen, c.Dev.RedisListen, c.Dev.DataDir = "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	c.Gateway.Listen, c.Admin.Listen, c.Drain.Timeout = "127.0.0.1:0", "127.0.0.1:0", 0
	d, err := app.NewDev(t.Context(), app.Params{Config: c, Logger: zap.NewNop()})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- d.Run(ctx) }()
	select {
	case <-d.Up():
	case err := <-ended:
		require.NoError(t, err, "it ended before it was ready")
	}
	open := make(chan struct{}, 1)
	device, err := client.New(client.Params{URL: "ws://" + d.GatewayAddr(), User: "alice", OnState: func(s client.State, _ error) {
		if s == client.Open {
			open <- struct{}{}
		}
	}})
	require.NoError(t, err)
	go func() {
		ended <- device.Run(ctx, func(context.Context, client.Message) error { return nil })
	}()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
		assert.NoError(t, <-ended)
	})
	<-open
	return d
}

func TestAUserIsShownWhereTheyAreConnected(t *testing.T) {
	d := connected(t, config.RoutingTargeted)
	at := []string{"--admin", "http://" + d.AdminAddr(), "--token", "secret"}
	require.Eventually(t, func() bool {
		_, out, _ := ask(t, append(at, "alice")...)
		return strings.Contains(out, "dev ")
	}, long, look)
	code, out, failure := ask(t, append(at, "alice")...)
	assert.Equal(t, 0, code)
	assert.Regexp(t, `^NODE +ADDRESS +SINCE +TYPE +CLIENT +USER AGENT\ndev +`+d.GatewayAddr()+` +20\d\d-\S+ \S+ +all +127\.0\.0\.1:\d+ `, out)
	assert.Empty(t, failure)

	code, out, failure = ask(t, append(at, "alice", "--output", "json")...)
	assert.Equal(t, 0, code)
	assert.Empty(t, failure)
	var s struct{ Node, Address, Type, Client string }
	require.NoError(t, json.Unmarshal([]byte(out), &s), "one object a line")
	assert.Equal(t, []string{"dev", d.GatewayAddr(), "all"}, []string{s.Node, s.Address, s.Type})

	code, out, failure = ask(t, append(at, "bob")...)
	assert.Equal(t, 0, code, "nothing has failed")
	assert.Equal(t, 1, strings.Count(out, "\n"), out)
	assert.Equal(t, "user bob is not connected\n", failure)

	code, _, failure = ask(t, "--admin", "http://"+d.AdminAddr(), "alice")
	assert.Equal(t, 1, code)
	assert.Contains(t, failure, "give it with --token")
}

func TestWithoutADirectoryTheAnswerIsSaidToBeOfOneNode(t *testing.T) {
	d := connected(t, config.RoutingBroadcast)
	t.Setenv("PUSHGATE_ADMIN_TOKEN", "secret")
	t.Setenv("PUSHGATE_ADMIN_LISTEN", d.AdminAddr())
	var out, failure string
	require.Eventually(t, func() bool {
		_, out, failure = ask(t, "alice")
		return strings.Contains(out, "dev ")
	}, long, look)
	assert.Contains(t, failure, "only node dev was asked about")
	code, out, failure := ask(t, "bob", "-o", "json")
	assert.Equal(t, 0, code)
	assert.Empty(t, out)
	assert.Contains(t, failure, "user bob is not connected\n")
}

func TestAnAnswerThatIsNoneSaysWhatToDo(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, row := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nobody there":      {[]string{"u", "--admin", gone.URL}, 1, "Is a node running there?"},
		"the directory":     {[]string{"u", "--admin", answer(503, `{"error":"redis is away","hint":"look at directory.redis"}`)}, 1, "redis is away: look at directory.redis"},
		"something else":    {[]string{"u", "--admin", answer(404, "<html>")}, 1, "404 Not Found: <html>"},
		"something new":     {[]string{"u", "--admin", answer(200, "<html>")}, 1, "no admin listener of this release"},
		"no address":        {[]string{"u", "--admin", "127.0.0.1:8081"}, 2, "http://host:port"},
		"no user":           {nil, 2, "accepts 1 arg"},
		"no such output":    {[]string{"u", "--output", "xml"}, 2, "use table or json"},
		"a user that is no": {[]string{strings.Repeat("x", 300)}, 2, "256"},
	} {
		code, _, failure := ask(t, row.args...)
		assert.Equal(t, row.code, code, name)
		assert.Contains(t, failure, row.says, name)
	}
}
