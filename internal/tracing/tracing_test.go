package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"pushgate/internal/push"
	"pushgate/internal/tracing"
	"pushgate/internal/tracing/tracingtest"
)

const (
	traceID    = "0af7651916cd43dd8448eb211c80319c"
	producerID = "b7ad6b7169203331"
	sampled    = "00-" + traceID + "-" + producerID + "-01"
	unsampled  = "00-" + traceID + "-" + producerID + "-00"
)

// kept is a tracer and what it has made.
type kept struct {
	*tracing.Tracer
	t     *testing.T
	spans *tracetest.InMemoryExporter
}

func keep(t *testing.T, change ...func(*tracing.Config)) *kept {
	t.Helper()
	c := tracing.DefaultConfig()
	for _, f := range change {
		f(&c)
	}
	// It forgets what it has when it is shut down.
	spans := tracetest.NewInMemoryExporter()
	tracer, err := tracing.New(t.Context(), tracing.Params{
		Config: c, Node: "a", Version: "test", Topic: "push.requests", Exporter: spans, Logger: zap.NewNop(), Registerer: prometheus.NewRegistry(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tracer.Close(context.WithoutCancel(t.Context()))) })
	return &kept{Tracer: tracer, t: t, spans: spans}
}

func (k *kept) made() tracetest.SpanStubs {
	k.t.Helper()
	require.NoError(k.t, k.Flush(k.t.Context()))
	return k.spans.GetSpans()
}

func attributes(s *tracetest.SpanStub) map[string]string {
	m := map[string]string{}
	for _, a := range s.Attributes {
		m[string(a.Key)] = a.Value.String()
	}
	return m
}

func message(traceParent string) *push.Message {
	return &push.Message{
		Partition: 3, Offset: 77, ID: "order-1", User: "alice", Type: "order", Attempt: 1, EndsWait: push.NoWait,
		FirstSeen: time.UnixMilli(1_900_000_000_000), TraceParent: traceParent,
	}
}

func TestADeliveryIsAChildOfTheCustodyAndThatOfTheProducer(t *testing.T) {
	k := keep(t)
	m := message(sampled)
	var headers push.Headers
	headers.AddText("traceparent", sampled)
	headers.AddText("tracestate", "vendor=x")

	// Two nodes that have nothing in common but the record.
	here, there := k, keep(t)
	custody := there.Custody(m, headers)
	require.NotNil(t, custody)
	delivery := here.Delivery(m, headers)
	require.NotNil(t, delivery)
	delivery.Report(m, push.Held, push.ReasonNone)
	custody.Note("held", "a", push.ReasonNone)
	delivery.Report(m, push.Done, push.ReasonNone)
	custody.End(push.Delivered.String(), "a", push.ReasonNone)

	made := there.made()
	require.Len(t, made, 1)
	ofCustody := made[0]
	assert.Equal(t, "pushgate.custody", ofCustody.Name)
	assert.Equal(t, traceID, ofCustody.SpanContext.TraceID().String())
	assert.Equal(t, producerID, ofCustody.Parent.SpanID().String())
	assert.Equal(t, "vendor=x", ofCustody.SpanContext.TraceState().String())
	require.Len(t, ofCustody.Events, 1)
	assert.Equal(t, "held", ofCustody.Events[0].Name)
	assert.Equal(t, "delivered", attributes(&ofCustody)["pushgate.outcome"])

	made = here.made()
	require.Len(t, made, 1)
	ofDelivery := made[0]
	assert.Equal(t, "pushgate.delivery", ofDelivery.Name)
	assert.Equal(t, traceID, ofDelivery.SpanContext.TraceID().String())
	assert.Equal(t, ofCustody.SpanContext.SpanID(), ofDelivery.Parent.SpanID())
	assert.Equal(t, "written", ofDelivery.Events[0].Name)
	got := attributes(&ofDelivery)
	assert.NotContains(t, got, "pushgate.user", "a collector need not know who gets what")
	assert.Equal(t, map[string]string{
		"messaging.system": "kafka", "messaging.message.id": "order-1", "messaging.destination.name": "push.requests",
		"messaging.destination.partition.id": "3", "messaging.kafka.offset": "77",
		"pushgate.type": "order", "pushgate.attempt": "1", "pushgate.node": "a", "pushgate.outcome": "delivered",
	}, got)
}

func TestUsersAreNamedWhereThatIsWanted(t *testing.T) {
	k := keep(t, func(c *tracing.Config) { c.Users = true })
	m := message(sampled)
	k.Delivery(m, push.Headers{}).Report(m, push.Failed, push.AckTimeout)
	made := k.made()
	require.Len(t, made, 1)
	got := attributes(&made[0])
	assert.Equal(t, "alice", got["pushgate.user"])
	assert.Equal(t, "failed", got["pushgate.outcome"])
	assert.Equal(t, "ack_timeout", got["pushgate.reason"])
	assert.Equal(t, "ack_timeout", made[0].Status.Description)
}

