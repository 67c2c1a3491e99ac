package cli_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pushgate/internal/cli"
)

// transcript is what a command has written so far. Safe for concurrent use.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(b)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func TestTheDemonstrationTellsTheWholeStoryAndCanBeRunAgain(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		story := playDemo(t, dir)
		for _, line := range []string{
			`1. Delivered`,
			`    order 7001  placed +\d.* m?s`,
			`All 24 came, in order: median \d.*, slowest \d.*\.`,
			`2. Offline, then delivered on connecting`,
			`12 messages wait for him in push.retry as offline, until \w+day \d\d:\d\d at the latest\.`,
			`He connects: all 12 are there after \d.* m?s.*\.`,
			`3. A slow client`,
			`Dave lives in the same partition \(\d\)\. His 30 events meanwhile: median \d.*, slowest \d.*\.`,
			`The gateway gives Carol's connection up\. Her 24 messages wait in push\.retry: \d+ as slow_consumer\b.*\.`,
			`Her app wakes up and has a new connection after \d.*; all 24 messages are there \d.* later\.`,
			`4. No acknowledgement, tried again`,
			`    attempt 1  after +\d.*  no acknowledgement`,
			`    attempt 2  after +\d.*  no acknowledgement`,
			`    attempt 3  after +\d.*  acknowledged`,
			`In between it waited in push\.retry, as ack_timeout\b.*`,
			`    {"id":".*","type":"order","time":".*","attempt":3,"data":{"order":7001,"state":"placed"}}`,
			`5. Dead letters`,
			`    \$ .* deadletter list --user frank-\w{4} --set kafka.brokers=127\.0\.0\.1:\d+`,
			`    DIED +USER +TYPE +REASON +ID +ATTEMPTS +AT +STATE +LIFE +ERROR`,
			`    \S+Z +frank-\w{4} +order +invalid +\S+ +1 +\S+ +open +1 +content type is application/json but .*`,
			`    \S+Z +frank-\w{4} +order +expired +\S+ +1 +\S+ +open +1 +its time to live ran out`,
			`The bytes of the first are as its producer wrote them: {"order":7009,"state":"sh`,
			`6. The ledger`,
			`    sent +93`,
			`    delivered +91 .*`,
			`    expired +1 .*`,
			`    dead-lettered +1 .*`,
			`93 = 91 \+ 1 \+ 1\. Nothing waits any more, and every offset is settled\.`,
		} {
			assert.Regexp(t, `(?m)^`+line+`$`, story)
		}
	}
}

// playDemo runs dev --demo on a data directory, to the end of the story, and
// sees to it that the platform stays up and then ends in order.
func playDemo(t *testing.T, dir string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, failure transcript
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, []string{
			"dev", "--demo", "--data-dir", dir, "--kafka-listen", "127.0.0.1:0",
			"--gateway-listen", "127.0.0.1:0", "--admin-listen", "localhost:0",
		}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &failure}, "test")
	}()
	const long, look = 90 * time.Second, 50 * time.Millisecond // a machine may be busy
	require.Eventually(t, func() bool {
		return strings.Contains(out.String(), "Try, in two other terminals") || len(code) > 0
	}, long, look, "the story does not end")
	require.Empty(t, code, "the platform does not stay up: %s\n%s", &failure, &out)

	console := regexp.MustCompile(`console +(http://\S+/) `).FindStringSubmatch(out.String())
	require.NotNil(t, console, out.String())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, console[1]+"readyz", nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	assert.Equal(t, http.StatusOK, answer.StatusCode)

	cancel()
	select {
	case got := <-code:
		assert.Zero(t, got)
	case <-time.After(long):
		require.Fail(t, "the platform does not end")
	}
	assert.Empty(t, failure.String())
	return out.String()
}
