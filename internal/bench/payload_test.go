package bench

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAPayloadHasTheSizeThatWasAskedForAndIsJSON(t *testing.T) {
	mark := marker("0a1b2c3d")
	want := stamp{number: 123456789, at: 90 * time.Minute}
	for _, size := range []int{MinPayload, MinPayload + 1, 256, 64 << 10} {
		payload := appendPayload(nil, mark, want, size)
		require.Len(t, payload, size)
		var object map[string]string
		require.NoError(t, json.Unmarshal(payload, &object))
		assert.Equal(t, "0a1b2c3d", object["bench"])

		for _, frame := range [][]byte{payload, append(append([]byte(`{"id":"x","data":`), payload...), '}')} {
			got, ok := findStamp(frame, mark)
			require.True(t, ok)
			assert.Equal(t, want, got)
		}
		_, ok := findStamp(payload, marker("0a1b2c3e"))
		assert.False(t, ok, "of another run")
	}
}

func FuzzFindStamp(f *testing.F) {
	mark := marker("0a1b2c3d")
	whole := appendPayload(nil, mark, stamp{number: 1, at: 2}, MinPayload)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("nothing"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		s, ok := findStamp(frame, mark)
		if ok && s.number < 0 {
			t.Fatalf("number %d", s.number)
		}
	})
}
