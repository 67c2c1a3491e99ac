package session_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pushgate/internal/push"
	"pushgate/internal/session"
	"pushgate/internal/ws"
)

func TestEachSubprotocolHasItsFrame(t *testing.T) {
	plus2 := time.FixedZone("", 2*3600)
	for _, c := range []struct {
		name   string
		change func(*push.Message)
		// What the client reads: plain is what follows the opcode.
		pushgate, cloudEvents string
		op                    ws.Op
		plain                 string
	}{
		{
			"JSON stands as the value it is", func(*push.Message) {},
			`{"id":"a","type":"order","time":"2030-01-02T12:00:00Z","attempt":1,"data":{"n":1}}`,
			`{"specversion":"1.0","id":"a","source":"/pushgate","type":"order","time":"2030-01-02T12:00:00Z","datacontenttype":"application/json","attempt":1,"data":{"n":1}}`,
			ws.OpText, `{"n":1}`,
		},
		{
			"JSON keeps its spaces and its spelling", func(m *push.Message) { m.Data = []byte(" [ 1.0,\n1e2, \"\\u00e9é\" ] ") },
			"{\"id\":\"a\",\"type\":\"order\",\"time\":\"2030-01-02T12:00:00Z\",\"attempt\":1,\"data\": [ 1.0,\n1e2, \"\\u00e9é\" ] }",
			"{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/pushgate\",\"type\":\"order\",\"time\":\"2030-01-02T12:00:00Z\",\"datacontenttype\":\"application/json\",\"attempt\":1,\"data\": [ 1.0,\n1e2, \"\\u00e9é\" ] }",
			ws.OpText, " [ 1.0,\n1e2, \"\\u00e9é\" ] ",
		},
		{
			"JSON that is not UTF-8 is base64", func(m *push.Message) { m.Data = []byte("\"\xff\"") },
			`{"id":"a","type":"order","time":"2030-01-02T12:00:00Z","attempt":1,"data_base64":"Iv8i"}`,
			`{"specversion":"1.0","id":"a","source":"/pushgate","type":"order","time":"2030-01-02T12:00:00Z","datacontenttype":"application/json","attempt":1,"data_base64":"Iv8i"}`,
			ws.OpBinary, "\"\xff\"",
		},
		{
			"text is base64, but text on its own", func(m *push.Message) { m.ContentType, m.JSON, m.Data = "Text/plain", false, []byte("hi ✓") },
			`{"id":"a","type":"order","time":"2030-01-02T12:00:00Z","attempt":1,"data_base64":"aGkg4pyT"}`,
			`{"specversion":"1.0","id":"a","source":"/pushgate","type":"order","time":"2030-01-02T12:00:00Z","datacontenttype":"Text/plain","attempt":1,"data_base64":"aGkg4pyT"}`,
			ws.OpText, "hi ✓",
		},
		{
			"text that is not UTF-8 is binary", func(m *push.Message) { m.ContentType, m.JSON, m.Data = "text/plain", false, []byte("\xff") },
			`{"id":"a","type":"order","time":"2030-01-02T12:00:00Z","attempt":1,"data_base64":"/w=="}`,
			`{"specversion":"1.0","id":"a","source":"/pushgate","type":"order","time":"2030-01-02T12:00:00Z","datacontenttype":"text/plain","attempt":1,"data_base64":"/w=="}`,
			ws.OpBinary, "\xff",
		},
		{
			"bytes without a type are binary", func(m *push.Message) { m.ContentType, m.JSON, m.Data = "", false, []byte(`{"n":1}`) },
			`{"id":"a","type":"order","time":"2030-01-02T12:00:00Z","attempt":1,"data_base64":"eyJuIjoxfQ=="}`,
			`{"specversion":"1.0","id":"a","source":"/pushgate","type":"order","time":"2030-01-02T12:00:00Z","attempt":1,"data_base64":"eyJuIjoxfQ=="}`,
			ws.OpBinary, `{"n":1}`,
		},
		{
			"no payload", func(m *push.Message) { m.ContentType, m.JSON, m.Data = "", false, nil },
			`{"id":"a","type":"order","time":"2030-01-02T12:00:00Z","attempt":1,"data_base64":""}`,
			`{"specversion":"1.0","id":"a","source":"/pushgate","type":"order","time":"2030-01-02T12:00:00Z","attempt":1,"data_base64":""}`,
			ws.OpBinary, "",
		},
		{
			"what a producer may say beside", func(m *push.Message) {
				m.Source, m.TraceParent, m.Attempt = "/shop", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 12
				m.Time = time.Date(2030, 1, 2, 14, 0, 0, 5_000_000, plus2)
			},
			`{"id":"a","type":"order","time":"2030-01-02T12:00:00.005Z","attempt":12,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","data":{"n":1}}`,
			`{"specversion":"1.0","id":"a","source":"/shop","type":"order","time":"2030-01-02T12:00:00.005Z","datacontenttype":"application/json","attempt":12,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","data":{"n":1}}`,
			ws.OpText, `{"n":1}`,
		},
		{
			"names that need escapes", func(m *push.Message) { m.ID, m.Type, m.Source = "\"\\\n\x00\x1f", "é✓😀", "a\xffb" },
			`{"id":"\"\\\u000a\u0000\u001f","type":"é✓😀","time":"2030-01-02T12:00:00Z","attempt":1,"data":{"n":1}}`,
			"{\"specversion\":\"1.0\",\"id\":\"\\\"\\\\\\u000a\\u0000\\u001f\",\"source\":\"a\uFFFDb\",\"type\":\"é✓😀\",\"time\":\"2030-01-02T12:00:00Z\",\"datacontenttype\":\"application/json\",\"attempt\":1,\"data\":{\"n\":1}}",
			ws.OpText, `{"n":1}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := message("a")
			c.change(m)
			f := session.NewFrames(m)
			op, got := unframe(t, f.For(session.Pushgate))
			assert.Equal(t, ws.OpText, op)
			assert.Equal(t, c.pushgate, got)
			op, got = unframe(t, f.For(session.CloudEvents))
			assert.Equal(t, ws.OpText, op)
			assert.Equal(t, c.cloudEvents, got)
			op, got = unframe(t, f.For(session.Plain))
			assert.Equal(t, c.op, op)
			assert.Equal(t, c.plain, got)
		})
	}
}

func TestAFrameIsEncodedOnceHoweverManySessionsItGoesTo(t *testing.T) {
	m := message("a")
	f := session.NewFrames(m)
	for _, s := range []session.Subprotocol{session.Plain, session.Pushgate, session.CloudEvents} {
		first := f.For(s)
		before := string(first)
		copy(m.Data, "[[[[[[[") // the record's buffer is somebody else's by now
		assert.Same(t, &first[0], &f.For(s)[0])
		assert.Equal(t, before, string(first))
		copy(m.Data, `{"n":1}`)
	}
}

func TestALargeMessageKeepsItsLength(t *testing.T) {
	for _, size := range []int{100, 125, 126, 60_000, 65_535, 65_536, 200_000} {
		m := message("a")
		m.Data = []byte(`"` + strings.Repeat("x", size) + `"`)
		f := session.NewFrames(m)
		for _, s := range []session.Subprotocol{session.Plain, session.Pushgate, session.CloudEvents} {
			_, got := unframe(t, f.For(s))
			assert.Contains(t, got, string(m.Data))
		}
	}
}

// read is what a client makes of either JSON form.
type read struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	Source      string          `json:"source"`
	ContentType string          `json:"datacontenttype"`
	Trace       string          `json:"traceparent"`
	Time        time.Time       `json:"time"`
	Attempt     int             `json:"attempt"`
	Data        json.RawMessage `json:"data"`
	Base64      *string         `json:"data_base64"`
}

func TestAnyMessageIsReadAsItWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &push.Message{
			ID: rapid.String().Draw(t, "id"), Type: rapid.String().Draw(t, "type"), Source: rapid.String().Draw(t, "source"),
			ContentType: rapid.String().Draw(t, "content type"), TraceParent: rapid.String().Draw(t, "trace"),
			Time:    time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")),
			Attempt: rapid.IntRange(1, 1<<15).Draw(t, "attempt"),
			Data:    rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
		}
		if rapid.Bool().Draw(t, "JSON") {
			m.Data, _ = json.Marshal(rapid.String().Draw(t, "text"))
			m.JSON = true
		}
		f := session.NewFrames(m)
		for _, s := range []session.Subprotocol{session.Pushgate, session.CloudEvents} {
			frame := f.For(s)
			payload := frame[2:]
			switch frame[1] {
			case 126:
				payload = frame[4:]
			case 127:
				payload = frame[10:]
			}
			var got read
			require.True(t, utf8.Valid(payload))
			require.NoError(t, json.Unmarshal(payload, &got))
			assert.Equal(t, m.ID, got.ID)
			assert.Equal(t, m.Type, got.Type)
			assert.True(t, m.Time.Equal(got.Time))
			assert.Equal(t, m.Attempt, got.Attempt)
			if m.JSON {
				assert.Equal(t, string(m.Data), string(got.Data))
				assert.Nil(t, got.Base64)
			} else {
				require.NotNil(t, got.Base64)
				data, err := base64.StdEncoding.DecodeString(*got.Base64)
				require.NoError(t, err)
				assert.Equal(t, string(m.Data), string(data))
				assert.Nil(t, got.Data)
			}
			if s == session.CloudEvents {
				assert.Equal(t, "1.0", got.SpecVersion)
				assert.Equal(t, m.ContentType, got.ContentType)
				assert.Equal(t, m.TraceParent, got.Trace)
				assert.NotEmpty(t, got.Source)
			}
		}
	})
}

func TestAnEventWithoutATimeHasNone(t *testing.T) {
	m := message("a")
	m.Time = time.Time{}
	f := session.NewFrames(m)
	_, got := unframe(t, f.For(session.CloudEvents))
	assert.NotContains(t, got, "time\"")
}

func BenchmarkEncode(b *testing.B) {
	for name, s := range map[string]session.Subprotocol{"pushgate": session.Pushgate, "cloudevents": session.CloudEvents, "plain": session.Plain} {
		b.Run(name, func(b *testing.B) {
			m := message("0194f6a2-7a3c-7bfb-8f1f-3f1c2d9e0001")
			m.Data = []byte(`{"text":"` + strings.Repeat("x", 240) + `"}`)
			b.ReportAllocs()
			for b.Loop() {
				f := session.NewFrames(m)
				f.For(s)
			}
		})
	}
}
