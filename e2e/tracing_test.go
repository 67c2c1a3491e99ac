package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"pushgate/internal/tracing/tracingtest"
)

const (
	traceID    = "0af7651916cd43dd8448eb211c80319c"
	producerID = "b7ad6b7169203331"
	parent     = "00-" + traceID + "-" + producerID + "-01"
)

// tracedTo has a node send its spans to a collector.
func tracedTo(url string) func(map[string]string) {
	return func(env map[string]string) {
		env["PUSHGATE_TRACING_ENABLED"], env["PUSHGATE_TRACING_ENDPOINT"] = "true", url
	}
}

// sendTraced produces a message whose producer has sampled it.
func (d *deployment) sendTraced(m message) {
	d.t.Helper()
	rec := d.record(m)
	rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: "traceparent", Value: []byte(parent)}, kgo.RecordHeader{Key: "tracestate", Value: []byte("shop=1")})
	require.NoError(d.t, d.producer.ProduceSync(d.t.Context(), rec).FirstErr())
}

// spansOf returns the spans of the message when all conditions hold, by name.
func spansOf(t *testing.T, c *tracingtest.Collector, within time.Duration, conditions ...func(map[string][]tracingtest.Span) bool) map[string][]tracingtest.Span {
	t.Helper()
	var byName map[string][]tracingtest.Span
	ok := poll(within, func() bool {
		byName = map[string][]tracingtest.Span{}
		for _, s := range c.Spans(traceID) {
			byName[s.Name] = append(byName[s.Name], s)
		}
		for _, holds := range conditions {
			if !holds(byName) {
				return false
			}
		}
		return true
	})
	require.True(t, ok, "after %s there is only %+v", within, byName)
	return byName
}

// ended says that there is a span with an outcome.
func ended(name, outcome string) func(map[string][]tracingtest.Span) bool {
	return func(spans map[string][]tracingtest.Span) bool {
		for _, s := range spans[name] {
			if s.Attributes["pushgate.outcome"] == outcome {
				return true
			}
		}
		return false
	}
}

func TestATraceGoesFromTheProducerOverTheCustodianToTheGatewaysClient(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		collector := tracingtest.New(t)
		d.node("custodian", tracedTo(collector.URL), with("PUSHGATE_NODE_ROLES", "custodian"))
		g := d.node("gateway", tracedTo(collector.URL), with("PUSHGATE_NODE_ROLES", "gateway"))
		c := connect(t, g, "42")
		d.send(message{id: "untraced", user: "42"})
		d.sendTraced(message{id: "m", user: "42", kind: "order"})
		c.waitFor(10*time.Second, "untraced", "m")

		spans := spansOf(t, collector, 10*time.Second, ended("pushgate.custody", "delivered"), ended("pushgate.delivery", "delivered"))
		custody, delivery := spans["pushgate.custody"], spans["pushgate.delivery"]
		require.Len(t, custody, 1)
		assert.Equal(t, d.prefix+"custodian", custody[0].Instance)
		assert.Equal(t, producerID, custody[0].Parent)
		assert.Equal(t, "shop=1", custody[0].TraceState)
		assert.Equal(t, d.prefix+"gateway", custody[0].Attributes["pushgate.delivered_by"])
		assert.Equal(t, "order", custody[0].Attributes["pushgate.type"])
		require.Len(t, delivery, 1)
		assert.Equal(t, d.prefix+"gateway", delivery[0].Instance)
		assert.Equal(t, custody[0].ID, delivery[0].Parent)
		assert.Equal(t, []string{"written"}, delivery[0].EventNames())
		assert.NotContains(t, delivery[0].Attributes, "pushgate.user")
		for _, s := range collector.Spans("") {
			assert.Equal(t, traceID, s.Trace, "nobody has sampled the other message")
		}
	})
}