func TestALateAcknowledgementIsToldAfterTheFailure(t *testing.T) {
	k := keep(t)
	m := message(sampled)
	d := k.Delivery(m, push.Headers{})
	d.Report(m, push.Held, push.ReasonNone)
	d.Report(m, push.Failed, push.AckTimeout)
	d.Report(m, push.Done, push.ReasonNone)
	made := k.made()
	require.Len(t, made, 2)
	assert.Equal(t, "failed", attributes(&made[0])["pushgate.outcome"])
	assert.Equal(t, "delivered late", attributes(&made[1])["pushgate.outcome"])
	assert.Equal(t, made[0].Parent.SpanID(), made[1].Parent.SpanID())
}

func TestOnlyWhatItsProducerSampledIsTracedUnlessAShareOfTheRestIs(t *testing.T) {
	const nonsense = "00-x"
	for _, row := range []struct {
		sample float64
		parent string
		traced bool
	}{
		{0, "", false},
		{0, unsampled, false},
		{0, nonsense, false},
		{0, sampled, true},
		{1, "", true},
		{1, unsampled, true},
		{1, nonsense, true},
		{1, sampled, true},
	} {
		k := keep(t, func(c *tracing.Config) { c.Sample = row.sample })
		name := fmt.Sprintf("sample %v, traceparent %q", row.sample, row.parent)
		m := message(row.parent)
		assert.Equal(t, row.traced, k.Delivery(m, push.Headers{}) != nil, name)
		assert.Equal(t, row.traced, k.Custody(m, push.Headers{}) != nil, name)
		assert.Equal(t, row.traced, k.TraceOf(m) != "", name)
	}
}

func TestNodesAgreeOnWhatIsTracedByChance(t *testing.T) {
	share := func(c *tracing.Config) { c.Sample = 0.25 }
	here, there := keep(t, share), keep(t, share)
	const messages = 4000
	traced := 0
	for i := range messages {
		m := message("")
		m.ID = fmt.Sprint("order-", i)
		require.Equal(t, here.TraceOf(m), there.TraceOf(m))
		again := message("") // another offering of it
		again.ID, again.Partition, again.Offset, again.Attempt = m.ID, 5, 99, 2
		require.Equal(t, here.TraceOf(m), there.TraceOf(again))
		if here.TraceOf(m) != "" {
			traced++
		}
	}
	assert.InDelta(t, 0.25, float64(traced)/messages, 0.03)
}

func TestAnOfferingThatFollowsAWaitLinksToTheOneBefore(t *testing.T) {
	for _, parent := range []string{sampled, ""} {
		k := keep(t, func(c *tracing.Config) { c.Sample = 1 })
		first := message(parent)
		c := k.Custody(first, push.Headers{})
		c.Note("waited", "", push.Offline)
		c.End("waited", "", push.Offline)
		second := message(parent)
		second.Offset, second.Attempt, second.EndsWait = 90, 2, 77
		k.Custody(second, push.Headers{}).End(push.Delivered.String(), "a", push.ReasonNone)

		made := k.made()
		require.Len(t, made, 2)
		require.Len(t, made[1].Links, 1)
		assert.Equal(t, made[0].SpanContext.SpanID(), made[1].Links[0].SpanContext.SpanID())
		assert.Equal(t, made[0].SpanContext.TraceID(), made[1].SpanContext.TraceID())
		assert.NotEqual(t, made[0].SpanContext.SpanID(), made[1].SpanContext.SpanID())
		if parent == "" {
			assert.False(t, made[0].Parent.IsValid(), "it is the root of its trace")
			assert.Equal(t, made[0].SpanContext.SpanID(), made[1].Parent.SpanID())
		} else {
			assert.Equal(t, producerID, made[1].Parent.SpanID().String())
		}
	}
}

func TestADeathAfterAWaitIsAChildOfTheOfferingThatCameToIt(t *testing.T) {
	k := keep(t)
	m := message(sampled)
	k.Custody(m, push.Headers{}).End("waited", "", push.Offline)
	k.Died(m, push.Headers{}, push.TimeToLive)
	made := k.made()
	require.Len(t, made, 2)
	assert.Equal(t, "pushgate.dead_letter", made[1].Name)
	assert.Equal(t, made[0].SpanContext.SpanID(), made[1].Parent.SpanID())
}

