package session

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func acknowledged(b []byte) ([]string, error) {
	var ids []string
	err := parseAck(b, func(id []byte) { ids = append(ids, string(id)) })
	return ids, err
}

func TestAcknowledgementsAreReadHoweverTheyAreWritten(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{`{"ack":["a"]}`, []string{"a"}},
		{`{"ack":["a","b","a",""]}`, []string{"a", "b", "a", ""}},
		{`{"ack":[]}`, nil},
		{" \t\r\n{ \"ack\" : [ \"a\" , \"b\" ] } \n", []string{"a", "b"}},
		{`{"ack":["é✓😀"]}`, []string{"é✓😀"}},
		{`{"ack":["\"\\\/\b\f\n\r\t","\u00e9\ud83d\ude00"]}`, []string{"\"\\/\b\f\n\r\t", "é😀"}},
		{`{"ack":["\ud83d"]}`, []string{"\uFFFD"}},
		{`{"\u0061ck":["a\\"]}`, []string{`a\`}},
		{`{"ack":["push.requests/3/17"]}`, []string{"push.requests/3/17"}},
	} {
		got, err := acknowledged([]byte(c.text))
		require.NoError(t, err, c.text)
		assert.Equal(t, c.want, got, c.text)
	}
}

func TestAnythingElseIsNoAcknowledgement(t *testing.T) {
	for _, text := range []string{
		``, ` `, `x`, `null`, `[]`, `"ack"`, `{}`, `{"ack"}`, `{"ack":}`, `{"ack":null}`, `{"ack":"a"}`, `{"ack":{}}`,
		`{"Ack":["a"]}`, `{"nack":["a"]}`, `{"ack":[a]}`, `{"ack":[1]}`, `{"ack":[null]}`, `{"ack":[["a"]]}`,
		`{"ack":["a",]}`, `{"ack":[,"a"]}`, `{"ack":["a" "b"]}`, `{"ack":["a"],}`, `{"ack":["a"],"x":1}`, `{"x":1,"ack":["a"]}`,
		`{"ack":["a"]`, `{"ack":["a"`, `{"ack":["a`, `{"ack":["a\`, `{"ack":["a\"]}`, `{"ack":["\q"]}`, `{"ack":["\u12"]}`,
		"{\"ack\":[\"a\nb\"]}", "{\"ack\":[\"a\\\nb\"]}", `{"ack":["a"]}}`, `{"ack":["a"]}{"ack":["b"]}`, `{"ack":["a"]} x`, `{'ack':['a']}`,
		"\uFEFF" + `{"ack":["a"]}`,
	} {
		_, err := acknowledged([]byte(text))
		assert.ErrorIs(t, err, errNotAck, text)
	}
}

func TestWhatStoodBeforeTheMistakeIsAcknowledged(t *testing.T) {
	got, err := acknowledged([]byte(`{"ack":["a","b",3,"d"]}`))
	require.ErrorIs(t, err, errNotAck)
	assert.Equal(t, []string{"a", "b"}, got)
}

func TestAnAcknowledgementCostsNoAllocation(t *testing.T) {
	b, n := []byte(`{"ack":["0194f6a2-7a3c-7bfb-8f1f-3f1c2d9e0001","b","c"]}`), 0
	each := func(id []byte) { n += len(id) }
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = parseAck(b, each) }))
	assert.NotZero(t, n)
}

// acknowledgedSlowly is the same by the standard library.
func acknowledgedSlowly(b []byte) (ids []string, ok bool) {
	if !json.Valid(b) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(b))
	var tokens []json.Token
	for token, err := d.Token(); err == nil; token, err = d.Token() {
		tokens = append(tokens, token)
	}
	start, end := []json.Token{json.Delim('{'), "ack", json.Delim('[')}, []json.Token{json.Delim(']'), json.Delim('}')}
	n := len(tokens) - len(end)
	if n < len(start) || !slices.Equal(tokens[:len(start)], start) || !slices.Equal(tokens[n:], end) {
		return nil, false
	}
	for _, token := range tokens[len(start):n] {
		id, ok := token.(string)
		if !ok {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// FuzzAck: the parser takes what encoding/json takes for an acknowledgement, and
// reads the same ids.
func FuzzAck(f *testing.F) {
	for _, seed := range []string{
		`{"ack":["a"]}`, ` { "ack" : [ "a" , "\u00e9\ud800\n" ] } `, `{"ack":[]}`, `{"ack":["a",]}`, `{"ack":[1]}`, `{"\u0061ck":["a"]}`,
		`{"ack":["a"],"x":{}}`, `{"ack":["a"]}x`, `[]`, `{"ack":["a\`, "{\"ack\":[\"\x7f\\\x00\"]}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) {
			return // package ws lets none through
		}
		before := bytes.Clone(b)
		got, err := acknowledged(b)
		want, ok := acknowledgedSlowly(b)
		assert.Equal(t, ok, err == nil)
		if ok {
			assert.Equal(t, want, got)
		}
		assert.Equal(t, before, b)
	})
}

func BenchmarkAck(b *testing.B) {
	text := []byte(`{"ack":["0194f6a2-7a3c-7bfb-8f1f-3f1c2d9e0001"]}`)
	b.ReportAllocs()
	for b.Loop() {
		_ = parseAck(text, func([]byte) {})
	}
}
