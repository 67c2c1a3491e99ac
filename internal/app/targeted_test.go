package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/admin/api"
	"pushgate/internal/app"
	"pushgate/internal/client"
	"pushgate/internal/config"
	"pushgate/internal/directory"
	"pushgate/internal/directory/embedded"
	"pushgate/internal/freeport"
	"pushgate/internal/kafka/kafkatest"
)

const (
	long = 30 * time.Second
	look = 10 * time.Millisecond
)

// village is a broker and a directory, with nodes on them.
type village struct {
	t         *testing.T
	brokers   []string
	directory directory.Config
}

func newVillage(t *testing.T) *village {
	t.Helper()
	_, broker := kafkatest.Cluster(t, 2)
	server, err := embedded.Start("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(server.Close)
	c := directory.DefaultConfig()
	c.Lease = 3 * time.Second // The machine may be busy with other tests.
	return &village{t: t, brokers: broker.Addresses(), directory: server.Config(c)}
}

func (v *village) config(id string, change ...func(*config.Config)) config.Config {
	c := config.Default()
	c.Node.ID = id
	c.Gateway.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Kafka.Brokers, c.Kafka.SessionTimeout, c.Drain.Timeout = v.brokers, time.Second, 0
	c.Routing.Mode, c.Directory = config.RoutingTargeted, v.directory
	for _, f := range change {
		f(&c)
	}
	return c
}

// running is a node that runs. Stop ends it, and is no error when it was ended.
type running struct {
	*app.Node
	t     *testing.T
	stop  context.CancelFunc
	ended chan error
}

func (v *village) node(id string, change ...func(*config.Config)) *running {
	v.t.Helper()
	n, err := app.New(v.t.Context(), app.Params{Config: v.config(id, change...), Logger: zaptest.NewLogger(v.t), Version: "test"})
	require.NoError(v.t, err)
	return run(v.t, n, n.Run)
}

func run(t *testing.T, n *app.Node, do func(context.Context) error) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Node: n, t: t, ended: make(chan error, 1)}
	go func() { r.ended <- do(ctx) }()
	stopped := false
	r.stop = func() {
		if cancel(); !stopped {
			stopped = true
			assert.NoError(t, <-r.ended)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// up waits until the node is ready.
func (r *running) up() *running {
	r.t.Helper()
	select {
	case <-r.Up():
	case err := <-r.ended:
		r.ended <- nil
		require.NoError(r.t, err, "it ended before it was ready")
	case <-time.After(long):
		require.Fail(r.t, "it does not get ready", r.get("/readyz"))
	}
	return r
}

// connect opens a session and returns what ends it.
func (r *running) connect(user string) (leave func()) {
	r.t.Helper()
	open := make(chan struct{}, 1)
	c, err := client.New(client.Params{URL: "ws://" + r.GatewayAddr(), User: user, MaxBackoff: 100 * time.Millisecond, OnState: func(s client.State, _ error) {
		if s == client.Open {
			select {
			case open <- struct{}{}:
			default:
			}
		}
	}})
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Run(ctx, func(context.Context, client.Message) error { return nil })
	}()
	leave = func() { cancel(); <-ended }
	r.t.Cleanup(leave)
	select {
	case <-open:
	case <-time.After(long):
		require.Fail(r.t, "no session is opened")
	}
	return leave
}

// get asks the admin listener, and returns what there is.
func (r *running) get(path string) string {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.AdminAddr()+path, http.NoBody)
	require.NoError(r.t, err)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

// find asks where a user is.
func (r *running) find(t require.TestingT, user string) (found api.User) {
	body := r.get("/v1/users/" + user)
	require.NoError(t, json.Unmarshal([]byte(body), &found), body)
	return found
}

// awaitFound waits until the user is found on exactly these nodes.
func (r *running) awaitFound(user string, nodes ...string) (found api.User) {
	r.t.Helper()
	require.EventuallyWithT(r.t, func(collect *assert.CollectT) {
		found = r.find(collect, user)
		var on []string
		for _, s := range found.Sessions {
			on = append(on, s.Node)
		}
		// Sessions that were opened in the same millisecond are in no order.
		assert.ElementsMatch(collect, nodes, on)
	}, long, look)
	return found
}

// awaitMetric waits until a metric without labels has a value.
func (r *running) awaitMetric(name, value string) {
	r.t.Helper()
	line := regexp.MustCompile(`(?m)^` + name + ` ` + value + `$`)
	require.Eventually(r.t, func() bool { return line.MatchString(r.get("/metrics")) }, long, look, "%s %s", name, value)
}

func TestASessionIsFoundOnItsNodeUntilItEndsOrItsNodeDoes(t *testing.T) {
	v := newVillage(t)
	a, b := v.node("a").up(), v.node("b").up()
	leave := a.connect("alice")
	a.connect("bob")
	b.connect("bob")

	found := b.awaitFound("alice", "a")
	assert.Equal(t, api.ScopeDeployment, found.Scope)
	assert.Equal(t, "b", found.Node, "who answers")
	s := found.Sessions[0]
	assert.Equal(t, a.GatewayAddr(), s.Address, "the port that was found free is advertised")
	assert.Equal(t, "all", s.Type)
	assert.WithinDuration(t, time.Now(), s.Since, time.Minute)
	host, _, err := net.SplitHostPort(s.Client)
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1", host)
	a.awaitFound("bob", "a", "b")
	a.awaitMetric("pushgate_directory_sessions", "2")
	a.awaitMetric("pushgate_directory_bound", "2")
	a.awaitMetric("pushgate_directory_lease_held", "1")
	a.awaitMetric("pushgate_routing_targeted", "1")

	leave()
	b.awaitFound("alice")
	a.stop()
	// Its client goes on trying; nobody is found on a node that has gone, and at once.
	b.awaitFound("bob", "b")
}

func TestAGatewayReadsUntilTheLastCustodianCalls(t *testing.T) {
	v := newVillage(t)
	broadcast := func(c *config.Config) { c.Routing.Mode, c.Directory.Redis.Addr = config.RoutingBroadcast, nil }
	old := v.node("old", broadcast).up()
	old.awaitMetric("pushgate_routing_targeted", "0")
	a := v.node("a").up()
	a.awaitMetric("pushgate_routing_called", "0")
	old.stop()
	a.awaitMetric("pushgate_routing_called", "1")
	old = v.node("old", broadcast).up()
	a.awaitMetric("pushgate_routing_called", "0")
	old.stop()
	a.awaitMetric("pushgate_routing_called", "1")
}

func TestAProcessWhoseNameAnotherTookInTheDirectoryEndsAndSaysSo(t *testing.T) {
	v := newVillage(t)
	n, err := app.New(t.Context(), app.Params{Config: v.config("a"), Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(t.Context()) }()
	select {
	case <-n.Up():
	case err := <-ended:
		require.NoError(t, err)
	}
	redis, err := directory.Open(v.directory.Redis)
	require.NoError(t, err)
	defer func() { require.NoError(t, redis.Close()) }()
	_, err = directory.NewRedis(redis, v.directory).Begin(t.Context(), "a", directory.Life{})
	require.NoError(t, err)
	err = <-ended
	require.ErrorIs(t, err, directory.ErrSuperseded)
	require.ErrorContains(t, err, "give each node an id of its own")
}

func TestWithoutItsDirectoryANodeIsNotReadyAndTakesSessionsWhichAreFoundLater(t *testing.T) {
	address := freeport.Address(t)
	v := newVillage(t)
	v.directory.Redis.Addr = []string{address}
	a := v.node("a")
	require.Eventually(t, func() bool {
		var ready struct{ Checks map[string]string }
		return json.Unmarshal([]byte(a.get("/readyz")), &ready) == nil &&
			ready.Checks["delivery"] == "ok" && ready.Checks["custody"] == "ok" && ready.Checks["directory"] != "ok" && ready.Checks["directory"] != ""
	}, long, look)
	a.connect("alice")
	assert.Contains(t, a.get("/v1/users/alice"), "directory.redis")

	server, err := embedded.Start(address)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	a.up()
	a.awaitFound("alice", "a")
}

func TestWithoutADirectoryANodeKnowsItsOwnSessionsAndSaysSo(t *testing.T) {
	v := newVillage(t)
	a := v.node("a", func(c *config.Config) { c.Routing.Mode = config.RoutingBroadcast }).up()
	a.connect("alice")
	found := a.awaitFound("alice", "a")
	assert.Equal(t, api.ScopeNode, found.Scope)
	assert.Equal(t, "a", found.Node)
	assert.Equal(t, a.GatewayAddr(), found.Sessions[0].Address)
	assert.Empty(t, a.find(t, "bob").Sessions)
}

func TestADevelopmentPlatformRoutesTargetedWithoutAnyServer(t *testing.T) {
	c := devConfig(t.TempDir())
	c.Routing.Mode, c.Dev.RedisListen = config.RoutingTargeted, "127.0.0.1:0"
	for range 2 {
		d, err := app.NewDev(t.Context(), app.Params{Config: c, Logger: zaptest.NewLogger(t)})
		require.NoError(t, err)
		assert.NotEmpty(t, d.DirectoryAddr())
		r := run(t, d.Node, d.Run).up()
		leave := r.connect("alice")
		r.awaitFound("alice", "dev")
		r.awaitMetric("pushgate_routing_called", "1")
		leave()
		r.stop()
	}
}

func TestADirectoryOfNonsenseIsRefusedBeforeAnythingRuns(t *testing.T) {
	v := newVillage(t)
	for says, change := range map[string]func(*config.Config){
		"directory.redis.tls.ca_file": func(c *config.Config) { c.Directory.Redis.TLS.Enabled, c.Directory.Redis.TLS.CAFile = true, "/none" },
		"internal.tls.ca_file": func(c *config.Config) {
			c.Internal.TLS.CertFile, c.Internal.TLS.KeyFile, c.Internal.TLS.CAFile = "/none", "/none", "/none"
		},
		"advertises": func(c *config.Config) { c.Node.Advertise = ":8080" },
	} {
		_, err := app.New(t.Context(), app.Params{Config: v.config("a", change), Logger: zaptest.NewLogger(t)})
		require.ErrorContains(t, err, says)
	}
}
