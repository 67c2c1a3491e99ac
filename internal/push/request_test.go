package push_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

const topic = "push.requests"

var (
	written = time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC)
	limits  = push.Limits{MaxBytes: 64, DefaultTTL: time.Hour}
)

func request(headers ...string) push.Record {
	rec := push.Record{Partition: 3, Offset: 17, Time: written, Key: []byte("42"), Value: []byte(`{"order":991}`)}
	for i := 0; i+1 < len(headers); i += 2 {
		rec.Headers.AddText(headers[i], headers[i+1])
	}
	return rec
}

func TestABareKeyAndValueIsAValidRequest(t *testing.T) {
	rec := request()
	m, err := push.ParseRequest(&rec, topic, limits)
	require.NoError(t, err)
	assert.Equal(t, "push.requests/3/17", m.ID)
	assert.Equal(t, "42", m.User)
	assert.Equal(t, push.DefaultType, m.Type)
	assert.Equal(t, written, m.Time)
	assert.Equal(t, written, m.FirstSeen)
	assert.Equal(t, written.Add(time.Hour), m.Expires)
	assert.Equal(t, 1, m.Attempt)
	assert.Equal(t, push.NoWait, m.EndsWait)
	assert.False(t, m.JSON)
	assert.Equal(t, `{"order":991}`, string(m.Data))
}

func TestCloudEventsHeadersAreUnderstood(t *testing.T) {
	rec := request("ce_id", "e-1", "ce_type", "order", "ce_source", "/shop", "ce_time", "2030-01-01T00:00:00Z",
		"ce_expirytime", "2030-01-03T00:00:00.5+01:00", "content-type", "application/json; charset=utf-8", "traceparent", "00-x")
	m, err := push.ParseRequest(&rec, topic, limits)
	require.NoError(t, err)
	assert.Equal(t, "e-1", m.ID)
	assert.Equal(t, "order", m.Type)
	assert.Equal(t, "/shop", m.Source)
	assert.Equal(t, "00-x", m.TraceParent)
	assert.True(t, m.JSON)
	assert.True(t, m.Time.Equal(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)))
	assert.True(t, m.Expires.Equal(time.Date(2030, 1, 2, 23, 0, 0, 5e8, time.UTC)))
}

func TestAnEmptyHeaderOfAProducerSaysNothing(t *testing.T) {
	bare := request()
	want, err := push.ParseRequest(&bare, topic, limits)
	require.NoError(t, err)
	rec := request("ce_id", "", "ce_type", "", "ce_source", "", "ce_time", "", "ce_expirytime", "", "content-type", "", "traceparent", "")
	got, err := push.ParseRequest(&rec, topic, limits)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	rec = request("pushgate-first-seen", "")
	_, err = push.ParseRequest(&rec, topic, limits)
	require.Error(t, err, "the platform's are never empty")
}

func TestPlatformHeadersWinOverTheProducers(t *testing.T) {
	for _, order := range [][]string{
		{"ce_id", "producer", "ce_expirytime", "2031-01-01T00:00:00Z", "pushgate-id", "first", "pushgate-expires", "2030-05-01T00:00:00Z"},
		{"pushgate-id", "first", "pushgate-expires", "2030-05-01T00:00:00Z", "ce_id", "producer", "ce_expirytime", "2031-01-01T00:00:00Z"},
	} {
		rec := request(order...)
		m, err := push.ParseRequest(&rec, topic, limits)
		require.NoError(t, err)
		assert.Equal(t, "first", m.ID)
		assert.True(t, m.Expires.Equal(time.Date(2030, 5, 1, 0, 0, 0, 0, time.UTC)))
	}
}

func TestWhatIsNoValidRequestSaysWhy(t *testing.T) {
	tests := map[string]struct {
		change func(*push.Record)
		reason push.Reason
		says   string
	}{
		"no key":               {func(r *push.Record) { r.Key = nil }, push.Invalid, "no key"},
		"key too long":         {func(r *push.Record) { r.Key = []byte(strings.Repeat("u", 257)) }, push.Invalid, "256"},
		"key not UTF-8":        {func(r *push.Record) { r.Key = []byte{0xff} }, push.Invalid, "UTF-8"},
		"key with a newline":   {func(r *push.Record) { r.Key = []byte("a\nb") }, push.Invalid, "control"},
		"payload too large":    {func(r *push.Record) { r.Value = make([]byte, 65) }, push.TooLarge, "message.max_bytes is 64"},
		"type too long":        {func(r *push.Record) { r.Headers.AddText("ce_type", strings.Repeat("t", 129)) }, push.Invalid, "128"},
		"id too long":          {func(r *push.Record) { r.Headers.AddText("ce_id", strings.Repeat("i", 257)) }, push.Invalid, "ce_id"},
		"time no time":         {func(r *push.Record) { r.Headers.AddText("ce_time", "yesterday") }, push.Invalid, "RFC 3339"},
		"expiry no time":       {func(r *push.Record) { r.Headers.AddText("ce_expirytime", "soon") }, push.Invalid, "RFC 3339"},
		"JSON that is none":    {func(r *push.Record) { r.Headers.AddText("content-type", "application/json"); r.Value = []byte("{") }, push.Invalid, "not valid JSON"},
		"JSON suffix, no JSON": {func(r *push.Record) { r.Headers.AddText("content-type", "application/vnd.x+json"); r.Value = nil }, push.Invalid, "not valid JSON"},
		"attempt no number":    {func(r *push.Record) { r.Headers.AddText("pushgate-attempt", "many") }, push.Invalid, "pushgate-attempt"},
		"wait no offset":       {func(r *push.Record) { r.Headers.AddText("pushgate-wait", "-2") }, push.Invalid, "pushgate-wait"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rec := request()
			test.change(&rec)
			_, err := push.ParseRequest(&rec, topic, limits)
			var invalid *push.InvalidError
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, test.reason, invalid.Reason)
			assert.Contains(t, invalid.Text, test.says)
		})
	}
}

func TestNullAndEmptyPayloadsAreValid(t *testing.T) {
	for _, value := range [][]byte{nil, {}} {
		rec := request()
		rec.Value = value
		_, err := push.ParseRequest(&rec, topic, limits)
		require.NoError(t, err)
	}
}

func FuzzParseRequest(f *testing.F) {
	rec := request("ce_id", "e-1", "content-type", "application/json", "pushgate-attempt", "3")
	f.Add(rec.Key, rec.Value, rec.Headers.AppendRaw(nil))
	f.Add([]byte(nil), []byte(nil), []byte{1})
	f.Fuzz(func(t *testing.T, key, value, headers []byte) {
		rec := push.Record{Offset: 1, Time: written, Key: key, Value: value, Headers: push.RawHeaders(headers)}
		m, err := push.ParseRequest(&rec, topic, limits)
		var invalid *push.InvalidError
		if err != nil {
			require.True(t, errors.As(err, &invalid) && invalid.Text != "")
			return
		}
		require.NoError(t, push.CheckUser(m.User))
		require.NoError(t, push.CheckType(m.Type))
		require.NotEmpty(t, m.ID)
		// What is offered again is the same message.
		again := push.OfferRecord(&rec, m.Lineage(), 5)
		n, err := push.ParseRequest(&again, topic, limits)
		require.NoError(t, err)
		require.Equal(t, m.ID, n.ID)
		require.True(t, m.Expires.Equal(n.Expires))
		require.Equal(t, int64(5), n.EndsWait)
	})
}
