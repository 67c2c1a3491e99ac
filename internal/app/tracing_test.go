package app_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"pushgate/internal/app"
	"pushgate/internal/client"
	"pushgate/internal/config"
	"pushgate/internal/tracing/tracingtest"
)

const (
	traceOne   = "0af7651916cd43dd8448eb211c80319c"
	traceTwo   = "1af7651916cd43dd8448eb211c80319c"
	producerID = "b7ad6b7169203331"
)

// runDev runs a platform until the test ends, or stop is called.
func runDev(t *testing.T, c config.Config) (_ *app.Dev, stop func()) {
	t.Helper()
	d, err := app.NewDev(t.Context(), app.Params{Config: c, Logger: zaptest.NewLogger(t), Version: "test"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	select {
	case <-d.Up():
	case err := <-ended:
		require.NoError(t, err, "it ended before it was ready")
	}
	return d, stop
}

// post produces a message over HTTP.
func post(t *testing.T, d *app.Dev, user, id, traceParent string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.GatewayAddr()+"/v1/users/"+user+"/messages", bytes.NewReader([]byte(`{"n":1}`)))
	require.NoError(t, err)
	req.Header.Set("ce-id", id)
	req.Header.Set("Content-Type", "application/json")
	if traceParent != "" {
		req.Header.Set("traceparent", traceParent)
		req.Header.Set("tracestate", "vendor=x")
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusAccepted, res.StatusCode)
}

// connect connects as a user until the test ends; messages come to the channel.
func connect(t *testing.T, d *app.Dev, user string) <-chan client.Message {
	t.Helper()
	open, messages, ended := make(chan struct{}, 10), make(chan client.Message, 10), make(chan error, 1)
	c, err := client.New(client.Params{URL: "ws://" + d.GatewayAddr(), User: user, OnState: func(s client.State, _ error) {
		if s == client.Open {
			open <- struct{}{}
		}
	}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		ended <- c.Run(ctx, func(_ context.Context, m client.Message) error {
			messages <- m
			return nil
		})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	<-open
	return messages
}

// within returns the spans of a trace when there are so many, by name in the order
// they came.
func within(t *testing.T, c *tracingtest.Collector, trace string, n int) map[string][]tracingtest.Span {
	t.Helper()
	const patience, look = 20 * time.Second, 20 * time.Millisecond
	require.Eventually(t, func() bool { return len(c.Spans(trace)) >= n }, patience, look, "%v", c.Spans(trace))
	byName := map[string][]tracingtest.Span{}
	for _, s := range c.Spans(trace) {
		byName[s.Name] = append(byName[s.Name], s)
	}
	return byName
}

func TestATraceLeadsFromTheProducerToTheClientsAcknowledgement(t *testing.T) {
	for _, mode := range []string{config.RoutingBroadcast, config.RoutingTargeted} {
		t.Run(mode, func(t *testing.T) {
			collector := tracingtest.New(t)
			c := devConfig(t.TempDir())
			c.Routing.Mode, c.Dev.RedisListen = mode, "127.0.0.1:0"
			c.Tracing.Enabled, c.Tracing.Endpoint = true, collector.URL
			// A busy machine must not make its custodian lose a partition: the story would be another.
			c.Kafka.SessionTimeout = 30 * time.Second
			d, stop := runDev(t, c)

			says := func(sample string) {
				t.Helper()
				const patience, look = 10 * time.Second, 20 * time.Millisecond
				require.Eventually(t, func() bool {
					_, metrics := get(t, d.AdminAddr(), "/metrics", "")
					return strings.Contains(metrics, "\n"+sample+"\n")
				}, patience, look, sample)
			}
			calls := 0
			if mode == config.RoutingTargeted {
				calls = 1
				says("pushgate_routing_called 1")
			}
			messages := connect(t, d, "alice")
			parent := "00-" + traceOne + "-" + producerID + "-01"
			post(t, d, "alice", "untraced", "")
			assert.Empty(t, (<-messages).TraceParent)
			// A custodian that has not heard of the first gateway yet would let it wait first.
			says(`pushgate_outcomes_total{outcome="delivered"} 1`)
			post(t, d, "alice", "traced", parent)
			m := <-messages
			assert.Equal(t, "traced", m.ID)
			assert.Equal(t, parent, m.TraceParent, "the client gets what the producer sent")

			spans := within(t, collector, traceOne, 2+calls)
			require.Len(t, spans["pushgate.call"], calls)
			for _, call := range spans["pushgate.call"] {
				assert.Equal(t, spans["pushgate.custody"][0].ID, call.Parent)
			}
			custody, delivery := spans["pushgate.custody"], spans["pushgate.delivery"]
			require.Len(t, custody, 1)
			require.Len(t, delivery, 1)
			assert.Equal(t, producerID, custody[0].Parent)
			assert.Equal(t, "vendor=x", custody[0].TraceState)
			assert.Equal(t, "delivered", custody[0].Attributes["pushgate.outcome"])
			assert.Equal(t, custody[0].ID, delivery[0].Parent)
			assert.Equal(t, "delivered", delivery[0].Attributes["pushgate.outcome"])
			assert.Equal(t, []string{"written"}, delivery[0].EventNames())
			assert.Equal(t, "traced", delivery[0].Attributes["messaging.message.id"])

			// Nobody is there: it waits, and is offered again when somebody is.
			post(t, d, "bob", "waits", "00-"+traceTwo+"-"+producerID+"-01")
			first := within(t, collector, traceTwo, 1)["pushgate.custody"]
			require.Len(t, first, 1)
			assert.Equal(t, "waited", first[0].Attributes["pushgate.outcome"])
			assert.Equal(t, "offline", first[0].Attributes["pushgate.reason"])
			assert.Equal(t, []string{"waited"}, first[0].EventNames())
			bob := connect(t, d, "bob")
			assert.Equal(t, 2, (<-bob).Attempt)
			spans = within(t, collector, traceTwo, 3+calls)
			custody, delivery = spans["pushgate.custody"], spans["pushgate.delivery"]
			require.Len(t, custody, 2)
			assert.Equal(t, []string{first[0].ID}, custody[1].Links)
			assert.Equal(t, producerID, custody[1].Parent)
			require.Len(t, delivery, 1)
			assert.Equal(t, custody[1].ID, delivery[0].Parent)
			assert.Equal(t, "2", delivery[0].Attributes["pushgate.attempt"])

			stop()
			for _, s := range collector.Spans("") {
				assert.Contains(t, []string{traceOne, traceTwo}, s.Trace, "what nobody sampled is not traced")
			}
		})
	}
}

func TestWhatIsStillToBeSentIsSentAtTheEnd(t *testing.T) {
	collector := tracingtest.New(t)
	c := devConfig(t.TempDir())
	c.Tracing.Enabled, c.Tracing.Endpoint = true, collector.URL
	d, stop := runDev(t, c)
	messages := connect(t, d, "alice")
	post(t, d, "alice", "last", "00-"+traceOne+"-"+producerID+"-01")
	<-messages
	stop()
	var names []string
	for _, s := range collector.Spans(traceOne) {
		names = append(names, s.Name)
	}
	assert.Contains(t, names, "pushgate.delivery")
}
