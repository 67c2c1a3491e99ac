package push_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/push"
)

// usualRequest is one as producers write them, with 256 bytes of payload.
func usualRequest() *push.Record {
	rec := &push.Record{
		Partition: 3, Offset: 1_000_000, Time: time.Unix(1_900_000_000, 0), Key: []byte("user-1234567"),
		Value: []byte(`{"order":991,"note":"` + strings.Repeat("shipped ", 29) + `"}`),
	}
	for _, h := range [][2]string{
		{push.HeaderSpecVersion, "1.0"},
		{push.HeaderID, "018f4e1c-7d7e-7b3a-9d2f-3a5b8c1d2e4f"},
		{push.HeaderSource, "/orders"},
		{push.HeaderType, "order"},
		{push.HeaderContentType, "application/json"},
	} {
		rec.Headers.AddText(h[0], h[1])
	}
	return rec
}

func TestARequestIsUnderstoodInOneAllocation(t *testing.T) {
	rec := usualRequest()
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = push.ParseRequest(rec, "requests", push.Limits{}) }), 1.0)
}

func BenchmarkParseRequest(b *testing.B) {
	rec := usualRequest()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := push.ParseRequest(rec, "requests", push.Limits{MaxBytes: 1 << 20}); err != nil {
			b.Fatal(err)
		}
	}
}