func TestATraceTellsAFailureTheWaitAndTheNextOffering(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		collector := tracingtest.New(t)
		a := d.node("a", tracedTo(collector.URL))
		b := d.node("b", tracedTo(collector.URL))
		mute := connect(t, a, "42", silent)
		d.sendTraced(message{id: "m", user: "42"})
		mute.waitFor(10*time.Second, "m")
		mute.vanish() // gone before its acknowledgement
		spansOf(t, collector, 10*time.Second, ended("pushgate.custody", "waited"), ended("pushgate.delivery", "failed"))
		c := connect(t, b, "42")
		c.waitFor(10*time.Second, "m")

		spans := spansOf(t, collector, 10*time.Second, ended("pushgate.custody", "delivered"), ended("pushgate.delivery", "delivered"))
		byID := map[string]tracingtest.Span{}
		for _, s := range spans["pushgate.custody"] {
			assert.Equal(t, producerID, s.Parent)
			byID[s.ID] = s
		}
		last := spans["pushgate.custody"][len(spans["pushgate.custody"])-1]
		require.Len(t, last.Links, 1, "it follows a wait")
		before, ok := byID[last.Links[0]]
		require.True(t, ok, "the offering before is in the trace")
		assert.Equal(t, "waited", before.Attributes["pushgate.outcome"])
		for _, s := range spans["pushgate.delivery"] {
			assert.Contains(t, byID, s.Parent, "each delivery is part of an offering")
			if s.Attributes["pushgate.outcome"] == "delivered" {
				assert.Equal(t, d.prefix+"b", s.Instance)
				assert.Equal(t, last.ID, s.Parent)
			} else {
				assert.Equal(t, d.prefix+"a", s.Instance)
				assert.Equal(t, "offline", s.Failed)
			}
		}
	})
}

func TestACallOfAGatewayIsPartOfTheTrace(t *testing.T) {
	byTargeted(t, func(t *testing.T, d *deployment) {
		collector := tracingtest.New(t)
		d.node("custodian", tracedTo(collector.URL), with("PUSHGATE_NODE_ROLES", "custodian"))
		g := d.node("gateway", tracedTo(collector.URL), with("PUSHGATE_NODE_ROLES", "gateway"))
		c := connect(t, g, "42")
		d.sendTraced(message{id: "m", user: "42"})
		c.waitFor(10*time.Second, "m")
		spans := spansOf(t, collector, 10*time.Second, ended("pushgate.custody", "delivered"), ended("pushgate.delivery", "delivered"),
			func(spans map[string][]tracingtest.Span) bool { return len(spans["pushgate.call"]) == 1 })
		assert.Equal(t, spans["pushgate.custody"][0].ID, spans["pushgate.call"][0].Parent)
		assert.Equal(t, d.prefix+"custodian", spans["pushgate.call"][0].Instance)
		assert.Equal(t, spans["pushgate.custody"][0].ID, spans["pushgate.delivery"][0].Parent)
	})
}

func TestACollectorThatIsAwayHarmsNobody(t *testing.T) {
	onEachBroker(t, func(t *testing.T, d *deployment) {
		collector := tracingtest.New(t)
		collector.Refuse(http.StatusForbidden)
		n := d.node("a", tracedTo(collector.URL), with("PUSHGATE_TRACING_SAMPLE", "1"), with("PUSHGATE_DRAIN_TIMEOUT", "0s"))
		c := connect(t, n, "42")
		list, ids := messages("42", "m", 200)
		d.send(list...)
		c.waitFor(20*time.Second, ids...)
		require.True(t, poll(10*time.Second, func() bool { return n.metric("pushgate_spans_total", `"failed"`) >= 400 }), "two spans a message")
		assert.Equal(t, ids, c.ids())
		assert.Equal(t, 1, strings.Count(n.out.String(), "the collector does not take spans"), "it is said once")
		n.signal(syscall.SIGTERM)
		require.Zero(t, n.exit(20*time.Second))
	})
}
