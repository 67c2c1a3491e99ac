package demo

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEvidenceIsSetOffAndNoLineEndsInBlanks(t *testing.T) {
	var out bytes.Buffer
	s := teller{out: &out}
	s.title(1, "Title")
	s.say("prose  ")
	s.gap()
	s.show("a\n\n  b \n")
	require.NoError(t, s.err)
	assert.Equal(t, "\n1. Title\n\nprose\n\n    a\n\n      b\n", out.String())
}

func TestDurationsHaveTheDigitsThatMeanSomething(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0.8 ms": 840 * time.Microsecond,
		"9.9 ms": 9900 * time.Microsecond,
		"12 ms":  12_400 * time.Microsecond,
		"999 ms": 999 * time.Millisecond,
		"1.3 s":  1290 * time.Millisecond,
	} {
		assert.Equal(t, want, span(d))
	}
	assert.Equal(t, "median 2.0 ms, slowest 9.0 ms", spread([]time.Duration{9 * time.Millisecond, time.Millisecond, 2 * time.Millisecond}))
	assert.Equal(t, "none", spread(nil))
}
