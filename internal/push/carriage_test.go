package push_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/push"
)

func carriage() push.Carriage {
	return push.Carriage{Partition: 3, Records: []push.Record{
		{Partition: 3, Offset: 7, Time: time.UnixMilli(1700), Key: []byte("42"), Value: []byte(`{"n":1}`), Headers: push.NewHeaders(push.Header{Key: "ce_id", Value: []byte("a")})},
		{Partition: 3, Offset: 9, Time: time.UnixMilli(1800), Key: []byte("43"), Value: nil},
		{Partition: 3, Offset: 10, Time: time.UnixMilli(1900), Key: []byte("44"), Value: []byte{}},
	}}
}

func TestACarriageIsReadAsItWasWritten(t *testing.T) {
	c := carriage()
	got, err := push.DecodeCarriage(c.AppendBinary(nil))
	require.NoError(t, err)
	assert.Equal(t, c, got)
}

func TestABrokenCarriageIsAnErrorNotAPanic(t *testing.T) {
	c := carriage()
	whole := c.AppendBinary(nil)
	for n := range whole {
		_, err := push.DecodeCarriage(whole[:n])
		assert.Error(t, err, "cut after %d bytes", n)
	}
	_, err := push.DecodeCarriage(append(whole, 0))
	assert.ErrorContains(t, err, "after its end")
	_, err = push.DecodeCarriage([]byte{2})
	assert.ErrorContains(t, err, "same release")
	_, err = push.DecodeCarriage([]byte{1, 1})
	assert.ErrorContains(t, err, "partition -1")
}

func FuzzACarriageOfAnyBytesIsReadOrRefused(f *testing.F) {
	c := carriage()
	f.Add(c.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := push.DecodeCarriage(b)
		if err != nil {
			return
		}
		again, err := push.DecodeCarriage(c.AppendBinary(nil))
		require.NoError(t, err)
		require.Len(t, again.Records, len(c.Records))
		for i := range c.Records {
			assert.Equal(t, c.Records[i].Key, again.Records[i].Key)
		}
	})
}
