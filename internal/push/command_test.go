package push_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func TestACommandIsReadAsItWasWrittenAndIsNoReceipt(t *testing.T) {
	c := push.Command{
		Kind: push.Discard, Operation: "op-1", By: "ann", Why: "sent <twice>",
		Waits: []push.CommandWait{{User: "42", Origin: 7}, {User: "ü/43", Origin: 1 << 40}},
	}
	rec, err := push.CommandRecord(c)
	require.NoError(t, err)
	require.True(t, push.IsCommand(rec.Value))
	got, err := push.DecodeCommand(rec.Value)
	require.NoError(t, err)
	assert.Equal(t, c, got)

	_, err = push.DecodeReceipt(rec.Value)
	require.Error(t, err, "a release that knows no commands passes it over")
	r := push.Receipt{Node: "a", Epoch: 1}
	assert.False(t, push.IsCommand(r.AppendBinary(nil)))
	assert.False(t, push.IsCommand(nil))
}

func TestWhatIsNoCommandIsNamed(t *testing.T) {
	for text, why := range map[string]string{
		`{`: "no command", `{"command":"dance","waits":[{"user":"42"}]}`: `"dance"`, `{"command":"release"}`: "no wait",
	} {
		_, err := push.DecodeCommand([]byte(text))
		require.ErrorContains(t, err, why, text)
	}
}

func FuzzDecodeCommand(f *testing.F) {
	f.Add([]byte(`{"command":"release","waits":[{"user":"42","origin":7}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := push.DecodeCommand(b); err == nil {
			rec, err := push.CommandRecord(c)
			require.NoError(t, err)
			again, err := push.DecodeCommand(rec.Value)
			require.NoError(t, err)
			require.Len(t, again.Waits, len(c.Waits))
		}
	})
}
