package targeted

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"pushgate/internal/directory"
	"pushgate/internal/push"
)

// book is a directory's book as a function.
type book func(node string, life uint64) (string, error)

func (b book) Address(_ context.Context, node string, life uint64) (string, error) {
	return b(node, life)
}

// answering starts a node, and returns a caller that knows it as A.
func answering(t *testing.T, handle http.HandlerFunc) *Caller {
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return calling(t, strings.TrimPrefix(server.URL, "http://"), zap.NewNop())
}

func calling(t *testing.T, address string, log *zap.Logger) *Caller {
	c := NewCaller(CallerParams{
		Book:    book(func(string, uint64) (string, error) { return address, nil }),
		Timeout: 500 * time.Millisecond, Token: "secret", Logger: log, Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	t.Cleanup(c.Close)
	return c
}

func carriage() *push.Carriage {
	return &push.Carriage{Partition: 2, Records: []push.Record{{Partition: 2, Offset: 5, Time: time.UnixMilli(5), Key: []byte("42"), Value: []byte("1")}}}
}

func write(w io.Writer, r push.Receipt) { _, _ = w.Write(r.AppendBinary(nil)) }

func TestACallBringsTheRecordsAndReturnsTheReceipt(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got, err := push.DecodeCarriage(body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/push" || r.Header.Get("Authorization") != "Bearer secret" ||
			got.Partition != 2 || string(got.Records[0].Key) != "42" {
			http.Error(w, fmt.Sprint(r.Method, r.URL, r.Header, got, err), http.StatusBadRequest)
			return
		}
		write(w, push.Receipt{Node: "A", Epoch: 3, Delivered: []int64{5}})
	})
	answer, err := c.Call(t.Context(), "A", 1, carriage())
	require.NoError(t, err)
	assert.Equal(t, &push.Receipt{Node: "A", Epoch: 3, Delivered: []int64{5}}, answer)
}

func TestWhatIsNoGoodAnswerIsAnErrorThatSaysWhy(t *testing.T) {
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		says   string
	}{
		"it is not ready": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}, "503 Service Unavailable: not ready"},
		"another node": {func(w http.ResponseWriter, _ *http.Request) { write(w, push.Receipt{Node: "B"}) }, "node.advertise"},
		"no receipt":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "understanding the answer"},
		"a redirect":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302"},
		"too slow": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then it is seen that the caller has gone
			<-r.Context().Done()
		}, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := answering(t, test.handle).Call(t.Context(), "A", 1, carriage())
			assert.ErrorContains(t, err, test.says)
		})
	}
}

func TestATokenThatIsRefusedIsLoggedWithWhatToDo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "wrong token", http.StatusUnauthorized)
	}))
	defer server.Close()
	core, logs := observer.New(zap.ErrorLevel)
	_, err := calling(t, strings.TrimPrefix(server.URL, "http://"), zap.New(core)).Call(t.Context(), "A", 1, carriage())
	require.Error(t, err)
	require.Equal(t, 1, logs.Len())
	assert.Contains(t, logs.All()[0].Message, "internal.token")
}

func TestANodeWhoseCallsKeepFailingIsSkippedForAMomentAndThenTriedAgain(t *testing.T) {
	var calls atomic.Int32
	var well atomic.Bool
	c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		if !well.Load() {
			http.Error(w, "ill", http.StatusInternalServerError)
			return
		}
		write(w, push.Receipt{Node: "A"})
	})
	for range failuresInARow {
		_, err := c.Call(t.Context(), "A", 1, carriage())
		require.ErrorContains(t, err, "ill")
	}
	_, err := c.Call(t.Context(), "A", 1, carriage())
	require.ErrorIs(t, err, gobreaker.ErrOpenState)
	assert.EqualValues(t, failuresInARow, calls.Load(), "it was not called")
	well.Store(true)
	require.Eventually(t, func() bool {
		_, err := c.Call(t.Context(), "A", 1, carriage())
		return err == nil
	}, 5*time.Second, 50*time.Millisecond)
}

func TestANodeThatIsNoMoreIsNotAFailureOfItsCalls(t *testing.T) {
	c := calling(t, "", zap.NewNop())
	c.p.Book = book(func(string, uint64) (string, error) { return "", directory.ErrUnknownNode })
	for range 2 * failuresInARow {
		_, err := c.Call(t.Context(), "A", 1, carriage())
		require.ErrorIs(t, err, directory.ErrUnknownNode)
	}
}

func TestACallThatIsGivenUpSaysNothingAboutItsNode(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, _ *http.Request) { write(w, push.Receipt{Node: "A"}) })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * failuresInARow {
		_, err := c.Call(ended, "A", 1, carriage())
		require.ErrorIs(t, err, context.Canceled)
	}
	_, err := c.Call(t.Context(), "A", 1, carriage())
	assert.NoError(t, err)
}