func TestACallIsPartOfTheOneTraceItBringsOrLinksToAll(t *testing.T) {
	record := func(offset int64, traceParent string) push.Record {
		r := push.Record{Key: []byte("alice"), Offset: offset, Partition: 3, Time: time.UnixMilli(1_900_000_000_000)}
		if traceParent != "" {
			r.Headers.AddText("traceparent", traceParent)
		}
		return r
	}
	k := keep(t)
	assert.Nil(t, k.Call("b", &push.Carriage{Partition: 3, Records: []push.Record{record(76, ""), record(78, unsampled)}}))

	k.Custody(message(sampled), push.Headers{}).End(push.Delivered.String(), "b", push.ReasonNone)
	one := k.Call("b", &push.Carriage{Partition: 3, Records: []push.Record{record(76, ""), record(77, sampled)}})
	header := http.Header{}
	one.Propagate(header)
	one.End(errors.New("refused"))
	k.Call("b", &push.Carriage{Partition: 3, Records: []push.Record{record(77, sampled), record(79, sampled)}}).End(nil)

	made := k.made()
	require.Len(t, made, 3)
	custody, single, several := made[0], made[1], made[2]
	assert.Equal(t, custody.SpanContext.SpanID(), single.Parent.SpanID())
	assert.Equal(t, "00-"+traceID+"-"+single.SpanContext.SpanID().String()+"-01", header.Get("traceparent"))
	assert.Equal(t, "refused", single.Status.Description)
	assert.False(t, several.Parent.IsValid())
	assert.NotEqual(t, traceID, several.SpanContext.TraceID().String())
	require.Len(t, several.Links, 2)
	assert.Equal(t, custody.SpanContext.SpanID(), several.Links[0].SpanContext.SpanID())
}

func TestWhatIsPushedToANodeIsAChildOfItsSender(t *testing.T) {
	k := keep(t)
	m := message(sampled)
	m.Offset = -1
	k.Delivery(m, push.Headers{}).Report(m, push.Done, push.ReasonNone)
	made := k.made()
	require.Len(t, made, 1)
	assert.Equal(t, producerID, made[0].Parent.SpanID().String())
	assert.NotContains(t, attributes(&made[0]), "messaging.kafka.offset")
}

func TestAnOutageOfTheCollectorIsLoggedOnceAndItsEndToo(t *testing.T) {
	core, logged := observer.New(zapcore.InfoLevel)
	collector := tracingtest.New(t)
	collector.Refuse(http.StatusForbidden) // not worth another try
	registry := prometheus.NewRegistry()
	c := tracing.DefaultConfig()
	c.Endpoint = collector.URL
	tracer, err := tracing.New(t.Context(), tracing.Params{Config: c, Node: "a", Topic: "push.requests", Logger: zap.New(core), Registerer: registry})
	require.NoError(t, err)
	m := message(sampled)
	export := func() {
		tracer.Delivery(m, push.Headers{}).Report(m, push.Done, push.ReasonNone)
		require.NoError(t, tracer.Flush(t.Context()))
	}
	for range 3 {
		export()
	}
	assert.Equal(t, 1, logged.Len(), "%v", logged.All())
	assert.Equal(t, 3, collector.Calls())
	collector.Refuse(0)
	export()
	export()
	require.NoError(t, tracer.Close(t.Context()))
	assert.Equal(t, 2, logged.Len(), "%v", logged.All())
	spans := collector.Spans(traceID)
	require.Len(t, spans, 2)
	assert.Equal(t, "pushgate", spans[0].Service)
	assert.Equal(t, "a", spans[0].Instance)
	assert.InDelta(t, 5, testutil.ToFloat64(counter(t, registry, "recorded")), 0)
	assert.InDelta(t, 3, testutil.ToFloat64(counter(t, registry, "failed")), 0)
	assert.InDelta(t, 2, testutil.ToFloat64(counter(t, registry, "exported")), 0)
}

// counter returns the counter of spans with a result.
func counter(t *testing.T, registry *prometheus.Registry, result string) prometheus.Collector {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "pushgate_spans_total" && m.GetLabel()[0].GetValue() == result {
				c := prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"})
				c.Set(m.GetCounter().GetValue())
				return c
			}
		}
	}
	require.Fail(t, "no such counter")
	return nil
}

func TestACollectorThatIsAwayDoesNotHoldUpTheEnd(t *testing.T) {
	c := tracing.DefaultConfig()
	c.Endpoint = "http://127.0.0.1:1"
	tracer, err := tracing.New(t.Context(), tracing.Params{Config: c, Node: "a", Logger: zap.NewNop(), Registerer: prometheus.NewRegistry()})
	require.NoError(t, err)
	m := message(sampled)
	tracer.Delivery(m, push.Headers{}).Report(m, push.Done, push.ReasonNone)
	began := time.Now()
	_ = tracer.Close(t.Context())
	assert.Less(t, time.Since(began), 4*time.Second)
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	for name, change := range map[string]func(*tracing.Config){
		"tracing.sample":   func(c *tracing.Config) { c.Sample = 1.5 },
		"must be from 0":   func(c *tracing.Config) { c.Sample = math.NaN() },
		"tracing.endpoint": func(c *tracing.Config) { c.Endpoint = "collector:4318" },
		"without user":     func(c *tracing.Config) { c.Endpoint = "http://me:secret@collector:4318" },
		"tracing.name":     func(c *tracing.Config) { c.Name = "" },
	} {
		c := tracing.DefaultConfig()
		require.NoError(t, c.Validate())
		change(&c)
		err := c.Validate()
		require.ErrorContains(t, err, name)
		assert.NotContains(t, err.Error(), "secret")
	}
}
