package jsontext_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/jsontext"
)

func FuzzAStringIsReadByOthersAsEncodingJSONWouldHaveWrittenIt(f *testing.F) {
	for _, s := range []string{"", "a", `"\\/`, "\x00\x1f\x7f\n\t", "\xff\xc3", "é\u2028\U0001F600", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got, want string
		require.NoError(t, json.Unmarshal(jsontext.AppendString(nil, s), &got))
		plain, err := json.Marshal(s)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(plain, &want))
		assert.Equal(t, want, got)
	})
}

func TestATimeIsInUTC(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 3600))
	assert.Equal(t, `x"2030-01-02T02:04:05.006Z"`, string(jsontext.AppendTime([]byte("x"), at)))
}
