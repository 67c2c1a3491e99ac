package client

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"pushgate/internal/ws"
)

func TestWhatAGatewaySaysOfWhenToComeBackIsUnderstood(t *testing.T) {
	now := time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"7":                             7 * time.Second,
		"300":                           5 * time.Minute,
		"301":                           5 * time.Minute,
		"2147483647":                    5 * time.Minute,
		"99999999999999999999":          0,
		"-1":                            0,
		"1.5":                           0,
		"soon":                          0,
		"Wed, 02 Jan 2030 15:04:15 GMT": 10 * time.Second,
		"Wed, 02 Jan 2030 16:04:05 GMT": 5 * time.Minute,
		"Wed, 02 Jan 2030 15:04:04 GMT": 0,
	} {
		assert.Equal(t, want, rest(fmt.Errorf("connecting: %w", &ws.RefusedError{Status: 429, RetryAfter: header}), now), "%q", header)
	}
	assert.Zero(t, rest(errors.New("connection reset"), now))
}
