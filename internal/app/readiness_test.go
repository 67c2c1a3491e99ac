package app

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"pushgate/internal/admin"
)

func TestEachCheckOfReadinessIsAMetricAsItIsWhenAsked(t *testing.T) {
	var failure error
	r := newReadiness([]admin.Check{
		{Name: "kafka", Ready: func() error { return failure }},
		{Name: "topics", Ready: func() error { return nil }},
	})
	const head = "# HELP pushgate_ready 1 while the check of /readyz passes.\n# TYPE pushgate_ready gauge\n"
	require.NoError(t, testutil.CollectAndCompare(r, strings.NewReader(head+
		"pushgate_ready{check=\"kafka\"} 1\npushgate_ready{check=\"topics\"} 1\n")))
	failure = errors.New("away")
	require.NoError(t, testutil.CollectAndCompare(r, strings.NewReader(head+
		"pushgate_ready{check=\"kafka\"} 0\npushgate_ready{check=\"topics\"} 1\n")))
}
