package bench_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/bench"
)

const metrics = `# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 11.5
process_resident_memory_bytes 4.7747072e+07
pushgate_delivered_total 1000
pushgate_requests_dropped_total 7
pushgate_requests_read_total 1007 1700000000000
pushgate_sessions{subprotocol="none"} 3
pushgate_sessions{subprotocol="pushgate.v1"} 40
pushgate_sessions_of_another_kind 99
`

func TestANodesMetricsAreUnderstood(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" || r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(metrics))
	}))
	defer s.Close()

	got, err := bench.NodeAt(s.Client(), s.URL+"/", "secret").Usage(t.Context())
	require.NoError(t, err)
	assert.Equal(t, bench.Usage{
		CPUSeconds: 11.5, RSSBytes: 47747072, Sessions: 43, Delivered: 1000, Read: 1007, Dropped: 7,
	}, got)

	_, err = bench.NodeAt(s.Client(), s.URL, "").Usage(t.Context())
	assert.ErrorContains(t, err, "401", "the token is missing")
}

func TestWhatIsNoNodeIsAnError(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<html>hello</html>"))
	}))
	_, err := bench.NodeAt(s.Client(), s.URL, "").Usage(t.Context())
	require.ErrorContains(t, err, "not the metrics of a node")
	client := s.Client()
	s.Close()
	_, err = bench.NodeAt(client, s.URL, "").Usage(t.Context())
	require.ErrorContains(t, err, s.URL)
}
