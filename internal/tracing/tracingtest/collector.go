// Package tracingtest gives tests a collector of spans: OTLP over HTTP, as the program
// speaks it.
package tracingtest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span that was received, ids as hexadecimal text.
type Span struct {
	Service, Instance string
	Name              string
	Trace, ID, Parent string
	Attributes        map[string]string
	Events            []Event
	Links             []string // ids of spans
	Failed            string
	Began, Ended      time.Time
	TraceState        string
}

// Event is one of a span's.
type Event struct {
	Name       string
	At         time.Time
	Attributes map[string]string
}

// EventNames returns the names of a span's events, in order.
func (s Span) EventNames() []string {
	names := make([]string, 0, len(s.Events))
	for _, e := range s.Events {
		names = append(names, e.Name)
	}
	return names
}

// Collector takes spans. Safe for concurrent use.
type Collector struct {
	URL string

	mu     sync.Mutex
	spans  []Span
	refuse int // the status of answers; 0: spans are taken
	calls  int
}

// New starts a collector, which ends with the test.
func New(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.take)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Refuse has calls be answered with a status; 0: spans are taken again.
func (c *Collector) Refuse(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = status
}

// Calls is how often it was called.
func (c *Collector) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Spans returns the spans of a trace, or of all traces where it is empty, in the order
// they came.
func (c *Collector) Spans(trace string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	if trace == "" {
		return slices.Clone(c.spans)
	}
	var spans []Span
	for _, s := range c.spans {
		if s.Trace == trace {
			spans = append(spans, s)
		}
	}
	return spans
}

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.refuse != 0 {
		w.WriteHeader(c.refuse)
		return
	}
	request, err := decode(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, ofResource := range request.GetResourceSpans() {
		about := texts(ofResource.GetResource().GetAttributes())
		for _, ofScope := range ofResource.GetScopeSpans() {
			for _, s := range ofScope.GetSpans() {
				span := Span{
					Service: about["service.name"], Instance: about["service.instance.id"], Name: s.GetName(),
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Attributes: texts(s.GetAttributes()), Failed: s.GetStatus().GetMessage(), TraceState: s.GetTraceState(),
					Began: at(s.GetStartTimeUnixNano()), Ended: at(s.GetEndTimeUnixNano()),
				}
				for _, e := range s.GetEvents() {
					span.Events = append(span.Events, Event{Name: e.GetName(), At: at(e.GetTimeUnixNano()), Attributes: texts(e.GetAttributes())})
				}
				for _, l := range s.GetLinks() {
					span.Links = append(span.Links, hex.EncodeToString(l.GetSpanId()))
				}
				c.spans = append(c.spans, span)
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func decode(r *http.Request) (*collector.ExportTraceServiceRequest, error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err //nolint:wrapcheck // the text is the answer
		}
		body = unzipped
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, err //nolint:wrapcheck // the text is the answer
	}
	var request collector.ExportTraceServiceRequest
	return &request, proto.Unmarshal(b, &request) //nolint:wrapcheck // the text is the answer
}

func at(nanoseconds uint64) time.Time { return time.Unix(0, int64(nanoseconds)) } //nolint:gosec // of this century

// texts are attributes as text.
func texts(list []*common.KeyValue) map[string]string {
	m := make(map[string]string, len(list))
	for _, e := range list {
		switch v := e.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[e.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			m[e.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		}
	}
	return m
}
