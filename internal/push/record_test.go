package push_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func TestHeadersKeepNullAndEmptyApart(t *testing.T) {
	var h push.Headers
	h.Add("null", nil)
	h.Add("empty", []byte{})
	h.AddText("text", "x")

	v, ok := h.Get("null")
	assert.True(t, ok)
	assert.Nil(t, v)
	v, ok = h.Get("empty")
	assert.True(t, ok)
	assert.NotNil(t, v)
	assert.Empty(t, v)
	assert.Equal(t, "x", h.Text("text"))
	_, ok = h.Get("other")
	assert.False(t, ok)
}

func TestTheLastOfSeveralEqualHeadersCounts(t *testing.T) {
	h := push.NewHeaders(push.Header{Key: "k", Value: []byte("1")}, push.Header{Key: "k", Value: []byte("2")})
	assert.Equal(t, "2", h.Text("k"))
	assert.Len(t, h.List(), 2)
}

func TestACloneSharesNoMemory(t *testing.T) {
	rec := push.Record{Key: []byte("k"), Value: []byte("v"), Headers: push.NewHeaders(push.Header{Key: "h", Value: []byte("1")})}
	c := rec.Clone()
	rec.Key[0], rec.Value[0] = 'x', 'x'
	assert.Equal(t, "k", string(c.Key))
	assert.Equal(t, "v", string(c.Value))
	assert.Nil(t, (&push.Record{}).Headers.List())
}

func FuzzHeaders(f *testing.F) {
	h := push.NewHeaders(push.Header{Key: "ce_id", Value: []byte("1")}, push.Header{Key: "x"})
	f.Add(h.AppendRaw(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{2, 'a', 3})
	f.Fuzz(func(t *testing.T, raw []byte) {
		list := push.RawHeaders(raw).List()
		again := push.NewHeaders(list...).List()
		require.Equal(t, list, again, "what can be read can be written and read again")
	})
}
